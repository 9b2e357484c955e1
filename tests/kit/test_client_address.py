"""The proxies that are trusted about a request's origin, and the addresses of links."""

from pathlib import Path

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from carteira.kit.security.rate_limits import network
from carteira.kit.values.networks import TrustedProxies, network_of
from carteira.kit.web.client_address import ClientAddress
from carteira.settings import Settings
from tests.support.app import settings_for


@pytest.mark.parametrize(
    ("trusted", "peer", "forwarded", "client"),
    [
        ("none", "10.0.0.1", ["203.0.113.9"], "10.0.0.1"),
        ("10.0.0.0/8", "192.0.2.1", ["203.0.113.9"], "192.0.2.1"),
        ("10.0.0.0/8", "10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("10.0.0.0/8", "10.0.0.1", [], "10.0.0.1"),
        # The client is the address before the last trusted proxy; the client's own headers about it do not count.
        ("10.0.0.0/8", "10.0.0.1", ["198.51.100.1, 203.0.113.9"], "203.0.113.9"),
        ("10.0.0.0/8", "10.0.0.1", ["198.51.100.1", "203.0.113.9, 10.1.1.1"], "203.0.113.9"),
        ("10.0.0.0/8,203.0.113.0/24", "10.0.0.1", ["198.51.100.1, 203.0.113.9"], "198.51.100.1"),
        ("10.0.0.0/8", "10.0.0.1", ["10.2.2.2, 10.1.1.1"], "10.2.2.2"),
        ("10.0.0.0/8", "10.0.0.1", ["203.0.113.9:4711"], "203.0.113.9"),
        ("10.0.0.0/8", "10.0.0.1", ["[2001:db8::1]:4711"], "2001:db8::1"),
        ("10.0.0.0/8", "10.0.0.1", ["2001:db8::1"], "2001:db8::1"),
        ("10.0.0.0/8", "::ffff:10.0.0.1", ["::ffff:203.0.113.9"], "203.0.113.9"),
        ("::1", "::1", ["203.0.113.9"], "203.0.113.9"),
        ("10.0.0.0/8", "10.0.0.1", ["203.0.113.9, unknown"], "10.0.0.1"),
        ("10.0.0.0/8", "10.0.0.1", ["203.0.113.9, ' OR 1=1"], "10.0.0.1"),
        ("10.0.0.0/8", "10.0.0.1", [""], "10.0.0.1"),
    ],
)
async def test_the_client_is_the_last_address_that_is_no_proxy_of_ours(
    trusted: str, peer: str, forwarded: list[str], client: str
) -> None:
    seen: list[tuple[str, str]] = []

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        seen.append((scope["client"][0], scope["scheme"]))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    told = ClientAddress(app, TrustedProxies.parse(trusted))
    headers = [("X-Forwarded-For", value) for value in forwarded] + [("X-Forwarded-Proto", "https")]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(told, client=(peer, 1)), base_url="http://x") as asking:
        await asking.get("/", headers=headers)
    is_trusted = peer in TrustedProxies.parse(trusted)
    assert seen == [(client, "https" if is_trusted else "http")]


@pytest.mark.parametrize("address", ["203.0.113.9", "2001:db8:1:2:3:4:5:6", "::1", "127.0.0.1"])
def test_an_address_is_counted_alike_wherever_it_is(address: str) -> None:
    assert network_of(address) == network(address)


@pytest.mark.parametrize(
    "values",
    [
        {"trusted_proxies": "10.0.0.0/8, everybody"},
        {"trusted_proxies": "10.0.0.1/8"},
        {"public_url": "carteira.exemplo.com.br"},
        {"public_url": "https://carteira.exemplo.com.br/?a=b"},
        {"public_url": "https://user@carteira.exemplo.com.br"},
        {"public_url": "https://exemplo.com.br/carteira"},
        {"public_url": "https://exemplo.com.br/carteira", "root_path": "/outra"},
        {"root_path": "carteira"},
        {"root_path": "/carteira/"},
    ],
)
def test_impossible_addresses_are_refused(values: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - pydantic's own
        settings_for(tmp_path, **values)


def test_a_slash_at_the_end_of_the_public_address_is_ignored(tmp_path: Path) -> None:
    settings: Settings = settings_for(tmp_path, public_url="https://exemplo.com.br/carteira/", root_path="/carteira")
    assert settings.public_url == "https://exemplo.com.br/carteira"


def test_a_network_of_mapped_addresses_is_the_ipv4_network() -> None:
    trusted = TrustedProxies.parse("::ffff:10.0.0.0/104")
    assert "10.1.2.3" in trusted
    assert "::ffff:10.1.2.3" in trusted
    assert "11.1.2.3" not in trusted
