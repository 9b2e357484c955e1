"""`carteira run`: starts local servers for what is not configured, then the product, and supervises them."""

import contextlib
import errno
import json
import math
import os
import shlex
import shutil
import socket
import stat
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rich.console import Console
from rich.markup import escape

from carteira import demo_people
from carteira.cli import STARTED, preloading
from carteira.cli.errors import CommandFailed, system_message
from carteira.embedded import (
    AppProcess,
    EmbeddedError,
    EmbeddedServers,
    ForkServer,
    ForkServerGone,
    ServerReady,
    Supervisor,
    SupervisorEvent,
    free_port,
)
from carteira.kit.db.address import DatabaseAddress
from carteira.kit.ops.private_files import replace_private_file
from carteira.kit.ops.processes import is_alive
from carteira.settings import Settings
from carteira.settings.production import SANDBOX_PIX_KEY, SANDBOX_TOKEN

RUNTIME_FILE = "runtime.json"
READY_SECONDS = 30.0
OWNER = "MIGRATION_DATABASE_URL"
BACKUP = "BACKUP_DATABASE_URL"
EVERYWHERE = {"0.0.0.0", "::"}  # noqa: S104 - only compared
PIX_PAGES = "CARTEIRA_PIX_PAGES_PORT"
"""The environment variable with the address of the stand-in payment provider's page."""

SIGN_IN = "curl -s {address}/auth/login -d username={cpf} -d password={password}"
CURL = """curl -s {address}/transactions/authorizer \\
  -H 'Authorization: Bearer {token}' \\
  -H 'Content-Type: application/json' \\
  -d '{{"account":"123","totalAmount":100.00,"mcc":"5811","merchant":"PADARIA DO ZE               SAO PAULO BR"}}'"""

_EVENTS = {
    "crashed": "[yellow]{name} caiu[/] {detail}",
    "restarted": "[green]{name} de volta[/] {detail}",
    "failed": "[red]{name} não voltou ainda[/] {detail}",
    "killed": "[red]{name} não terminou a tempo e foi encerrado[/]",
}


def run(settings: Settings, out: Console) -> None:
    """Start everything and stay until Ctrl-C or SIGTERM.

    Raises:
        CommandFailed: the port or the home folder is taken, or a server does not start.
    """
    forks = preloading.take()
    try:
        _run(settings, out, None if settings.debug else forks)  # reloading imports the product again
    finally:
        if forks is not None:
            forks.close()


def _run(settings: Settings, out: Console, forks: ForkServer | None) -> None:
    check_address(settings.host, settings.port, "PORT")
    home = settings.carteira_home
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    servers = EmbeddedServers(
        home,
        postgres=settings.database_url is None,
        redis=settings.redis_url is None,
        aws=settings.aws_endpoint_url is None,
        mail=settings.smtp_url is None,
        on_ready=lambda ready: _print_ready(out, ready),
    )
    try:
        endpoints = servers.start()
    except EmbeddedError as error:
        raise CommandFailed(str(error)) from error
    try:
        environment = {
            "DATABASE_URL": endpoints.database_url or settings.database(),
            OWNER: endpoints.owner_url or settings.owner_database(),
            "REDIS_URL": endpoints.redis_url or settings.redis() or "",
            "AWS_ENDPOINT_URL": endpoints.aws_endpoint_url or str(settings.aws_endpoint_url),
            "SMTP_URL": endpoints.smtp_url or (settings.smtp_url.get_secret_value() if settings.smtp_url else ""),
            "CARTEIRA_HOME": str(home),
            "PORT": str(settings.port),
            "WORKER_PORT": str(settings.worker_port if "worker_port" in settings.model_fields_set else free_port()),
            "LOG_FORMAT": os.environ.get("LOG_FORMAT", "console"),
        }
        if endpoints.backup_url and settings.backup_database_url is None:
            environment[BACKUP] = endpoints.backup_url
        if _has_sandbox(settings):
            environment |= {"BASE_URL_CASHBACK": f"http://127.0.0.1:{free_port()}", "TOKEN_CASHBACK": SANDBOX_TOKEN}
        if _has_pix_sandbox(settings):
            environment |= _pix_environment(home)
        if settings.debug:
            environment |= {"DEBUG": "true", "LOG_LEVEL": "debug"}
        _prepare(settings, environment, out, forks)
        _write_runtime(home, environment)
        _supervise(settings, servers, environment, out, forks)
    finally:
        (home / RUNTIME_FILE).unlink(missing_ok=True)
        servers.stop()


