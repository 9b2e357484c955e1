"""A worker that dies at a chosen point: `kill -9`, before or after a step of its work.

Points are after each statement, before each commit, around the queue's own taking and finishing of a job, around each
e-mail, and before each file is renamed or removed. The process reads from its input at which point the next worker dies
(0: at none) and which followers it runs, and writes how that worker ended: 0, or -9.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from procrastinate import App, PsycopgConnector
from sqlalchemy import event

from carteira.app import blueprints_of, modules_of
from carteira.kit.db import jobs, outbox
from carteira.kit.db.engine import Database
from carteira.kit.db.outbox import Follower
from carteira.kit.module import Module
from carteira.kit.ops import log
from carteira.kit.outbound import mail
from carteira.settings import Settings
from tests.support.app import settings_for

QUEUE_STEPS = ("fetch_job", "finish_job")
FILE_STEPS = {"os.rename", "os.remove", "os.link"}


class Points:
    """Counts points; at one of them the process kills itself."""

    def __init__(self, fatal: int) -> None:
        self._left = fatal

    def reach(self, *_args: object) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def audit(self, name: str, _args: object) -> None:
        if name in FILE_STEPS:
            self.reach()


async def work(settings: Settings, modules: list[Module], fatal: int, names: set[str]) -> None:
    """Do the worker's work until nothing is left: jobs, followers, and the jobs that those deferred."""
    points = Points(fatal)
    database = Database(settings.database(), pool_size=2)
    for name in ("after_cursor_execute", "commit"):
        event.listen(database.engine.sync_engine, name, lambda *_args: points.reach())
    _surround(mail, "_send", points)
    sys.addaudithook(points.audit)
    connector = PsycopgConnector(conninfo=settings.database(), min_size=1, max_size=2)
    for name in ("execute_query_async", "execute_query_one_async", "execute_query_all_async"):
        setattr(connector, name, partial(_step, getattr(connector, name), points))
    app = App(connector=connector)
    for name, blueprint in blueprints_of(modules).items():
        jobs.add_tasks(app, blueprint, namespace=name)
    app.periodic_registry.periodic_tasks.clear()  # only what a test defers
    async with app.open_async():
        await _run_jobs(app, database, settings)
        for follower in (follower for module in modules for follower in module.followers):
            if follower.name in names and await _follow(database, follower):
                await _run_jobs(app, database, settings)
    await database.close()


async def _follow(database: Database, follower: Follower) -> int:
    total, handled = 0, 1
    while handled:
        async with database.transaction() as tx:
            handled = await outbox.follow(tx, follower)
        total += handled
    return total


async def _run_jobs(app: App, database: Database, settings: Settings) -> None:
    await app.run_worker_async(
        wait=False,
        concurrency=1,
        install_signal_handlers=False,
        delete_jobs="successful",
        additional_context={"database": database, "settings": settings},
    )


async def _step(run: Callable[..., Awaitable[Any]], points: Points, query: str, **values: Any) -> Any:  # noqa: ANN401 - the library's type
    is_point = any(step in query for step in QUEUE_STEPS)
    if is_point:
        points.reach()
    result = await run(query=query, **values)
    if is_point:
        points.reach()
    return result


def _surround(owner: object, name: str, points: Points) -> None:
    run = getattr(owner, name)

    def surrounded(*args: object) -> None:
        points.reach()
        run(*args)
        points.reach()

    setattr(owner, name, surrounded)


def main() -> None:
    settings = settings_for(Path(sys.argv[1]), **orjson.loads(sys.argv[2]))
    log.configure(level="info", form="json")  # to standard error: standard output carries the answers
    modules = modules_of(settings)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            fatal, *names = line.split()
            asyncio.run(work(settings, modules, int(fatal), set(names)))
            os._exit(0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
