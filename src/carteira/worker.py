"""The composition root of the worker: jobs from the queue, periodic jobs, the followers of events, and its state."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import structlog
import uvicorn
import uvloop
from fastapi import FastAPI
from procrastinate import App, Blueprint
from redis.asyncio import Redis
from uvicorn.supervisors import ChangeReload

from carteira import sharing
from carteira.app import backup_config, blueprints_of, bounds_of, modules_of, observers_of
from carteira.backup.wal import Archiver
from carteira.database_state import watched
from carteira.http_server.worker_status import WorkerStatus, bind
from carteira.kit.db import jobs, outbox
from carteira.kit.db.engine import Database
from carteira.kit.db.errors import DatabaseDown
from carteira.kit.db.outbox import Backlog, Follower
from carteira.kit.db.session import Tx
from carteira.kit.db.wakes import LEAST_SECONDS
from carteira.kit.module import Workplace
from carteira.kit.ops import garbage, log, metrics, tracing
from carteira.kit.outbound import redis
from carteira.kit.outbound.sentry import reporting_errors
from carteira.kit.outbound.wakes import Listener, publisher
from carteira.settings import Settings

HELD_UP_SECONDS = 0.25
"""The time between two checks while rows wait for an older transaction to end: its end wakes nobody."""
HEARING_SECONDS = 5.0
"""The time between two checks while writers wake the worker."""
DEAF_SECONDS = 0.5
"""The same without Redis, or while it is away."""
DOWN_SECONDS = 2.0
ROUND_SECONDS = 10.0
SEEN_SECONDS = 30.0
"""The age of the last round from which the worker is not ready."""

logger = structlog.get_logger("carteira.worker")


async def run(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT; a job under way is finished first.

    While PostgreSQL is down the worker waits, and continues afterwards.

    Raises:
        OSError: the address of its state is taken.
    """
    modules = modules_of(settings)
    garbage.collect_from_now_on()
    bound = bind(settings.worker_host, settings.worker_port)
    mark = str(await sharing.here(settings))
    database = Database(settings.database(), pool_size=4, mark=mark, replica=settings.replica())
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(tracing.running(settings.tracing(settings.environment)))
        await stack.enter_async_context(reporting_errors(settings.sentry(), settings.environment))
        stack.push_async_callback(database.close)
        watch = await stack.enter_async_context(watched(database, may_own=settings.may_own_tables))
        followers = [follower for module in modules for follower in module.followers]
        following = _Following(database, followers)
        client = None
        if (url := settings.redis()) is not None:
            client = await _wake_and_be_woken(stack, url, database, following)
        for module in modules:
            if module.working is not None:
                await stack.enter_async_context(module.working(Workplace(database, client)))
        rounds = _Rounds(database, observers_of(modules), following.backlog)
        status = WorkerStatus(
            bound,
            {"database": lambda _app: watch.ready(), "rounds": rounds.are_done},
            metrics_token=settings.metrics_bearer(),
            bounds=bounds_of(settings),
        )
        work = {
            "jobs": _work_off(settings, blueprints_of(modules), database, stop),
            "rounds": rounds.run(stop),
            "looks": following.look(stop),
            **{follower.name: following.follow(follower, stop) for follower in followers},
        }
        if settings.backup_url is not None and settings.backup_database_url is not None:
            work["backup"] = Archiver(backup_config(settings), database).run(stop)
        logger.info("worker started", host=settings.worker_host, port=bound.getsockname()[1], followers=len(followers))
        serving = asyncio.create_task(status.serve(), name="status")
        try:
            await asyncio.gather(*(asyncio.create_task(task, name=name) for name, task in work.items()))
        finally:
            status.stop()
            await serving
    logger.info("worker stopped")


async def _wake_and_be_woken(stack: AsyncExitStack, url: str, database: Database, following: "_Following") -> Redis:
    """Send and receive wakes of followers over Redis until the stack is left; return the process's client."""
    client = redis.connect(url)
    stack.push_async_callback(client.aclose)
    stack.push_async_callback(database.wakes.close)
    database.wakes.publish = publisher(client)
    listener = Listener(url, following.wake)
    following.is_hearing = lambda: listener.hears
    listening = asyncio.create_task(listener.listen(), name="wakes")

    async def end() -> None:
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening

    stack.push_async_callback(end)
    return client


class _Rounds:
    """The worker's checks every few seconds, whatever its jobs and followers are doing."""

    def __init__(
        self, database: Database, observers: Sequence[Callable[[Tx], Awaitable[None]]], backlog: Backlog
    ) -> None:
        self._database = database
        self._observers = observers
        self._backlog = backlog
        self._done_at = time.monotonic()

    async def run(self, stop: asyncio.Event) -> None:
        """Do rounds until asked to stop; a failed round does not prevent the next."""
        while not stop.is_set():
            try:
                await self._go_round()
            except DatabaseDown:
                logger.warning("database unavailable, worker waits")
            except Exception:
                logger.exception("worker round failed")
            await _pause(stop, ROUND_SECONDS)

    async def _go_round(self) -> None:
        await self._database.check_positions()
        async with self._database.transaction() as tx:
            queue = await jobs.queue_state(tx)
            for observe in self._observers:
                await observe(tx)
        # Here and not where followers run, so that the lag of a failing one is reported too.
        for name, lag in (await self._backlog.lags(self._database.reads)).items():
            metrics.follower_lag.labels(name).set(lag.rows)
            metrics.follower_oldest.labels(name).set(lag.oldest_seconds)
        metrics.jobs_waiting.set(queue.waiting)
        metrics.job_oldest.set(queue.oldest_seconds)
        metrics.jobs_failed.set(queue.failed)
        metrics.worker_seen_at.set_to_current_time()
        self._done_at = time.monotonic()

    async def are_done(self, _app: FastAPI) -> bool:
        """Return whether the last round was recent."""
        return time.monotonic() - self._done_at < SEEN_SECONDS