def settings_of_running_server() -> Settings:
    """Read the settings; if they name no database, use a running `carteira run`'s.

    It is searched in this home, and without `CARTEIRA_HOME` in the home of the last one that this user started.
    """
    settings = Settings()
    if settings.database_url is not None:
        return settings
    runtime = _read_runtime(settings.carteira_home / RUNTIME_FILE)
    if runtime is None and "carteira_home" not in settings.model_fields_set and _is_ours(_last_started().parent):
        runtime = _read_runtime(_last_started())
    if runtime is None:
        return settings
    os.environ.update({name: value for name, value in runtime["environment"].items() if name not in os.environ})
    return Settings()


def _read_runtime(file: Path) -> dict[str, Any] | None:
    """Read the runtime file of a `carteira run`, if that is still alive."""
    try:
        runtime: dict[str, Any] = json.loads(file.read_text())
        return runtime if is_alive(runtime["pid"]) else None
    except (OSError, ValueError, KeyError, TypeError):  # incomplete, or somebody else's
        return None


def _last_started() -> Path:
    """Return the link to the last start's runtime file, in a folder of this user's own."""
    return Path(tempfile.gettempdir()) / f"carteira-{os.getuid()}" / RUNTIME_FILE


def _is_ours(folder: Path) -> bool:
    """Return whether a folder is this user's and nobody else can write into it."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077


def check_address(host: str, port: int, setting: str) -> None:
    """Check that a server can listen on its address; `setting` is the setting of its port.

    Raises:
        CommandFailed: it cannot.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            advice = f"Escolha outra porta com {setting}=8123."
            if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
                advice = f"Confira {setting.replace('PORT', 'HOST')}: um endereço desta máquina, sem a porta."
            raise CommandFailed(f"não dá para escutar em {host}:{port} ({system_message(error)}). {advice}") from error


def check_home(home: Path) -> None:
    """Check that the home folder exists and can be written: it holds rows that wait for PostgreSQL.

    A full disk is accepted, since a running server is worth more than none.

    Raises:
        CommandFailed: it cannot be written.
    """
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=home):
            pass
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            return
        raise CommandFailed(
            f"CARTEIRA_HOME: {home} não pode ser escrita ({system_message(error)}): dê a pasta ao usuário do "
            "servidor, ou defina outra."
        ) from error


def _has_sandbox(settings: Settings) -> bool:
    """Return whether to start the stand-in of the cashback service: if none is configured, except in production."""
    return (
        settings.environment != "production" and settings.base_url_cashback is None and "resellers" in settings.modules
    )


def _has_pix_sandbox(settings: Settings) -> bool:
    """Return whether to start the stand-in payment provider: if none is configured, except in production."""
    return settings.environment != "production" and settings.pix_url is None and "payments" in settings.modules


def _pix_environment(home: Path) -> dict[str, str]:
    """Make the stand-in's certificates, and return the environment of both sides."""
    from carteira.kit.security.sandbox_authority import make_certificates

    made = make_certificates(home / "pix" / "certificates")
    port, pages, calls = free_port(), free_port(), free_port()
    return {
        "PIX_URL": f"https://127.0.0.1:{port}/v2",
        "PIX_TOKEN_URL": f"https://127.0.0.1:{port}/oauth/token",
        "PIX_CLIENT_ID": SANDBOX_TOKEN,
        "PIX_CLIENT_SECRET": SANDBOX_TOKEN,
        "PIX_KEY": SANDBOX_PIX_KEY,
        "PIX_CERTIFICATE_FILE": str(made.ours.certificate),
        "PIX_CERTIFICATE_KEY_FILE": str(made.ours.key),
        "PIX_AUTHORITY_FILE": str(made.authority),
        "PIX_WEBHOOK_URL": f"https://127.0.0.1:{calls}",
        "PIX_WEBHOOK_PORT": str(calls),
        "PIX_WEBHOOK_CERTIFICATE_FILE": str(made.listener.certificate),
        "PIX_WEBHOOK_KEY_FILE": str(made.listener.key),
        "PIX_WEBHOOK_AUTHORITY_FILE": str(made.authority),
        PIX_PAGES: str(pages),
    }


