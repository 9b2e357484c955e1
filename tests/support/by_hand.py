"""PostgreSQL on a data folder of `carteira restore postgresql`, started as an operator does."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from carteira.cli.restoring import _floors
from carteira.embedded import SERVICE, process
from carteira.embedded.home import Home, free_port
from carteira.embedded.postgres import SUPERUSER, PostgresServer
from tests.support.waiting import wait_until


@contextmanager
def started_by_hand(folder: Path, **settings: str) -> Iterator[str]:
    """Start PostgreSQL on `folder/data` as an operator does; give the service's address once it has recovered."""
    home = Home(folder / "home-of-postgresql")
    home.acquire()
    server = PostgresServer(home, {})
    placement, data = server.placement, folder / "data"
    (folder / "pg_hba.conf").write_text("host all all 127.0.0.1/32 trust\n")
    placement.own(folder)
    port = free_port()
    ours = {"hba_file": folder / "pg_hba.conf", "port": port, "listen_addresses": "127.0.0.1"}
    ours |= {"unix_socket_directories": "", **_floors(placement.programs, data), **settings}
    running = process.spawn(
        [
            str(placement.programs / "postgres"),
            "-D",
            str(data),
            *(f"--{name}={value}" for name, value in ours.items()),
        ],
        run_as=placement.run_as,
        cwd=data,
        env=process.server_environment(),
        log=home.log_path("by-hand"),
    )
    try:
        wait_until(lambda: has_recovered(port), "PostgreSQL has replayed the log", 60)
        yield f"postgresql://{SERVICE}@127.0.0.1:{port}/carteira"
    finally:
        running.send_signal(server.stop_signal)
        running.wait(30)
        home.release()


def has_recovered(port: int) -> bool:
    try:
        with psycopg.connect(f"postgresql://{SUPERUSER}@127.0.0.1:{port}/carteira") as connection:
            return connection.execute("SELECT pg_is_in_recovery()").fetchone() == (False,)
    except psycopg.OperationalError:
        return False
