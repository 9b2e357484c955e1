"""Live decisions by server-sent events: one query serves all viewers in this process.

It shows no personal data: references are masked, and opening a decision records a look. A view ends after ten minutes,
or with its session, so that an open page does not keep a session alive.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from uuid import UUID

import orjson
import structlog
from fastapi import FastAPI, Response
from fastapi.responses import StreamingResponse
from prometheus_client import Gauge

from carteira import benefits
from carteira.kit.db.engine import Database
from carteira.kit.db.errors import DatabaseDown
from carteira.kit.values.clock import clock
from carteira.kit.web.access import Principal, claims, reads
from carteira.kit.web.problems import Problem
from carteira.kit.web.state import DATABASE, StateKey
from carteira.web.console.authorizations import CLAIM, HOME, briefly
from carteira.web.console.cells import instant
from carteira.web.formats import plain_money
from carteira.web.page import SignedPage, WebPage
from carteira.web.routing import pages

router = pages("benefits")
PATH = f"{HOME}/ao-vivo"
SECONDS = 2.0
"""The interval of queries while somebody watches."""
_OVERLAP = timedelta(seconds=5)
"""Decisions are read by their ids but committed in another order, so the latest ones are read again."""
_MOST = 50
_ROUNDS_OF_STANDING = 8
_LONGEST_ROUNDS = 300
views = Gauge("carteira_live_views", "Live views of the console that are open", multiprocess_mode="livesum")
log = structlog.get_logger(__name__)

Scopes = frozenset[UUID] | None


class LiveDecisions:
    """Reads new decisions once for all viewers."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._watching: dict[asyncio.Queue[bytes], Scopes] = {}
        self._asking: asyncio.Task[None] | None = None
        self._seen: dict[UUID, None] = {}
        self.well = True
        """Whether the last query succeeded."""

    @contextmanager
    def watch(self, scopes: Scopes) -> Iterator[asyncio.Queue[bytes]]:
        """Yield a queue of new decisions for the length of the block; a slow viewer misses some."""
        queue: asyncio.Queue[bytes] = asyncio.Queue(2)
        self._watching[queue] = scopes
        views.inc()
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask(), name="live decisions")
        try:
            yield queue
        finally:
            views.dec()
            del self._watching[queue]

    async def close(self) -> None:
        """Stop querying."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)

    async def _ask(self) -> None:
        """Query while somebody watches."""
        since = clock.now()
        while self._watching:
            await asyncio.sleep(SECONDS)
            now = clock.now()
            try:
                found = await benefits.desk.newest_decisions(self._database.reads, since=since - _OVERLAP, most=_MOST)
            except Exception as error:  # noqa: BLE001 - viewers see that nothing comes, and the next round tries again
                log.warning("live decisions not read", error=type(error).__name__)
                self.well = False
                continue
            self.well, since = True, now
            fresh = [one for one in found if one.id not in self._seen]
            self._seen = dict.fromkeys(one.id for one in found)
            if fresh:
                self._tell(fresh)

    def _tell(self, fresh: list[benefits.desk.LiveDecision]) -> None:
        """Queue new decisions for every viewer who may see them; each text is written once."""
        written: dict[Scopes, bytes] = {}
        for queue, scopes in self._watching.items():
            if scopes not in written:
                theirs = [one for one in fresh if scopes is None or one.employer_id in scopes]
                written[scopes] = _written(theirs) if theirs else b""
            if written[scopes] and not queue.full():
                queue.put_nowait(written[scopes])


LIVE = StateKey[LiveDecisions]("live")


def _written(rows: list[benefits.desk.LiveDecision]) -> bytes:
    shown = [
        {
            "href": f"{HOME}/{one.id}",
            "cells": [
                instant(one.view.created_at).text,
                one.account,
                one.view.merchant or "",
                one.view.mcc or "",
                "" if one.view.amount is None else plain_money(one.view.amount),
            ],
            "code": one.view.code,
            "why": briefly(one.view),
        }
        for one in reversed(rows)
    ]
    return b"event: decisoes\ndata: " + orjson.dumps(shown) + b"\n\n"


@asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[None]:
    """Keep the live decisions of a server process."""
    LIVE.set(app, LiveDecisions(DATABASE.of(app)))
    try:
        yield
    finally:
        await LIVE.of(app).close()


@router.get(PATH, dependencies=[claims(CLAIM), reads("decisions without whose they are; each link records its look")])
async def watch(page: SignedPage) -> Response:
    """Stream new decisions."""
    page.request.state.endless = True
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_events(page), media_type="text/event-stream", headers=headers)


async def _events(page: WebPage) -> AsyncIterator[bytes]:
    live = LIVE.of(page.request.app)
    who = page.who
    with live.watch(who.scopes) as queue:
        yield b"retry: 3000\nevent: abriu\ndata: 1\n\n"
        for number in range(1, _LONGEST_ROUNDS + 1):
            try:
                yield await asyncio.wait_for(queue.get(), SECONDS)
            except TimeoutError:
                yield b"event: vivo\ndata: 1\n\n" if live.well else b":\n\n"
            if number % _ROUNDS_OF_STANDING == 0 and not await _stands(page, who):
                break
        yield b"event: pausa\ndata: 1\n\n"


async def _stands(page: WebPage, who: Principal) -> bool:
    """Return whether a viewer's rights are still valid; watching does not count as activity."""
    if who.session_id is None:
        return False
    try:
        now = await page.identity.access.principal(who.id, who.session_id)
    except (Problem, DatabaseDown):
        return False
    return now.scopes == who.scopes and now.may(CLAIM)
