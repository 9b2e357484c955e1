"""Every driver honours the options of `DATABASE_URL`, on real servers with TLS and a Unix socket."""

import asyncio
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from procrastinate import PsycopgConnector
from sqlalchemy import text

from carteira.embedded import SERVICE, EmbeddedServers, Endpoints, free_port
from carteira.kit.db.address import DatabaseAddress
from carteira.kit.db.engine import open_database
from carteira.kit.db.errors import DatabaseDown
from carteira.kit.db.session import fetch
from tests.support.certificates import Authority
from tests.support.commands import run_command
from tests.support.databases import prepare
from tests.support.pgbouncer import Bouncer, running_pgbouncer
from tools.psql import find_psql

pytestmark = pytest.mark.integration


SERVED_BY = {"client_tls_cert_file": "{folder}/server.crt", "client_tls_key_file": "{folder}/server.key"}


@dataclass(frozen=True)
class Server:
    """A server with a Unix socket."""

    endpoints: Endpoints
    sockets: Path

    @property
    def port(self) -> int:
        return DatabaseAddress.parse(self.endpoints.database_url).hosts[0].port

    @property
    def password(self) -> str:
        return DatabaseAddress.parse(self.endpoints.database_url).options["password"]

    def url(self, host: str = "localhost", **options: object) -> str:
        written = "&".join(f"{name}={quote(str(value))}" for name, value in options.items())
        return f"postgresql://{SERVICE}:{self.password}@/carteira?host={host}&port={self.port}&{written}".rstrip("&")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))  # a socket's path must be short
    folder.chmod(0o777)  # the server may run as another user
    settings = {"unix_socket_directories": str(folder), "fsync": "off"}
    with EmbeddedServers(folder / "home", redis=False, aws=False, postgres_settings=settings) as servers:
        prepare(servers.endpoints)
        yield Server(servers.endpoints, folder)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def tls(server: Server, authority: Authority) -> Iterator[Bouncer]:
    """PgBouncer, which accepts TLS only: the wheel's PostgreSQL is built without."""
    files = (*authority.issue("server", host="localhost"), authority.root)
    with running_pgbouncer(
        server.endpoints.database_url, {"client_tls_sslmode": "require", **SERVED_BY}, files=files
    ) as bouncer:
        yield bouncer


Ask = Callable[[str, str], Awaitable[str]]


async def by_session(url: str, question: str) -> str:
    async with open_database(url) as database, database.transaction() as tx:
        return str(await tx.scalar(text(question)))


async def by_lean(url: str, question: str) -> str:
    async with open_database(url) as database, database.lean_statements() as connection:
        return str((await fetch(connection, question))[0][0])


async def by_queue(url: str, question: str) -> str:
    connector = PsycopgConnector(conninfo=DatabaseAddress.parse(url).conninfo, min_size=1, max_size=1, timeout=5)
    await connector.open_async()
    try:
        return str(next(iter((await connector.execute_query_one_async(question)).values())))
    finally:
        await connector.close_async()


