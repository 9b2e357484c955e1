"""The process that imports the product and forks commands from itself: see `processes`."""

import importlib
import os
import socket
import sys
import tempfile

from carteira.cli import preloaded
from carteira.embedded.forks import fork_when_asked
from carteira.kit.ops import garbage


def main() -> None:
    """Import the product, then run each requested command in its folder, with its output in files."""
    garbage.rest_while_starting()
    channel = socket.socket(fileno=int(sys.argv[1]))
    preloaded.load()
    importlib.import_module("carteira.doctor.keys")
    garbage.collect_from_now_on()  # else a garbage collection would make each command copy every page of the import
    folder, out, err, *words = fork_when_asked(channel)
    os.chdir(folder)
    tempfile.tempdir = None  # the environment may name another one
    for number, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), number)
    sys.argv = ["carteira", *words]
    from carteira import cli  # noqa: PLC0415 - imported by now

    cli.main()


if __name__ == "__main__":
    main()
