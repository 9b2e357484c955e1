"""`make pin-images`, against a registry on this machine that answers as Docker's does."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tools import pin_images

DIGESTS = {"library/postgres:18.6": "sha256:" + "a" * 64, "caddy:2.11.4": "sha256:" + "b" * 64}
TOKEN = "for-everybody-who-may-read"


class Registry(BaseHTTPRequestHandler):
    """Gives digests of manifests to who shows its token, and the token to anybody who names the repository."""

    asked: list[tuple[str, str]]
    """Requests, each with its `Accept`."""

    def do_HEAD(self) -> None:
        self.asked.append((self.path, self.headers["Accept"]))
        _, _, name = self.path.partition("/v2/")
        name, _, tag = name.partition("/manifests/")
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            realm = f"http://{self.headers['Host']}/token"
            challenge = f'Bearer realm="{realm}",service="registry",scope="repository:{name}:pull"'
            self.answer(401, {"WWW-Authenticate": challenge})
        elif digest := DIGESTS.get(f"{name}:{tag}"):
            self.answer(200, {"Docker-Content-Digest": digest})
        else:
            self.answer(404, {})

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        given = parse_qs(url.query)
        assert url.path == "/token"
        assert given["service"] == ["registry"]
        assert given["scope"][0].startswith("repository:")
        self.answer(200, {"Content-Type": "application/json"}, json.dumps({"token": TOKEN}).encode())

    def answer(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        """Log nothing."""


@pytest.fixture
def registry() -> Iterator[str]:
    Registry.asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Registry) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"localhost:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def files(tmp_path: Path, registry: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    texts = {
        "Dockerfile": f"ARG BASE={registry}/caddy:2.11.4@sha256:{'0' * 64}\nFROM ${{BASE}}\n",
        "compose.yaml": f"image: ${{POSTGRES_IMAGE:-{registry}/library/postgres:18.6}}\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(pin_images, "ROOT", tmp_path)
    return {name: tmp_path / name for name in texts}


def test_digests_are_asked_of_the_registry_and_written(registry: str, files: dict[str, Path]) -> None:
    assert pin_images.main() == 0
    first, second = DIGESTS.values()
    named = f"{registry}/library/postgres:18.6@{first}"
    assert files["compose.yaml"].read_text() == f"image: ${{POSTGRES_IMAGE:-{named}}}\n"
    assert files["Dockerfile"].read_text() == f"ARG BASE={registry}/caddy:2.11.4@{second}\nFROM ${{BASE}}\n"
    assert len(Registry.asked) == 4, "each without a token, then with one"
    assert all("image.index" in accepted and "manifest.list" in accepted for _, accepted in Registry.asked)


@pytest.mark.parametrize("missing", ["{registry}/caddy:9.9", "localhost:1/none:1.0"])
def test_nothing_is_written_unless_each_registry_answers(
    registry: str, files: dict[str, Path], missing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with files["compose.yaml"].open("a") as file:
        file.write(f"image: {missing.format(registry=registry)}\n")
    before = {name: file.read_text() for name, file in files.items()}
    assert pin_images.main() == 1
    assert {name: file.read_text() for name, file in files.items()} == before
    assert "Nothing was written" in capsys.readouterr().err