async def by_program(url: str, question: str) -> str:
    """psql stands for all of PostgreSQL's programs."""
    done = await asyncio.create_subprocess_exec(
        str(find_psql()),
        "-XAtqc",
        question,
        env=os.environ | DatabaseAddress.parse(url).variables,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, errors = await done.communicate()
    if done.returncode:
        raise DatabaseDown(errors.decode())
    return {"t": "True", "f": "False"}.get(said.decode().strip(), said.decode().strip())


async def by_migration(url: str, question: str) -> str:
    """Return a connection as `migrate` and `is_current` open it."""
    with psycopg.connect(DatabaseAddress.parse(url).conninfo) as connection:
        row = connection.execute(question.encode()).fetchone()
    assert row is not None
    return str(row[0])


WAYS = pytest.mark.parametrize("ask", [by_session, by_lean, by_queue, by_program, by_migration])
DRIVERS = pytest.mark.parametrize("ask", [by_session, by_lean, by_queue, by_migration])
"""Without PostgreSQL's programs: the wheel's are built without TLS."""
AT_ONCE = pytest.mark.parametrize("ask", [by_session, by_lean, by_migration])
"""Without the queue: psycopg's pool retries for half a minute before it fails."""
FAILS = (DatabaseDown, psycopg.OperationalError)
READS_ONLY = "-c default_transaction_read_only=on"


@DRIVERS
async def test_verify_full(tls: Bouncer, authority: Authority, ask: Ask) -> None:
    assert await ask(tls.url(sslmode="verify-full", sslrootcert=authority.root), "SELECT 1") == "1"


@AT_ONCE
async def test_verify_full_wants_the_right_name(tls: Bouncer, authority: Authority, ask: Ask) -> None:
    root = authority.root
    with pytest.raises(FAILS):
        await ask(tls.url("127.0.0.1", sslmode="verify-full", sslrootcert=root), "SELECT 1")
    assert await ask(tls.url("127.0.0.1", sslmode="verify-ca", sslrootcert=root), "SELECT 1") == "1"


@AT_ONCE
@pytest.mark.parametrize("mode", ["verify-full", "verify-ca", "require"])
async def test_a_certificate_of_another_authority_is_refused(tls: Bouncer, ask: Ask, tmp_path: Path, mode: str) -> None:
    with pytest.raises(FAILS):
        await ask(tls.url(sslmode=mode, sslrootcert=Authority(tmp_path).root), "SELECT 1")


@AT_ONCE
async def test_the_systems_authorities_are_asked(tls: Bouncer, ask: Ask) -> None:
    with pytest.raises(FAILS):
        await ask(tls.url(sslmode="verify-full", sslrootcert="system"), "SELECT 1")


@AT_ONCE
async def test_modes_without_a_root(tls: Bouncer, ask: Ask) -> None:
    for mode in ("prefer", "require"):
        assert await ask(tls.url(sslmode=mode), "SELECT 1") == "1"
    with pytest.raises(FAILS):
        await ask(tls.url(sslmode="disable"), "SELECT 1")


@AT_ONCE
async def test_a_server_without_tls_is_refused_where_it_is_demanded(server: Server, ask: Ask) -> None:
    assert await ask(server.url(sslmode="prefer"), "SELECT 1") == "1"
    with pytest.raises(FAILS):
        await ask(server.url(sslmode="require"), "SELECT 1")


@AT_ONCE
async def test_the_clients_certificate_is_shown(server: Server, authority: Authority, ask: Ask) -> None:
    # PgBouncer requires that the certificate's name is the user's.
    certificate, key = authority.issue(SERVICE)
    files = (*authority.issue("server", host="localhost"), authority.root)
    with running_pgbouncer(
        server.endpoints.database_url,
        {"client_tls_sslmode": "verify-full", "client_tls_ca_file": "{folder}/root.crt", **SERVED_BY},
        files=files,
    ) as bouncer:
        assert await ask(bouncer.url(sslmode="require", sslcert=certificate, sslkey=key), "SELECT 1") == "1"
        with pytest.raises(FAILS):
            await ask(bouncer.url(sslmode="require"), "SELECT 1")


@WAYS
async def test_a_unix_socket(server: Server, ask: Ask) -> None:
    question = "SELECT coalesce(client_addr::text, 'socket') FROM pg_stat_activity WHERE pid = pg_backend_pid()"
    assert await ask(server.url(str(server.sockets)), question) == "socket"


@DRIVERS
async def test_a_unix_socket_needs_no_tls(server: Server, authority: Authority, ask: Ask) -> None:
    url = server.url(str(server.sockets), sslmode="verify-full", sslrootcert=authority.root)
    assert await ask(url, "SELECT 1") == "1"


@WAYS
async def test_the_first_host_that_answers(server: Server, ask: Ask) -> None:
    many = f"postgresql://{SERVICE}:{server.password}@127.0.0.1:{free_port()},localhost:{server.port}/carteira"
    assert await ask(many, "SELECT 1") == "1"


@WAYS
async def test_a_host_that_is_silent_has_its_time_and_no_more(server: Server, ask: Ask) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it accepts connections and never answers
        hosts = f"127.0.0.1:{silent.getsockname()[1]},localhost:{server.port}"
        many = f"postgresql://{SERVICE}:{server.password}@{hosts}/carteira?connect_timeout=2"
        assert await ask(many, "SELECT 1") == "1"


@WAYS
async def test_the_host_that_fits_is_used(server: Server, ask: Ask) -> None:
    assert await ask(server.url(target_session_attrs="primary"), "SELECT 1") == "1"
    assert await ask(server.url(target_session_attrs="prefer-standby"), "SELECT 1") == "1"
    assert await ask(server.url(target_session_attrs="read-only", options=READS_ONLY), "SELECT 1") == "1"


@AT_ONCE
@pytest.mark.parametrize(("wanted", "options"), [("standby", ""), ("read-write", READS_ONLY)])
async def test_no_host_that_fits(server: Server, ask: Ask, wanted: str, options: str) -> None:
    with pytest.raises(FAILS):
        await ask(server.url(target_session_attrs=wanted, options=options), "SELECT 1")


@WAYS
async def test_options_and_the_name_win_over_ours(server: Server, ask: Ask) -> None:
    url = server.url(options="-c statement_timeout=7s -c work_mem=7MB", application_name="loja")
    assert await ask(url, "SELECT current_setting('statement_timeout')") == "7s"
    assert await ask(url, "SELECT current_setting('work_mem')") == "7MB"
    assert await ask(url, "SELECT current_setting('application_name')") == "loja"
    assert await ask(server.url(), "SELECT current_setting('application_name')") == "carteira"


@WAYS
async def test_a_service_and_a_file_of_passwords(
    server: Server, ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passwords, services = tmp_path / "passwords", tmp_path / "services"
    passwords.write_text(f"localhost:{server.port}:carteira:{SERVICE}:{server.password}\n")
    passwords.chmod(0o600)
    services.write_text(f"[wallet]\nhost=localhost\nport={server.port}\ndbname=carteira\nuser={SERVICE}\n")
    monkeypatch.setenv("PGSERVICEFILE", str(services))
    assert await ask(f"postgresql://?service=wallet&passfile={passwords}", "SELECT 1") == "1"


async def test_the_kernel_asks_a_silent_server_for_a_sign_of_life(server: Server) -> None:
    url = server.url(keepalives_idle=33, keepalives_interval=5, keepalives_count=4, tcp_user_timeout=9000)
    async with open_database(url) as database, database.lean_statements() as connection:
        raw = connection._transport.get_extra_info("socket")  # noqa: SLF001 - the code reads the socket so
        assert raw.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 33
    async with open_database(server.url(keepalives=0)) as database, database.lean_statements() as connection:
        raw = connection._transport.get_extra_info("socket")  # noqa: SLF001 - the code reads the socket so
        assert raw.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0


COMMANDS = (
    ("ledger", "reconcile"),
    ("credit", "verify-accesses"),
)


def run(home: Path, *args: str, url: str, **settings: object) -> subprocess.CompletedProcess[str]:
    return run_command(home, {"database_url": url} | settings, *args)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_commands_use_the_address(
    server: Server, tls: Bouncer, authority: Authority, tmp_path: Path, command: tuple[str, ...]
) -> None:
    done = run(tmp_path, *command, url=server.url(str(server.sockets), target_session_attrs="read-write"))
    assert done.returncode == 0, done.stderr
    wrong = tls.url("127.0.0.1", sslmode="verify-full", sslrootcert=authority.root)
    done = run(tmp_path, *command, url=wrong)
    assert done.returncode == 1
    assert done.stderr.strip() == (
        f"Erro: o certificado do PostgreSQL em 127.0.0.1:{tls.port}/carteira não foi aceito: confira sslmode e "
        "sslrootcert de DATABASE_URL, e o nome da máquina."
    )


def test_migrating_uses_the_owners_address(server: Server, tls: Bouncer, authority: Authority, tmp_path: Path) -> None:
    owner = server.endpoints.owner_url
    done = run(tmp_path, "migrate", url=server.url(), migration_database_url=owner)
    assert done.returncode == 0, done.stderr
    wrong = tls.url("127.0.0.1", sslmode="verify-full", sslrootcert=authority.root)
    done = run(tmp_path, "migrate", url=server.url(), migration_database_url=wrong)
    assert (done.returncode, "não foi aceito" in done.stderr) == (1, True)


def test_commands_name_refused_values(server: Server, tmp_path: Path) -> None:
    done = run(tmp_path, "ledger", "reconcile", url=server.url(channel_binding="require"))
    assert done.returncode == 1
    assert done.stderr.strip() == (
        "Erro: DATABASE_URL: a opção channel_binding=require não é atendida por todas as conexões da Carteira: retire-a"
    )
