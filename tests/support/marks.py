"""The moment between a request's read of the session's marks and its answer."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import cast

from carteira.identity.sessions.standing import SessionStandings
from tests.support.app import RunningApp


@asynccontextmanager
async def meanwhile(app: RunningApp, change: Callable[[], Awaitable[object]]) -> AsyncIterator[list[str]]:
    """Run something between the next request's first read of the marks and its answer."""
    questions = cast("SessionStandings", app.api.state.identity.access)._questions  # noqa: SLF001 - the test acts between two steps
    ask, happened = questions._ask_all, list[str]()  # noqa: SLF001 - the test restores it

    async def ask_late(marks: Sequence[str]) -> Sequence[object]:
        questions._ask_all = ask  # noqa: SLF001 - the test restores it
        await change()
        happened.extend(marks)
        return await ask(marks)

    questions._ask_all = ask_late  # type: ignore[assignment] # noqa: SLF001 - only this object's method changes
    yield happened
    assert happened, "no request read the marks"
