"""Behind Debian's nginx and Caddy, with and without a prefix; skipped where they are not installed.

Their configuration is that of `docs/how-to/behind-a-proxy.md`, with this test's ports. Both proxies are also tried with
what a client writes to mislead a proxy about where its request ends.
"""

import json
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import redis

from carteira.embedded import Endpoints, free_port
from tests.support import files
from tests.support.databases import NewDatabase
from tests.support.guides import blocks_of, replaced
from tests.support.nginx import PATH, nginx_configuration
from tests.support.people import PASSWORD, new_person
from tests.support.server import running_server
from tests.support.source import ROOT
from tests.support.waiting import wait_until

LIMITS = 15
"""The Redis database of these servers: one client fails to sign in here so often that it would block others elsewhere.
"""

CLIENT = "127.0.7.5"
"""The client's address, which no proxy has."""
SPOOFED = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https", "Host": "evil.example"}

CADDY = """
{{
    admin off
    auto_https off
}}
{page}
"""
PAGE = ROOT / "docs" / "how-to" / "behind-a-proxy.md"
CASES = {"alone": ("", False), "prefix left on": ("/carteira", False), "prefix taken off": ("/carteira", True)}


@dataclass
class Proxied:
    """A server behind a proxy."""

    url: str
    prefix: str
    client: httpx.Client
    port: int
    log: Path

    def forwarded(self) -> list[tuple[str, str]]:
        """Return the methods and routes of the requests that reached the server."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if '"event":"request"' in line]
        return [(line["method"], line["route"]) for line in lines]

    def send(self, sent: bytes) -> bytes:
        """Send bytes over a new connection; return the answer until it closes, or one answer if it stays open."""
        with socket.create_connection(("127.0.0.1", self.port), 20, source_address=(CLIENT, 0)) as raw:
            raw.sendall(sent)
            answer = b""
            while not is_whole(answer) and (piece := raw.recv(65_536)):
                answer += piece
            return answer

    def send_and_close(self, sent: bytes) -> None:
        """Send bytes, and close the connection."""
        with socket.create_connection(("127.0.0.1", self.port), 20, source_address=(CLIENT, 0)) as raw:
            raw.sendall(sent)


def is_whole(answer: bytes) -> bool:
    """Return whether an answer on a connection that stays open is complete."""
    head, end, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head.lower())
    return bool(end and length and b"connection: close" not in head.lower() and len(body) >= int(length[1]))


def configuration(proxy: str, port: int, upstream: int, case: str) -> str:
    """Return the page's block with this test's ports, and changed for a prefix as the page says."""
    (nginx,) = [block.text for block in blocks_of(PAGE) if block.language == "nginx"]
    (caddy,) = [block.text for block in blocks_of(PAGE) if "reverse_proxy" in block.text]
    prefix, is_taken_off = CASES[case]
    own = f"127.0.0.1:{upstream}"
    if proxy == "nginx":
        given = {"location /": f"location {prefix}/", "127.0.0.1:8000": own + ("/" if is_taken_off else "")}
        return replaced(nginx, given)
    handle = "handle_path" if is_taken_off else "handle"
    given = {
        "carteira.exemplo.com.br {": f"http://127.0.0.1:{port}, http://evil.example:{port} {{\nbind 127.0.0.1",
        "reverse_proxy 127.0.0.1:8000": f"{handle} {prefix}/* {{\nreverse_proxy {own}\n}}",
    }
    return replaced(caddy, given)


def command(proxy: str, folder: Path, port: int, upstream: int, case: str) -> list[str]:
    written = folder / f"{proxy}.conf"
    page = configuration(proxy, port, upstream, case)
    if proxy == "nginx":
        server = f"server {{\nlisten 127.0.0.1:{port};\n{page}\n}}"
        written.write_text(nginx_configuration(folder, server))
        return ["nginx", "-p", str(folder), "-c", str(written), "-e", str(folder / "error.log")]
    written.write_text(CADDY.format(page=page))
    return ["caddy", "run", "--adapter", "caddyfile", "--config", str(written)]


@pytest.fixture(scope="module", params=[f"{proxy}, {case}" for proxy in ("nginx", "caddy") for case in CASES])
def proxied(
    request: pytest.FixtureRequest,
    new_database: NewDatabase,
    endpoints: Endpoints,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Proxied]:
    tmp_path = tmp_path_factory.mktemp("proxied")
    proxy, _, case = str(request.param).partition(", ")
    if shutil.which(proxy, path=PATH) is None:
        pytest.skip(f"NO {proxy.upper()}: nothing was proven behind it (`make proxies`)")
    port, prefix = free_port(), CASES[case][0]
    url = f"http://127.0.0.1:{port}{prefix}"
    limits = f"{endpoints.redis_url.removesuffix('/0').rstrip('/')}/{LIMITS}"
    with redis.Redis.from_url(limits) as counts:
        counts.flushdb()  # each case fails to sign in as often as it may
    with running_server(
        tmp_path,
        workers=1,
        database_url=new_database(f"{proxy}{list(CASES).index(case)}"),
        redis_url=limits,
        carteira_modules="documents",
        trusted_proxies="127.0.0.1",
        public_url=url,
        root_path=prefix,
    ) as server:
        upstream = int(server.url.rpartition(":")[2])
        log = (tmp_path / "proxy.log").open("wb")
        env = {"HOME": str(tmp_path), "PATH": PATH}
        running = subprocess.Popen(
            command(proxy, tmp_path, port, upstream, case), stdout=log, stderr=log, env=env, cwd=tmp_path
        )
        transport = httpx.HTTPTransport(local_address=CLIENT)
        try:
            with httpx.Client(transport=transport, base_url=url, timeout=60) as client:
                wait_until(lambda: answers(client), "the proxy answers")
                yield Proxied(url, prefix, client, port, server.log)
        finally:
            running.terminate()
            running.wait(20)
            log.close()


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/health").status_code == 200
    except httpx.TransportError:
        return False


def test_clients_keep_their_addresses_and_links_use_the_public_one(proxied: Proxied) -> None:
    client, person = proxied.client, new_person()
    assert client.post("/users/register", json=person, headers=SPOOFED).status_code == 201
    login = {"username": person["cpf"], "password": PASSWORD}
    signed_in = client.post("/auth/login", data=login, headers=SPOOFED)
    assert signed_in.status_code == 200, signed_in.text
    headers = {"Authorization": f"Bearer {signed_in.json()['access_token']}"}
    (session,) = client.get("/auth/sessions", headers=headers | SPOOFED).json()["items"]
    assert CLIENT.rpartition(".")[0] in str(session), "the client's network, neither the proxy's nor the claimed one"
    assert "203.0.113" not in str(session)
    file = {"file": ("cnh.pdf", files.pdf(3_000_000), "application/pdf")}
    fields = {"document_type": "CNH", "document_number": "62472927637"}
    upgrade = {"Connection": "Upgrade", "Upgrade": "h2c"}
    kept = client.post("/documents", data=fields, files=file, headers=headers | upgrade)
    assert kept.status_code == 201, kept.text
    link = client.post(f"/documents/{kept.json()['id']}/link", headers=headers | SPOOFED).json()["url"]
    assert link.startswith(proxied.url + "/documents/")
    assert len(client.get(link).content) == 3_000_000
    proof = client.post(f"/documents/{kept.json()['id']}/proof", headers=headers | SPOOFED).json()["url"]
    assert proof.startswith(proxied.url + "/documents/proofs/")
    assert client.get(proof).json()["state"] == "declared"


def test_pages_and_their_files_are_under_the_prefix(proxied: Proxied) -> None:
    client = proxied.client
    document = client.get("/openapi.json").json()
    schemes = document["components"]["securitySchemes"].values()
    told = {flow["tokenUrl"] for scheme in schemes for flow in scheme.get("flows", {}).values()}
    assert f"{proxied.prefix}/auth/login" in told
    assert all(url.startswith(f"{proxied.prefix}/auth/") for url in told)
    assert [server["url"] for server in document.get("servers", [])] == [proxied.prefix or "/"]
    for page in ("/docs", "/redoc"):
        answer = client.get(page)
        loaded = re.findall(r'(?:src|href)="(/[^"]+)"', answer.text)
        assert loaded
        root = proxied.url.removesuffix(proxied.prefix)
        assert {client.get(root + path).status_code for path in loaded} == {200}
        assert f"{proxied.prefix}/openapi.json" in answer.text
        assert "script-src 'self' 'sha256-" in answer.headers["content-security-policy"] or page == "/redoc"
    missing = client.get("/users/")
    assert missing.status_code == 404
    assert client.delete("/users/").status_code == 404


def asked(
    path: bytes, *headers: bytes, body: bytes = b"", method: bytes = b"POST", host: bytes = b"evil.example"
) -> bytes:
    """Return a request from its lines; the connection is closed where the request ends."""
    return b"\r\n".join((method + b" " + path + b" HTTP/1.1", b"Host: " + host, *headers, b"", body))


CLOSE = b"Connection: close"
CHUNKED = b"Transfer-Encoding: chunked"
FORM = b"Content-Type: application/x-www-form-urlencoded"
SMUGGLED = b"PATCH /health HTTP/1.1\r\nHost: evil.example\r\n\r\n"
"""A request that no client sends: if it reaches the server, proxy and server disagree where a request ends."""
LOGIN = b"username=529.982.247-25&password=Errada1errada"


def games(prefix: bytes) -> dict[str, tuple[bytes, str]]:
    """Return each attack's bytes, and the statuses of a correct answer."""
    login, health = prefix + b"/auth/login", prefix + b"/health"
    length = b"Content-Length: %d" % len(LOGIN)
    zero = b"0\r\n\r\n" + SMUGGLED
    return {
        "two hosts": (asked(health, CLOSE, b"Host: outro.example", method=b"GET"), "400"),
        "a length of thousands of digits": (
            asked(login, FORM, b"Content-Length: " + b"9" * 5000, body=LOGIN),
            "400 413",
        ),
        "a length with a sign": (asked(login, FORM, CLOSE, b"Content-Length: +46", body=LOGIN), "400"),
        "two lengths": (asked(login, FORM, CLOSE, length, b"Content-Length: 0", body=LOGIN), "400"),
        "a length and chunks": (asked(login, FORM, CLOSE, b"Content-Length: 5", CHUNKED, body=zero), "400 422"),
        "chunks and a length": (asked(login, FORM, CLOSE, CHUNKED, b"Content-Length: 5", body=zero), "400 422"),
        "chunks of another name": (
            asked(login, FORM, CLOSE, b"Transfer-Encoding: xchunked", length, body=LOGIN),
            "400 501",
        ),
        "chunks twice": (asked(login, FORM, CLOSE, CHUNKED, CHUNKED, body=zero), "400 501"),
        "chunks behind a tab": (
            asked(login, FORM, CLOSE, b"Transfer-Encoding:\x0bchunked", length, body=LOGIN),
            "400 501",
        ),
        "a space before a colon": (asked(login, FORM, CLOSE, b"Content-Length : 5", length, body=LOGIN), "400 401"),
        "a folded line": (
            asked(login, FORM, CLOSE, b"X-A: b", b" Transfer-Encoding: chunked", length, body=LOGIN),
            "400 401",
        ),
        "a chunk that is larger than there is": (
            asked(login, FORM, CLOSE, CHUNKED, body=b"FFFFFFFFFFFFFFFFF\r\n" + zero),
            "400 413 502",  # by then Caddy has begun to forward it
        ),
        "another protocol, with a body": (
            asked(
                login,
                FORM,
                b"Connection: Upgrade, HTTP2-Settings",
                b"Upgrade: h2c",
                b"HTTP2-Settings: AAMAAABk",
                length,
                body=LOGIN,
            ),
            "401",
        ),
        "headers that the connection takes away": (
            asked(login, FORM, b"Connection: close, X-Forwarded-For, Content-Length, Host", length, body=LOGIN),
            "401",
        ),
        "a whole address": (asked(b"http://evil.example" + health, CLOSE, method=b"GET"), "200"),
        "a body that nobody reads": (
            asked(health, CLOSE, b"Content-Length: %d" % len(SMUGGLED), body=SMUGGLED, method=b"GET"),
            "200",
        ),
    }


def test_a_proxy_and_the_server_agree_where_a_request_ends(proxied: Proxied) -> None:
    bystander = proxied.client
    for half in (
        b"GET /health HTT",
        asked(b"/health", method=b"GET")[:-4],
        asked(b"/auth/login", b"Content-Length: 9"),
    ):
        proxied.send_and_close(half)
    for name, (sent, right) in games(proxied.prefix.encode()).items():
        answer = proxied.send(sent)
        assert answer[9:12].decode() in right.split(), (name, answer[:200])
        assert answer.count(b"HTTP/1.1 ") == 1, name
        assert bystander.get("/health").json() == {"status": "ok"}, name
        assert bystander.get("/openapi.json").json()["info"]["title"], name
    assert [route for method, route in proxied.forwarded() if method == "PATCH"] == []
