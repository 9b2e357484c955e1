"""The process that imports the product, from which `carteira run` forks its processes; `preloading` starts it."""

import importlib
import os
import socket
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from carteira.cli.preloading import PREPARE
from carteira.embedded.forks import fork_when_asked
from carteira.kit.ops import garbage

_NAME_BYTES = 15
_NAMES = (
    "carteira.app",
    "carteira.cli.commands",
    "carteira.http_server.protocol",
    "carteira.http_server.server",
    "carteira.web.errors",
    "carteira.web.public.link",
    "carteira.web.rendering",
    "carteira.web.wallet.navigation",
    "carteira.worker",
    "fastapi_offline",
    "uvicorn.loops.uvloop",
    "uvicorn.protocols.http.httptools_impl",
)
"""The modules that all processes need, or all but one."""


def load() -> None:
    """Import the product before there is a folder for metrics.

    Shared metrics make a file per process when they are imported: here in a folder that is removed at once. A forked
    process makes its own files, in the folder that its environment names.
    """
    with tempfile.TemporaryDirectory(prefix="carteira-import-", ignore_cleanup_errors=True) as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        import_product()


def import_product() -> None:
    """Import what serving, working and migrating need."""
    for name in _NAMES:
        importlib.import_module(name)
    from carteira.app import modules_of
    from carteira.settings import Settings

    with suppress(ValueError):  # wrong settings are reported by the launcher
        modules_of(Settings())  # a module imports its routes and jobs when it is made


def main() -> None:
    """Import the product, then fork each requested process."""
    garbage.rest_while_starting()
    channel = socket.socket(fileno=int(sys.argv[1]))
    load()
    arguments = fork_when_asked(channel)
    Path("/proc/self/comm").write_text(f"carteira {arguments[0]}"[:_NAME_BYTES])
    from carteira.cli import commands

    if arguments == [PREPARE]:
        commands.exit_with_result(_prepare)
    sys.argv = ["carteira", *arguments]
    commands.main()


def _prepare() -> None:
    from carteira.cli import launcher
    from carteira.settings import Settings

    launcher.prepare(Settings(), os.environ)


if __name__ == "__main__":
    main()
