"""`carteira run`, `serve` and `worker`: the processes of the product."""

import asyncio
import os
import signal
import sys
import tempfile
from contextlib import ExitStack
from typing import Annotated

import typer

from carteira.cli import launcher
from carteira.cli.errors import CommandFailed
from carteira.cli.terminal import name_misspelt, name_unread, out, refuse_database, settings_here
from carteira.kit.ops import garbage
from carteira.settings import Settings

_NOT_MIGRATED = {"3D000", "42501", "42P01", "42703"}


def run(
    debug: Annotated[bool, typer.Option("--debug", help="Recarrega a cada mudança e mostra mais.")] = False,
) -> None:
    """Inicia tudo: bancos locais, migrações, dados de demonstração, servidor e worker."""
    name_unread()
    settings = Settings()
    name_misspelt(settings)
    if debug:
        settings = settings.model_copy(update={"debug": True, "log_level": "debug"})
    launcher.run(settings, out)


def serve() -> None:
    """Serve a API e o autorizador (HOST, PORT, WORKERS)."""
    settings = settings_here()
    launcher.check_address(settings.host, settings.port, "PORT")
    launcher.check_home(settings.carteira_home)
    with ExitStack() as stack:
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            # Before any module with metrics is imported, since its metrics would not be shared.
            folder = tempfile.TemporaryDirectory(prefix="carteira-metrics-", ignore_cleanup_errors=True)
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = stack.enter_context(folder)
            # The server raises the signal that ended it again; by default that would end this process before the folder
            # is removed.
            signal.signal(signal.SIGTERM, lambda *_: sys.exit())
        refuse_database(settings)
        _refuse_faults(settings)
        garbage.rest_while_starting()
        from carteira.http_server.processes import CAN_FORK
        from carteira.http_server.server import serve as start

        if settings.workers > 1 and CAN_FORK:
            from carteira.cli import preloaded

            preloaded.import_product()  # once for all processes
        start(settings)


def _refuse_faults(settings: Settings) -> None:
    """Refuse to start, outside of development, with unsafe or inconsistent settings.

    These are bad key files, demo people with public passwords, and keys, secrets or places that differ from those of
    other servers on the same database.

    Raises:
        CommandFailed: there is one.
    """
    if settings.environment == "development":
        return
    from carteira import demo, key_rings

    if wrong := list(key_rings.faults(settings)):
        raise CommandFailed("; ".join(wrong))
    people, differing = asyncio.run(_found(settings))
    if people:
        raise CommandFailed(f"há {people} pessoas de demonstração no banco de dados, de senha conhecida: {demo.REMOVE}")
    if differing:
        raise CommandFailed("; ".join(differing))


async def _found(settings: Settings) -> tuple[int, list[str]]:
    """Count the demo people, and return what other servers use that this machine lacks.

    The server itself reports a database that does not answer or is not migrated.
    """
    from sqlalchemy.exc import DBAPIError

    from carteira import demo, sharing
    from carteira.kit.db.engine import open_database
    from carteira.kit.db.errors import DatabaseDown, sqlstate_of

    try:
        async with open_database(settings.database()) as database:
            async with database.transaction() as tx:
                people = await demo.found(tx)
            mine = await sharing.here(settings)
            return people, list(sharing.differing(settings, mine, await sharing.others(database)))
    except DatabaseDown:
        return 0, []
    except DBAPIError as error:
        if sqlstate_of(error) in _NOT_MIGRATED:
            return 0, []
        raise


def worker() -> None:
    """Executa os trabalhos da fila, os periódicos e os seguidores de eventos."""
    settings = settings_here()
    launcher.check_address(settings.worker_host, settings.worker_port, "WORKER_PORT")
    launcher.check_home(settings.carteira_home)
    refuse_database(settings)
    _refuse_faults(settings)
    garbage.rest_while_starting()
    from carteira.worker import main

    main()