def _print_ready(out: Console, ready: ServerReady) -> None:
    out.print(f"  [green]✓[/] {ready}", highlight=False)


def _prepare(settings: Settings, environment: Mapping[str, str], out: Console, forks: ForkServer | None) -> None:
    """Bring the database up to date; a local one that is up to date needs little work.

    Raises:
        CommandFailed: the database must not be served from.
        SystemExit: the same, with the message printed already.
    """
    from carteira import schema

    owner = environment[OWNER]
    if settings.database_url is None and schema.is_current(owner):
        schema.grant(owner, DatabaseAddress.parse(environment["DATABASE_URL"]).user)
    else:
        _prepare_elsewhere(settings, environment, forks)
    out.print("  [green]✓[/] Banco de dados em dia", highlight=False)


def _prepare_elsewhere(settings: Settings, environment: Mapping[str, str], forks: ForkServer | None) -> None:
    """Prepare in a process that has imported the product, if there is one."""
    if forks is not None:
        with contextlib.suppress(ForkServerGone):
            if status := forks.start([preloading.PREPARE], _environment_of(environment, settings)).wait():
                sys.exit(status)
            return
    prepare(settings, environment)


def prepare(settings: Settings, environment: Mapping[str, str]) -> None:
    """Migrate the database, grant the service its rights, and fill in the demo data if it was not up to date.

    Raises:
        CommandFailed: the database must not be served from.
    """
    import asyncio

    from carteira import database_state, schema

    owner, url = environment[OWNER], environment["DATABASE_URL"]
    reason = asyncio.run(database_state.refused_for(url, may_own=settings.may_own_tables))
    if reason is not None:
        raise CommandFailed(f"{reason}.")
    current = schema.is_current(owner)
    if not current:
        schema.migrate(owner)
    schema.grant(owner, DatabaseAddress.parse(url).user)
    if not current and settings.environment == "development":
        from carteira import demo

        asyncio.run(demo.seed(url, settings.modules))


def _write_runtime(home: Path, environment: dict[str, str]) -> None:
    """Write the runtime file for other commands, readable by this user only, since addresses hold passwords."""
    file = home / RUNTIME_FILE
    replace_private_file(file, json.dumps({"pid": os.getpid(), "environment": environment}).encode())
    link = _last_started()
    link.parent.mkdir(mode=0o700, exist_ok=True)
    if _is_ours(link.parent):
        link.unlink(missing_ok=True)
        link.symlink_to(file)


def _environment_of(environment: Mapping[str, str], settings: Settings) -> dict[str, str]:
    """Return the whole environment of the product's processes, with an empty folder for the metrics that they share."""
    metrics = settings.carteira_home / "metrics"
    shutil.rmtree(metrics, ignore_errors=True)
    metrics.mkdir(mode=0o700)
    return {**os.environ, **environment, "PROMETHEUS_MULTIPROC_DIR": str(metrics)}


