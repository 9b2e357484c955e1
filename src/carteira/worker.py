"""The composition root of the worker: jobs from the queue, periodic jobs, and the followers of events."""

import asyncio
import signal
from collections.abc import Mapping
from pathlib import Path

import structlog
import uvicorn
from procrastinate import App, Blueprint, PsycopgConnector
from uvicorn.supervisors import ChangeReload

from carteira.app import blueprints_of, modules_of
from carteira.kit.db import jobs, outbox
from carteira.kit.db.engine import Database
from carteira.kit.db.errors import DatabaseDown
from carteira.kit.db.outbox import Follower
from carteira.kit.ops import log, metrics
from carteira.settings import Settings

IDLE_SECONDS = 0.25
DOWN_SECONDS = 2.0
LAG_EVERY_SECONDS = 5.0

logger = structlog.get_logger("carteira.worker")


async def run(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT; a job under way is finished first.

    PostgreSQL being down does not end the worker: it waits and goes on.
    """
    modules = modules_of(settings)
    database = Database(settings.database(), pool_size=4)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    tasks = [asyncio.create_task(_work_off(settings, blueprints_of(modules), database, stop), name="jobs")]
    for module in modules:
        tasks += [
            asyncio.create_task(_follow(database, follower, stop), name=follower.name) for follower in module.followers
        ]
    try:
        await asyncio.gather(*tasks)
    finally:
        await database.close()


async def _work_off(
    settings: Settings, blueprints: Mapping[str, Blueprint], database: Database, stop: asyncio.Event
) -> None:
    """Run the queue's worker; begin again when the database comes back."""
    while not stop.is_set():
        app = App(connector=PsycopgConnector(conninfo=settings.database(), min_size=1, max_size=4))
        for name, blueprint in blueprints.items():
            jobs.add_tasks(app, blueprint, namespace=name)
        try:
            async with app.open_async():
                worker = asyncio.create_task(
                    app.run_worker_async(
                        concurrency=4,
                        install_signal_handlers=False,
                        delete_jobs="successful",
                        shutdown_graceful_timeout=settings.shutdown_grace_seconds,
                        additional_context={"database": database, "settings": settings},
                    )
                )
                stopped = asyncio.create_task(stop.wait())
                await asyncio.wait({worker, stopped}, return_when=asyncio.FIRST_COMPLETED)
                if not worker.done():
                    worker.cancel()
                await asyncio.gather(worker, return_exceptions=stop.is_set())
                stopped.cancel()
        except Exception as error:  # noqa: BLE001 - the queue begins again whatever it was
            logger.warning("queue interrupted", error=type(error).__name__)
            await _pause(stop, DOWN_SECONDS)


async def _follow(database: Database, follower: Follower, stop: asyncio.Event) -> None:
    """Read a follower's table until told to stop; a batch that fails is tried again, and nothing is skipped."""
    lag_at = 0.0
    loop = asyncio.get_running_loop()
    while not stop.is_set():
        try:
            async with database.transaction() as tx:
                handled = await outbox.follow(tx, follower)
            metrics.follower_rows.labels(follower.name).inc(handled)
            if loop.time() - lag_at > LAG_EVERY_SECONDS:
                lag_at = loop.time()
                async with database.transaction() as tx:
                    metrics.follower_lag.labels(follower.name).set(await outbox.lag(tx, follower))
            if not handled:
                await _pause(stop, IDLE_SECONDS)
        except DatabaseDown:
            await _pause(stop, DOWN_SECONDS)
        except Exception:
            logger.exception("follower failed", follower=follower.name)
            await _pause(stop, DOWN_SECONDS)


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    """Wait a while, or less if told to stop."""
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return


def main() -> None:
    """Start the worker from the environment; with `DEBUG`, again whenever the code changes, as the server does."""
    settings = Settings()
    if not settings.debug:
        _work([])
        return
    log.configure(level=settings.log_level, form=settings.log_format)
    package = str(Path(__file__).parent)
    config = uvicorn.Config("carteira.worker:main", reload=True, reload_dirs=[package], log_config=None)
    ChangeReload(config, target=_work, sockets=[]).run()


def _work(sockets: object) -> None:  # noqa: ARG001 - uvicorn hands them to what it starts again
    settings = Settings()
    log.configure(level=settings.log_level, form=settings.log_format)
    asyncio.run(run(settings))
