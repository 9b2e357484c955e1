"""Operators at the console: people with a role, signed in at a browser without scripts."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.app import RunningApp
from tests.support.pages import PlainBrowser
from tests.support.people import Person, register


async def operator_of(app: RunningApp, role: str, **changes: str) -> Person:
    """Register a person and give them a role that ships; the citizen's role removes what they had."""
    person = await register(app, **changes)
    maker = app.operator()
    roles = (await maker.get("/roles", limit=100)).json()["items"]
    role_id = next(one["id"] for one in roles if one["description"] == role)
    answer = await maker.call("PUT", f"/users/{person.id}/role", json={"role_id": role_id})
    assert answer.status_code == 200, answer.text
    return person


@asynccontextmanager
async def desk_of(app: RunningApp, role: str, **changes: str) -> AsyncIterator[PlainBrowser]:
    """Open a browser at which a person of a role is signed in."""
    person = await operator_of(app, role, **changes)
    browser = PlainBrowser(app)
    await browser.sign_in(person)
    yield browser
    await browser.client.aclose()