def _supervise(
    settings: Settings,
    servers: EmbeddedServers,
    environment: Mapping[str, str],
    out: Console,
    forks: ForkServer | None,
) -> None:
    env = _environment_of(environment, settings)
    del env[OWNER]  # serving processes do not get the owner's address
    serving = {name: value for name, value in env.items() if name != BACKUP}
    apps = [_process("servidor", serving, "serve"), _process("worker", env, "worker")]
    if _has_sandbox(settings):
        port = environment["BASE_URL_CASHBACK"].rpartition(":")[2]
        apps.append(_process("serviço de cashback", env, "sandbox", "cashback", "--port", port))

    if _has_pix_sandbox(settings):
        apps.append(_pix_process(settings.carteira_home, env))

    def print_event(event: SupervisorEvent) -> None:
        if event.kind in _EVENTS:
            out.print("  " + _EVENTS[event.kind].format(name=event.name, detail=event.detail), highlight=False)

    grace = settings.shutdown_grace_seconds + 5
    supervisor = Supervisor(apps, servers, grace_seconds=grace, on_event=print_event, forks=forks)
    threading.Thread(target=_announce, args=(settings, out, env.get(PIX_PAGES)), daemon=True).start()
    supervisor.run()
    out.print("Carteira encerrada.")


def _process(name: str, environment: Mapping[str, str], *arguments: str) -> AppProcess:
    """Return a process of the product, by the arguments of `carteira`."""
    return AppProcess(name, [sys.executable, "-m", "carteira", *arguments], environment, forked=arguments)


def _pix_process(home: Path, env: Mapping[str, str]) -> AppProcess:
    """Return the stand-in payment provider's process."""
    port = str(urlsplit(env["PIX_URL"]).port)
    where = ("--port", port, "--page-port", env[PIX_PAGES], "--webhook", env["PIX_WEBHOOK_URL"])
    return _process("provedor de Pix", env, "sandbox", "pix", *where, "--folder", str(home / "pix"))


def _announce(settings: Settings, out: Console, pix_pages: str | None) -> None:
    """Wait until the server answers, then print its address and commands to try."""
    from carteira.cli import tokens

    address, late = settings.own_address, time.monotonic() + READY_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=1):  # noqa: S310 - our own http address
                break
        except (OSError, urllib.error.URLError):
            time.sleep(0.05)
        if time.monotonic() > late:
            late = math.inf
            out.print("[yellow]O servidor ainda não respondeu; veja as mensagens acima.[/]")
    seconds = f"{time.monotonic() - STARTED:.1f}".replace(".", ",")
    out.print(f"\n[bold green]Carteira no ar[/] em {escape(address)} ({seconds} s)", highlight=False)
    if (seen := network_address(settings.host)) is not None:
        phone = f"http://{seen}:{settings.port}"
        out.print(f"  no celular     {phone} (aberto a toda a rede)", highlight=False)
    out.print(f"  documentação   {address}/docs", highlight=False, markup=False)
    if pix_pages is not None:
        out.print(f"  pagar um Pix   http://localhost:{pix_pages} (simulação)", highlight=False)
    if settings.environment == "development":
        for line in demo_people.credentials(settings.modules):
            out.print(f"  {line}", highlight=False)
        out.print(f"  ou um token    {_pasteable(settings, 'token', '--as', 'admin@exemplo.com.br')}", soft_wrap=True)
        out.print("\nEntre (cole em outro terminal):\n", highlight=False)
        sign_in = SIGN_IN.format(address=address, cpf=demo_people.PERSON.cpf, password=demo_people.PASSWORD)
        out.print(sign_in, highlight=False, markup=False, soft_wrap=True)
        if "benefits" in settings.modules:
            out.print("\nAutorize uma compra:\n", highlight=False)
            token = tokens.processor(settings, tokens.TTL)
            out.print(CURL.format(address=address, token=token), highlight=False, markup=False, soft_wrap=True)
    out.print("\nCtrl-C encerra.", highlight=False)


def network_address(host: str) -> str | None:
    """Return this machine's address in its network if a server listens on all addresses; otherwise None."""
    if host not in EVERYWHERE:
        return None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent: the system only chooses the network interface
        except OSError:
            return None  # this machine is in no network
        seen: str = probe.getsockname()[0]
    return seen


def _pasteable(settings: Settings, *arguments: str) -> str:
    """Return a command that can be pasted into another terminal, in whichever folder and environment it is."""
    words = [str(Path(sys.executable).with_name("carteira")), *arguments]
    return f"CARTEIRA_HOME={shlex.quote(str(settings.carteira_home))} {shlex.join(words)}"
