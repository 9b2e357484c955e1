"""The process that imports the product and forks commands from itself: see `commands`."""

import importlib
import os
import socket
import sys
from contextlib import suppress

from carteira.embedded.forks import fork_when_asked
from carteira.kit.ops import garbage

NAMES = ("carteira.app", "carteira.cli.commands", "carteira.worker", "carteira.doctor.keys")


def main() -> None:
    """Import the product, then run each requested command in its folder, with its output in files."""
    garbage.rest_while_starting()
    channel = socket.socket(fileno=int(sys.argv[1]))
    for name in NAMES:
        importlib.import_module(name)
    from carteira.app import modules_of  # noqa: PLC0415 - imported by now
    from carteira.settings import Settings  # noqa: PLC0415 - imported by now

    with suppress(ValueError):  # each command reports faulty settings itself
        modules_of(Settings())
    garbage.collect_from_now_on()  # else a garbage collection would make each command copy every page of the import
    folder, out, err, *words = fork_when_asked(channel)
    os.chdir(folder)
    for number, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), number)
    sys.argv = ["carteira", *words]
    from carteira import cli  # noqa: PLC0415 - imported by now

    cli.main()


if __name__ == "__main__":
    main()
