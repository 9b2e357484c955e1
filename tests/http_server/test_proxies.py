"""Behind Debian's nginx and Caddy, without a prefix and with one, taken off or left on; skipped where they are not."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from carteira.embedded import Endpoints
from tests.support import files
from tests.support.databases import NewDatabase
from tests.support.people import PASSWORD, new_person
from tests.support.server import free_port, running_server
from tests.support.waiting import wait_until

CLIENT = "127.0.7.5"
"""Where the client asks from: no proxy's address."""
SPOOFED = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https", "Host": "evil.example"}

PATH = "/usr/sbin:/usr/bin:/bin"
"""Debian's nginx stands where the path of ordinary users does not lead."""
NGINX = """
user root; daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location {prefix}/ {{
            proxy_pass http://127.0.0.1:{upstream}{taken_off};
            proxy_http_version 1.1;
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header Connection "";
            client_max_body_size 11m;
        }}
    }}
}}
"""
CADDY = """
{{
    admin off
    auto_https off
}}
http://127.0.0.1:{port}, http://evil.example:{port} {{
    bind 127.0.0.1
    {handle} {prefix}/* {{
        reverse_proxy 127.0.0.1:{upstream}
    }}
}}
"""
CASES = {"alone": ("", False), "prefix left on": ("/carteira", False), "prefix taken off": ("/carteira", True)}


@dataclass
class Proxied:
    """A server behind a proxy."""

    url: str
    prefix: str
    client: httpx.Client


def command(proxy: str, folder: Path, port: int, upstream: int, case: str) -> list[str]:
    prefix, is_taken_off = CASES[case]
    written = folder / f"{proxy}.conf"
    shape = NGINX if proxy == "nginx" else CADDY
    written.write_text(
        shape.format(
            folder=folder,
            port=port,
            upstream=upstream,
            prefix=prefix,
            taken_off="/" if is_taken_off else "",
            handle="handle_path" if is_taken_off else "handle",
        )
    )
    if proxy == "nginx":
        return ["nginx", "-p", str(folder), "-c", str(written), "-e", str(folder / "error.log")]
    return ["caddy", "run", "--adapter", "caddyfile", "--config", str(written)]


@pytest.fixture(params=[f"{proxy}, {case}" for proxy in ("nginx", "caddy") for case in CASES])
def proxied(
    request: pytest.FixtureRequest, new_database: NewDatabase, endpoints: Endpoints, tmp_path: Path
) -> Iterator[Proxied]:
    proxy, _, case = str(request.param).partition(", ")
    if shutil.which(proxy, path=PATH) is None:
        pytest.skip(f"NO {proxy.upper()}: nothing was proven behind it (`make proxies`)")
    port, prefix = free_port(), CASES[case][0]
    url = f"http://127.0.0.1:{port}{prefix}"
    with running_server(
        tmp_path,
        workers=1,
        database_url=new_database(f"{proxy}{list(CASES).index(case)}"),
        redis_url=endpoints.redis_url,
        carteira_modules="documents",
        trusted_proxies="127.0.0.1",
        public_url=url,
        root_path=prefix,
    ) as server:
        upstream = int(server.url.rpartition(":")[2])
        log = (tmp_path / "proxy.log").open("wb")
        env = {"HOME": str(tmp_path), "PATH": PATH}
        running = subprocess.Popen(  # noqa: S603 - argv is ours
            command(proxy, tmp_path, port, upstream, case), stdout=log, stderr=log, env=env, cwd=tmp_path
        )
        transport = httpx.HTTPTransport(local_address=CLIENT)
        try:
            with httpx.Client(transport=transport, base_url=url, timeout=60) as client:
                wait_until(lambda: answers(client), "the proxy answers")
                yield Proxied(url, prefix, client)
        finally:
            running.terminate()
            running.wait(20)
            log.close()


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/health").status_code == 200
    except httpx.TransportError:
        return False


def test_people_are_themselves_and_links_lead_back(proxied: Proxied) -> None:
    client, person = proxied.client, new_person()
    assert client.post("/users/register", json=person, headers=SPOOFED).status_code == 201
    login = {"username": person["cpf"], "password": PASSWORD}
    signed_in = client.post("/auth/login", data=login, headers=SPOOFED)
    assert signed_in.status_code == 200, signed_in.text
    headers = {"Authorization": f"Bearer {signed_in.json()['access_token']}"}
    (session,) = client.get("/auth/sessions", headers=headers | SPOOFED).json()["items"]
    assert CLIENT.rpartition(".")[0] in str(session), "the client's network, neither the proxy's nor what it said"
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


def test_pages_and_what_they_load_are_under_the_prefix(proxied: Proxied) -> None:
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
