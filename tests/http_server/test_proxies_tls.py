"""Behind nginx and Caddy with TLS, configured as `docs/how-to/run-several-machines.md` says; one machine is away.

The page's addresses, ports, and folders of certificates are replaced by this test's own.
"""

import shutil
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from carteira.embedded import free_port
from tests.support.certificates import Authority
from tests.support.databases import NewDatabase
from tests.support.guides import blocks_of, replaced
from tests.support.nginx import PATH, nginx_configuration
from tests.support.server import Server, running_server
from tests.support.source import ROOT
from tests.support.waiting import wait_until

PAGE = ROOT / "docs" / "how-to" / "run-several-machines.md"
NAME = "carteira.exemplo.com.br"
CADDY = """
{{
    admin off
    local_certs
    skip_install_trust
    http_port {http}
    default_bind 127.0.0.1
}}
{page}
"""

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]


@dataclass
class Site:
    """A running proxy: its ports, and how its certificate is verified."""

    https: int
    http: int
    folder: Path
    verify: ssl.SSLContext | None = None

    def get(self, path: str, scheme: str = "https") -> httpx.Response:
        """Ask as a browser that looked the site's name up."""
        port = self.https if scheme == "https" else self.http
        with httpx.Client(verify=self.verify or True, timeout=20) as client:
            request = client.build_request(
                "GET",
                f"{scheme}://127.0.0.1:{port}{path}",
                headers={"Host": NAME},
                extensions={"sni_hostname": NAME},
            )
            return client.send(request)

    def answers(self) -> bool:
        try:
            return self.get("/health").status_code == 200
        except httpx.TransportError:
            return False


@pytest.fixture(scope="module")
def server(new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = {"trusted_proxies": "127.0.0.1", "public_url": f"https://{NAME}"}
    home = tmp_path_factory.mktemp("behind-tls")
    with running_server(home, workers=1, database_url=new_database("behind_tls"), **settings) as server:
        yield server


def page_of(proxy: str, site: Site, upstream: str) -> str:
    """Return the page's block for a proxy, with the second machine away."""
    away = f"127.0.0.1:{free_port()}"
    if proxy == "nginx":
        (block,) = [one.text for one in blocks_of(PAGE) if one.language == "nginx"]
        certificates = f"/etc/letsencrypt/live/{NAME}"
        given = {
            "10.0.0.11:8000": upstream,
            "10.0.0.12:8000": away,
            "listen 443 ssl": f"listen 127.0.0.1:{site.https} ssl",
            "listen 80": f"listen 127.0.0.1:{site.http}",
            f"{certificates}/fullchain.pem": str(site.folder / "site.crt"),
            f"{certificates}/privkey.pem": str(site.folder / "site.key"),
            "/var/www/certbot": str(site.folder / "certbot"),
        }
        return nginx_configuration(site.folder, replaced(block, given))
    (block,) = [one.text for one in blocks_of(PAGE) if "lb_policy" in one.text]
    given = {f"{NAME} {{": f"{NAME}:{site.https} {{", "10.0.0.11:8000": upstream, "10.0.0.12:8000": away}
    return CADDY.format(http=site.http, page=replaced(block, given))


@pytest.fixture(params=["nginx", "caddy"])
def proxied(request: pytest.FixtureRequest, server: Server, tmp_path: Path) -> Iterator[tuple[str, Site]]:
    proxy = str(request.param)
    if shutil.which(proxy, path=PATH) is None:
        pytest.skip(f"NO {proxy.upper()}: its configuration of the page was not tried (`make proxies`)")
    site = Site(free_port(), free_port(), tmp_path)
    Authority(tmp_path).issue("site", NAME)
    file = tmp_path / f"{proxy}.conf"
    file.write_text(page_of(proxy, site, server.url.removeprefix("http://")))
    command = {
        "nginx": ["nginx", "-p", str(tmp_path), "-c", str(file), "-e", str(tmp_path / "error.log")],
        "caddy": ["caddy", "run", "--adapter", "caddyfile", "--config", str(file)],
    }[proxy]
    root = {"nginx": tmp_path / "root.crt", "caddy": tmp_path / "data/caddy/pki/authorities/local/root.crt"}[proxy]
    environment = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "data"), "PATH": PATH}
    with (tmp_path / "proxy.log").open("wb") as log:
        running = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=tmp_path)
        try:
            wait_until(root.exists, f"{proxy}'s authority")
            site.verify = ssl.create_default_context(cafile=root)
            wait_until(site.answers, f"{proxy} answers: {(tmp_path / 'proxy.log').read_text()}")
            yield proxy, site
        finally:
            running.terminate()
            running.wait(20)


def test_people_are_served_over_tls_while_one_machine_is_away(proxied: tuple[str, Site]) -> None:
    _, site = proxied
    answers = [site.get("/health") for _ in range(10)]
    assert [answer.status_code for answer in answers] == [200] * 10
    assert "strict-transport-security" in answers[0].headers


def test_plain_http_leads_to_tls_and_to_certbots_challenge(proxied: tuple[str, Site]) -> None:
    proxy, site = proxied
    answer = site.get("/docs?a=b", "http")
    assert answer.status_code == (301 if proxy == "nginx" else 308)
    assert answer.headers["location"].removesuffix("/docs?a=b") in {f"https://{NAME}", f"https://{NAME}:{site.https}"}
    folder = site.folder / "certbot" / ".well-known" / "acme-challenge"
    folder.mkdir(parents=True)
    (folder / "token").write_text("proof")
    challenge = site.get("/.well-known/acme-challenge/token", "http")
    assert challenge.text == ("proof" if proxy == "nginx" else ""), "Caddy answers by itself, where it asked for one"