async def _work_off(
    settings: Settings, blueprints: Mapping[str, Blueprint], database: Database, stop: asyncio.Event
) -> None:
    """Run the queue's worker; restart it when the database is reachable and usable again."""
    while not stop.is_set():
        if database.gate.reason is not None:
            await _pause(stop, DOWN_SECONDS)
            continue
        app = App(connector=jobs.connector(database.address, most=6))
        for name, blueprint in blueprints.items():
            jobs.add_tasks(app, blueprint, namespace=name)
        try:
            async with app.open_async():
                await _run_queue(app, stop, {"database": database, "settings": settings})
        except Exception as error:  # noqa: BLE001 - any failure restarts the queue
            logger.warning("job queue interrupted", error=type(error).__name__)
            await _pause(stop, DOWN_SECONDS)


async def _run_queue(app: App, stop: asyncio.Event, context: dict[str, Any]) -> None:
    """Run jobs, and queue those of dead workers again, until asked to stop or until one of the two fails."""
    settings: Settings = context["settings"]
    places = {jobs.DEFAULT: 4, jobs.CALLS: settings.webhook_calls}
    work = [
        *(
            asyncio.create_task(
                app.run_worker_async(
                    queues=[queue],
                    concurrency=at_once,
                    install_signal_handlers=False,
                    delete_jobs="successful",
                    shutdown_graceful_timeout=settings.shutdown_grace_seconds,
                    update_heartbeat_interval=jobs.HEARTBEAT_SECONDS,
                    stalled_worker_timeout=jobs.STALLED_SECONDS,
                    worker_middleware=[jobs.observed],
                    additional_context=context,
                )
            )
            for queue, at_once in places.items()
        ),
        asyncio.create_task(_rescue(app, stop)),
        asyncio.create_task(_notice_refusal(context["database"], stop)),
    ]
    await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
    for task in work:
        task.cancel()
    outcomes = await asyncio.gather(*work, return_exceptions=True)
    failures = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    if failures and not stop.is_set():
        raise failures[0]


async def _rescue(app: App, stop: asyncio.Event) -> None:
    """Queue the jobs of dead workers again, until asked to stop."""
    while not stop.is_set():
        await jobs.rescue(app)
        await _pause(stop, jobs.HEARTBEAT_SECONDS)


async def _notice_refusal(database: Database, stop: asyncio.Event) -> None:
    """Wait until asked to stop, or until the database must not be used, since jobs would fail for good."""
    while not stop.is_set() and database.gate.reason is None:
        await _pause(stop, DOWN_SECONDS)


class _Following:
    """Runs the followers; one query returns those that have something to read.

    The query runs when a writer wakes the worker, but `LEAST_SECONDS` after the last one at the earliest, and
    periodically.
    """

    def __init__(self, database: Database, followers: Sequence[Follower]) -> None:
        self.backlog = Backlog(followers)
        self.is_hearing: Callable[[], bool] = lambda: False
        self._database = database
        self._woken = asyncio.Event()
        self._ready = {follower.name: asyncio.Event() for follower in followers}

    def wake(self) -> None:
        """Query soon."""
        self._woken.set()

    async def look(self, stop: asyncio.Event) -> None:
        """Query until asked to stop."""
        while not stop.is_set():
            self._woken.clear()
            seconds = DOWN_SECONDS
            try:
                ready, is_held_up = await self.backlog.look(self._database.reads)
                for follower in ready:
                    self._ready[follower.name].set()
                seconds = HELD_UP_SECONDS if is_held_up else HEARING_SECONDS if self.is_hearing() else DEAF_SECONDS
            except DatabaseDown:
                logger.info("database unavailable, followers wait")
            except Exception:
                logger.exception("follower poll failed")
            await _pause(stop, LEAST_SECONDS)
            await _pause(stop, seconds, self._woken)

    async def follow(self, follower: Follower, stop: asyncio.Event) -> None:
        """Read a follower's table until asked to stop; a failed batch is retried, never skipped."""
        ready = self._ready[follower.name]
        while not stop.is_set():
            ready.clear()
            try:
                while await self._read(follower) and not stop.is_set():
                    continue
                await _pause(stop, None, ready)
            except DatabaseDown:
                await _pause(stop, DOWN_SECONDS)
            except Exception:
                logger.exception("follower failed", follower=follower.name)
                await _pause(stop, DOWN_SECONDS)

    async def _read(self, follower: Follower) -> bool:
        """Pass a batch to a follower; return whether there may be more."""
        async with self._database.transaction() as tx:
            handled = await outbox.follow(tx, follower)
        metrics.follower_rows.labels(follower.name).inc(handled)
        return handled == follower.batch


async def _pause(stop: asyncio.Event, seconds: float | None, woken: asyncio.Event | None = None) -> None:
    """Wait, at most so many seconds, until asked to stop or woken."""
    waits = [asyncio.create_task(event.wait()) for event in (stop, woken) if event is not None]
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)


def main() -> None:
    """Start the worker from the environment; with `DEBUG`, restart it whenever the code changes, as the server does."""
    settings = Settings()
    if not settings.debug:
        _work([])
        return
    log.configure(level=settings.log_level, form=settings.log_format)
    package = str(Path(__file__).parent)
    config = uvicorn.Config("carteira.worker:main", reload=True, reload_dirs=[package], log_config=None)
    ChangeReload(config, target=_work, sockets=[]).run()


def _work(sockets: object) -> None:  # noqa: ARG001 - uvicorn passes them to its target
    settings = Settings()
    log.configure(level=settings.log_level, form=settings.log_format)
    uvloop.run(run(settings))
