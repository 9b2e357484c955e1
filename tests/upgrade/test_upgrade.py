"""From the former release to this one behind nginx or Caddy, two servers and a worker under load, and back.

No request fails. The former release is the commit in `v0.9.0`. A server is taken out of the proxy before it is stopped,
as `upgrade.md` says.
"""

import io
import shutil
import subprocess
import sys
import tarfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from carteira.embedded import EmbeddedServers, Endpoints, free_port
from carteira.kit.security import tokens
from tests.support.benefits import AUTHORIZER, OTHER, processor_headers, purchase
from tests.support.nginx import PATH, nginx_configuration
from tests.support.people import PASSWORD, new_person
from tests.support.processes import Process
from tests.support.server import PLAIN, Server, clean_environment, wait_until_ready
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
STOP_SECONDS = 60
LOADED = 200
"""The least number of requests between two steps."""
PACE_SECONDS = 0.05
"""Seconds between two requests of a thread: a server that starts beside them needs a part of the machine."""
HTTP = """
upstream carteira {{
{servers}
}}
server {{
    listen 127.0.0.1:{port};
    location / {{
        proxy_pass http://carteira;
        proxy_http_version 1.1;
        proxy_set_header Host $host;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header Connection "";
    }}
}}
"""
CADDY = """
{{
    admin 127.0.0.1:{admin}
    auto_https off
}}
http://127.0.0.1:{port} {{
    reverse_proxy {servers}
}}
"""
pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]


