"""Webhooks in tests: clients that have an endpoint, and events to deliver."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import text

from tests.support.app import RunningApp
from tests.support.machines import new_acting
from tests.support.people import Person, new_cpf

WEBHOOKS = "/webhooks"
KEEPS = ("webhooks:read", "webhooks:write")


@dataclass
class Hook:
    """A client's endpoint, and its secret."""

    client: Person
    id: str
    secret: str

    @property
    def path(self) -> str:
        return f"{WEBHOOKS}/{self.id}"

    async def deliveries(self, **query: str) -> list[dict[str, Any]]:
        answer = await self.client.get(f"{self.path}/deliveries", **query)
        assert answer.status_code == 200, answer.text
        listed: list[dict[str, Any]] = answer.json()["items"]
        return listed

    async def shown(self) -> dict[str, Any]:
        shown: dict[str, Any] = (await self.client.get(self.path)).json()
        return shown


async def new_hook(operator: Person, url: str, *events: str, claims: tuple[str, ...] = ("benefits:read",)) -> Hook:
    """Have a new client create an endpoint."""
    return await add_hook(await new_acting(operator, *claims, *KEEPS), url, *events)


async def add_hook(client: Person, url: str, *events: str) -> Hook:
    """Have a client create an endpoint."""
    made = await client.post(WEBHOOKS, {"url": url, "events": list(events)})
    assert made.status_code == 201, made.text
    return Hook(client, made.json()["id"], made.json()["secret"])


async def open_account(operator: Person, **fields: object) -> str:
    """Cause an event: open an account. Return its reference."""
    reference = f"w-{uuid4()}"
    whose = {} if "user_id" in fields else {"cpf": new_cpf()}
    opening = {"account": reference, "balances": {"FOOD": 10_000, "CASH": 10_000}} | whose | fields
    opened = await operator.post("/benefits/accounts", opening)
    assert opened.status_code == 201, opened.text
    return reference


async def pass_time(app: RunningApp, by: timedelta = timedelta(minutes=10)) -> None:
    """Make due what waits, as if time had passed: pauses, leases and retries."""
    async with app.database.transaction() as tx:
        for statement in _PASS:
            await tx.execute(statement, {"by": by})


_PASS = tuple(
    text(f"UPDATE {table} SET {column} = {column} - CAST(:by AS interval) WHERE {column} IS NOT NULL")
    for table, column in (
        ("webhook_deliveries", "next_attempt_at"),
        ("webhook_endpoints", "paused_until"),
        ("procrastinate_jobs", "scheduled_at"),
    )
)
