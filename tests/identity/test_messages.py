import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest

from carteira.identity import emails
from carteira.identity.users import passwords
from carteira.kit.outbound.sms import FolderSms, HttpSms, sms_of
from carteira.kit.security.rate_limits import network, truncated_network
from carteira.kit.security.sealing import Sealer
from carteira.kit.values.ids import uuid7


class Provider(BaseHTTPRequestHandler):
    """An SMS provider on a real socket that refuses one number."""

    taken: ClassVar[list[tuple[str | None, Any]]] = []

    def do_POST(self) -> None:
        content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.taken.append((self.headers["Authorization"], content))
        self.send_response(503 if content["to"].endswith("0000") else 202)
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        """Log nothing."""


@pytest.fixture
def provider() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Provider) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/sms"
        server.shutdown()


async def test_sms_over_http_carries_number_text_and_token(provider: str, tmp_path: Path) -> None:
    sms = sms_of(provider, "segredo", tmp_path)
    assert isinstance(sms, HttpSms)
    await sms.send("11987654321", emails.recovery_sms("12345678", None))
    authorization, content = Provider.taken[-1]
    assert authorization == "Bearer segredo"
    assert content["to"] == "+5511987654321"
    assert "12345678" in content["text"]
    assert len(content["text"]) <= 160
    with pytest.raises(httpx.HTTPStatusError):
        await sms.send("11900000000", "x")


def test_without_a_provider_messages_go_to_a_folder(tmp_path: Path) -> None:
    assert isinstance(sms_of(None, None, tmp_path), FolderSms)


def test_a_name_is_no_markup_in_an_email() -> None:
    message = emails.compose("recovery", name="<b>Maria</b>", code="123456", link=None, minutes=10)
    assert "<b>" not in message.html
    assert "<b>Maria</b>" in message.text
    assert '<html lang="pt-BR">' in message.html


def test_a_sealed_secret_opens_for_its_owner_and_key_only(tmp_path: Path) -> None:
    owner = uuid7()
    sealer = Sealer(tmp_path / "keys" / "identity.key", create=True)
    sealed = sealer.seal(owner, b"segredo")
    assert Sealer(tmp_path / "keys" / "identity.key").open(owner, sealed) == b"segredo"
    assert (tmp_path / "keys" / "identity.key").stat().st_mode & 0o077 == 0
    for other, content in ((uuid7(), sealed), (owner, sealed[:-1] + bytes([sealed[-1] ^ 1])), (owner, bytes(40))):
        with pytest.raises(ValueError, match="sealed with another key"):
            sealer.open(other, content)
    with pytest.raises(ValueError, match="sealed with another key"):
        Sealer(tmp_path / "other.key", create=True).open(owner, sealed)


def test_generated_passwords_keep_the_rules_and_differ() -> None:
    made = {passwords.generate() for _ in range(200)}
    assert len(made) == 200
    assert all(len(password) >= 16 and passwords.broken_rules(password) == [] for password in made)


async def test_a_password_typed_on_another_keyboard_fits() -> None:
    hashed = await passwords.hash_password("Maçã1234")
    assert (await passwords.verify_password("Mac\u0327a\u03031234", hashed))[0]
    assert not (await passwords.verify_password("maçã1234", hashed))[0]
    assert not (await passwords.verify_password("Maçã1234", None))[0]
    assert not (await passwords.verify_password("M" * 1000, hashed))[0]


@pytest.mark.parametrize(
    ("address", "counted", "kept"),
    [
        ("203.0.113.9", "203.0.113.9", "203.0.113.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64", "2001:db8:1::/48"),
        ("rubbish", "unknown", "unknown"),
        ("", "unknown", "unknown"),
    ],
)
def test_addresses_are_counted_and_kept_by_network(address: str, counted: str, kept: str) -> None:
    assert network(address) == counted
    assert truncated_network(address) == kept