def source_of(commit: str, folder: Path) -> Path:
    """Lay out a commit's source and migrations.

    Raises:
        AssertionError: the repository does not have it.
    """
    made = subprocess.run(
        ["git", "-C", str(ROOT), "archive", commit, "src", "migrations"],
        capture_output=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr.decode()
    with tarfile.open(fileobj=io.BytesIO(made.stdout)) as archive:
        archive.extractall(folder)  # noqa: S202 - a tree of this repository; 3.11.2 has no `filter`
    return folder / "src"


class Nginx:
    """nginx in front of the servers; a server that was taken out gets no more requests."""

    def __init__(self, folder: Path, ports: list[int]) -> None:
        self.folder = folder
        self.ports = ports
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def write(self, out: int | None = None) -> None:
        lines = [f"        server 127.0.0.1:{port}{' down' if port == out else ''};" for port in self.ports]
        http = HTTP.format(port=self.port, servers="\n".join(lines))
        (self.folder / "nginx.conf").write_text(nginx_configuration(self.folder, http))

    def command(self, *more: str) -> list[str]:
        errors = str(self.folder / "error.log")
        return ["nginx", "-p", str(self.folder), "-c", str(self.folder / "nginx.conf"), "-e", errors, *more]

    def take_out(self, out: int | None) -> None:
        """Send a server no more requests (None: use all), and wait until its open ones are answered."""
        before = self.workers()
        self.write(out)
        subprocess.run(self.command("-s", "reload"), check=True, env={"PATH": PATH})
        wait_until(lambda: not before & self.workers(), "nginx's former processes are gone")

    def workers(self) -> set[str]:
        pid = (self.folder / "nginx.pid").read_text().strip()
        return set(Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


class Caddy(Nginx):
    """Caddy in front of them."""

    def __init__(self, folder: Path, ports: list[int]) -> None:
        super().__init__(folder, ports)
        self.admin = free_port()

    def write(self, out: int | None = None) -> None:
        servers = " ".join(f"127.0.0.1:{port}" for port in self.ports if port != out)
        (self.folder / "Caddyfile").write_text(CADDY.format(admin=self.admin, port=self.port, servers=servers))

    def command(self, *more: str) -> list[str]:
        return ["caddy", *(more or ("run",)), "--adapter", "caddyfile", "--config", str(self.folder / "Caddyfile")]

    def take_out(self, out: int | None) -> None:
        self.write(out)
        env = {"PATH": PATH, "HOME": str(self.folder)}
        subprocess.run(self.command("reload"), check=True, env=env, capture_output=True)
        before = connections_to(self.port)  # a client of the load has one for each request
        wait_until(lambda: not before & connections_to(self.port), "what came before the reload is answered")


def connections_to(port: int) -> set[str]:
    """Return the addresses of this machine that are connected to a port of it."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {line[1] for line in lines if line[2].endswith(f":{port:04X}") and line[3] == "01"}


PROXIES = {"nginx": Nginx, "caddy": Caddy}


@contextmanager
def proxied(name: str, folder: Path, ports: list[int]) -> Iterator[Nginx]:
    folder.mkdir()
    proxy = PROXIES[name](folder, ports)
    proxy.write()
    with (folder / "proxy.log").open("wb") as log:
        env = {"HOME": str(folder), "PATH": PATH}
        running = subprocess.Popen(proxy.command(), env=env, cwd=folder, stdout=log, stderr=log)
    try:
        wait_until(lambda: answers(proxy.url), f"{name} answers")
        yield proxy
    finally:
        running.terminate()
        try:
            running.wait(20)
        finally:
            running.kill()


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/ready", timeout=5, verify=PLAIN).status_code == 200
    except httpx.TransportError:
        return False


class Load:
    """Requests, one after the other in each of several threads, and the answers that were wrong."""

    def __init__(self, url: str, asks: list[Callable[[httpx.Client], httpx.Response]]) -> None:
        self.url = url
        self.failures: list[str] = []
        self.done: Counter[int] = Counter()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._go_on, args=(number, ask)) for number, ask in enumerate(asks)]

    def _go_on(self, number: int, ask: Callable[[httpx.Client], httpx.Response]) -> None:
        # nginx closes idle connections when its upstreams change: a client that keeps one may find it closed.
        with httpx.Client(base_url=self.url, timeout=30, headers={"Connection": "close"}) as client:
            while not self._stop.wait(PACE_SECONDS):
                try:
                    answer = ask(client)
                except httpx.TransportError as error:
                    self.failures.append(f"{number}: {error!r}")
                else:
                    if answer.status_code != 200 or answer.json().get("code", "00") != "00":
                        self.failures.append(f"{number}: {answer.status_code} {answer.text[:200]}")
                self.done[number] += 1

    def go_on(self) -> None:
        """Wait until each thread has sent some more."""
        before = dict(self.done)
        wait_until(
            lambda: all(self.done[n] >= before.get(n, 0) + LOADED // 4 for n in range(len(self._threads))),
            "the load goes on",
            120,
        )

    @contextmanager
    def running(self) -> Iterator["Load"]:
        for thread in self._threads:
            thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join()


class Release:
    """A release's processes on the test's servers; `end` kills those that still run, however the test ended."""

    def __init__(self, source: Path, home: Path, endpoints: Endpoints) -> None:
        self.env = clean_environment(
            home,
            database_url=endpoints.database_url,
            migration_database_url=endpoints.owner_url,
            redis_url=endpoints.redis_url,
            aws_endpoint_url=endpoints.aws_endpoint_url,
            trusted_proxies="127.0.0.1",
            log_level="warning",
        ) | {"PYTHONPATH": str(source)}
        self.home = home
        self.started: list[Process | subprocess.Popen[bytes]] = []

    def run(self, *arguments: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "carteira", *arguments],
            env=self.env,
            cwd=self.home,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()

    def serve(self, port: int) -> Server:
        env = self.env | {"PORT": str(port), "WORKERS": "1"}
        server = Server(f"http://127.0.0.1:{port}", self.home, env, self.home / f"server-{port}.log")
        self.started.append(server.process)
        wait_until_ready(server)
        return server

    def work(self) -> "subprocess.Popen[bytes]":
        env = self.env | {"WORKER_PORT": str(free_port())}
        with (self.home / "worker.log").open("ab") as log:
            worker = subprocess.Popen([sys.executable, "-m", "carteira", "worker"], env=env, cwd=self.home, stderr=log)
        self.started.append(worker)
        return worker

    def end(self) -> None:
        for process in self.started:
            process.kill()
            process.wait()


def stop(process: "Process | subprocess.Popen[bytes]") -> None:
    process.terminate()
    assert process.wait(STOP_SECONDS) == 0


def load_requests(url: str) -> list[Callable[[httpx.Client], httpx.Response]]:
    """Register a person and open an account; return the requests of the load."""
    person = new_person()
    with httpx.Client(base_url=url, timeout=30) as client:
        assert client.post("/users/register", json=person).status_code == 201
        login = {"username": person["cpf"], "password": PASSWORD}
        bearer = {"Authorization": f"Bearer {client.post('/auth/login', data=login).json()['access_token']}"}
    headers = processor_headers()

    def buy(client: httpx.Client) -> httpx.Response:
        return client.post(AUTHORIZER, content=purchase("up", "0.01", OTHER, id=str(uuid4())), headers=headers)

    return [
        buy,
        buy,
        lambda client: client.get("/users/me", headers=bearer),
        lambda client: client.get("/transport-cards", headers=bearer),
    ]


def open_account(url: str, home: Path) -> None:
    """Open the account that is bought from, with a developer's token."""
    key = tokens.load_or_create_key(home / "keys" / "access-token.pem")
    token = tokens.sign(key, subject=str(uuid4()), ttl_seconds=600, claims={"claims": ["*"]})
    body = {"account": "up", "user_id": str(uuid4()), "balances": {"CASH": 100_000_000}}
    opened = httpx.post(f"{url}/benefits/accounts", json=body, headers={"Authorization": f"Bearer {token}"}, timeout=30)
    assert opened.status_code == 201, opened.text


def replace(proxy: Nginx, servers: dict[int, Server], release: Release, load: Load) -> None:
    """Replace one server after the other, under load."""
    for port, server in list(servers.items()):
        proxy.take_out(port)
        stop(server.process)
        servers[port] = release.serve(port)
        proxy.take_out(None)
        load.go_on()


@pytest.mark.parametrize("name", PROXIES)
def test_an_upgrade_and_the_way_back_fail_no_request(name: str, tmp_path: Path) -> None:
    if shutil.which(name, path=PATH) is None:
        pytest.skip(f"NO {name.upper()}: no upgrade was tried behind it (`make proxies`)")
    commit = (Path(__file__).parent / "v0.9.0").read_text().strip()
    with ExitStack() as stack:
        running = stack.enter_context(EmbeddedServers(tmp_path / "home"))
        former = Release(source_of(commit, tmp_path / "former"), tmp_path / "home", running.endpoints)
        this = Release(ROOT / "src", tmp_path / "home", running.endpoints)
        for release in (former, this):
            stack.callback(release.end)
        former.run("migrate")
        ports = [free_port(), free_port()]
        servers = {port: former.serve(port) for port in ports}
        worker = former.work()
        proxy = stack.enter_context(proxied(name, tmp_path / "proxy", ports))
        open_account(proxy.url, tmp_path / "home")
        with Load(proxy.url, load_requests(proxy.url)).running() as load:
            load.go_on()
            this.run("migrate")
            load.go_on()
            replace(proxy, servers, this, load)
            stop(worker)
            worker = this.work()
            load.go_on()
            replace(proxy, servers, former, load)
        stop(worker)
        assert load.failures == []
        this.run("ledger", "reconcile")
        for server in servers.values():
            stop(server.process)
