"""The process that owns a test run's embedded servers: `python -m tests.support.server_owner FOLDER`.

It says `ready` once the servers answer and the template database is migrated, and ends with the run (see `servers`).
"""

import fcntl
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import psycopg

from carteira import schema
from carteira.embedded import SERVICE, EmbeddedServers, postgres
from tests.support.clusters import FORMER, former_installation
from tests.support.databases import on_server
from tests.support.servers import TEMPLATE, endpoints_file, locked, owner_lock, run_lock


@contextmanager
def chosen_postgresql(which: str | None) -> Iterator[None]:
    """Make the embedded PostgreSQL the wheel's, or that of the former major version (`former`)."""
    if which is None:
        yield
        return
    assert which == "former", "TEST_POSTGRESQL is `former`, or not set"
    assert FORMER, "no PostgreSQL of the version before: `make proxies`"
    with former_installation() as folder:
        postgres._installation = lambda: folder  # noqa: SLF001 - the place of the wheel's programs
        yield


def own(folder: Path) -> None:
    """Run the servers until the test run ends."""
    # The suite tests rules, not disks; the tests of faults start servers of their own that sync.
    settings = {"fsync": "off", "full_page_writes": "off", "max_connections": "300"}
    with (
        run_lock(folder).open() as run,
        chosen_postgresql(os.environ.get("TEST_POSTGRESQL")),
        EmbeddedServers(folder / "home", mail=True, postgres_settings=settings) as servers,
    ):
        endpoints = servers.endpoints
        with psycopg.connect(endpoints.superuser_url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {TEMPLATE} TEMPLATE carteira OWNER carteira")
        schema.migrate(on_server(endpoints.owner_url, TEMPLATE))
        schema.grant(on_server(endpoints.owner_url, TEMPLATE), SERVICE)
        endpoints_file(folder).write_text(json.dumps(asdict(endpoints)))
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        fcntl.flock(run, fcntl.LOCK_SH)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    where = Path(sys.argv[1])
    if owner_lock(where).exists():  # else the run has already ended
        with locked(owner_lock(where)):
            own(where)
