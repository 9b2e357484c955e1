"""`carteira run`, `serve` and `worker`: the processes of the product."""

import os
import signal
import sys
import tempfile
from contextlib import ExitStack
from typing import Annotated

import typer

from carteira.cli import launcher
from carteira.cli.errors import CommandFailed
from carteira.cli.terminal import name_misspelt, out, settings_here
from carteira.settings import Settings


def run(
    debug: Annotated[bool, typer.Option("--debug", help="Recarrega a cada mudança e mostra mais.")] = False,
) -> None:
    """Inicia tudo: bancos locais, migrações, dados de demonstração, servidor e worker."""
    settings = Settings()
    name_misspelt(settings)
    if debug:
        settings = settings.model_copy(update={"debug": True, "log_level": "debug"})
    launcher.run(settings, out)


def serve() -> None:
    """Serve a API e o autorizador (HOST, PORT, WORKERS)."""
    settings = settings_here()
    _refuse_faults(settings)
    launcher.check_address(settings.host, settings.port, "PORT")
    with ExitStack() as stack:
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            folder = tempfile.TemporaryDirectory(prefix="carteira-metrics-", ignore_cleanup_errors=True)
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = stack.enter_context(folder)
            # The server raises again what ended it; by default that would end us before the folder is gone.
            signal.signal(signal.SIGTERM, lambda *_: sys.exit())
        from carteira.http_server.server import serve as start

        start(settings)


def _refuse_faults(settings: Settings) -> None:
    """Refuse to start, outside of development, with key files that are missing, broken, or others may read.

    Raises:
        CommandFailed: it must not start.
    """
    if settings.environment == "development":
        return
    from carteira import key_rings

    if wrong := list(key_rings.faults(settings)):
        raise CommandFailed("; ".join(wrong))


def worker() -> None:
    """Executa os trabalhos da fila, os periódicos e os seguidores de eventos."""
    settings = settings_here()
    _refuse_faults(settings)
    launcher.check_address(settings.worker_host, settings.worker_port, "WORKER_PORT")
    from carteira.worker import main

    main()
