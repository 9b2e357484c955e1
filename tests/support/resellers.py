"""Resellers, purchases, months for single tests, and the stand-in for the external service on a real port."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from itertools import count
from typing import Any
from uuid import uuid4

from carteira.resellers import resellers
from carteira.resellers.configuration import next_month
from carteira.resellers.sandbox import Sandbox, sandbox_server
from tests.support.app import RunningApp
from tests.support.people import Person, new_cpf

PENDING, APPROVED, REJECTED = "Em validação", "Aprovado", "Reprovado"
AUTO_APPROVED = "15350946056"

_codes = count(1)
_months = iter([date(2001 + number // 6, number % 6 * 2 + 1, 1) for number in range(24 * 6)])


def new_month() -> date:
    """Return a past month that no other test of this process uses, nor the month after it."""
    return next(_months)


def text(month: date) -> str:
    return f"{month:%Y-%m}"


@dataclass
class Buyer(Person):
    """A person who registers purchases, or decides on them."""

    async def read(self, path: str) -> Any:  # noqa: ANN401 - any JSON
        """Return the JSON at a path."""
        response = await self.get(path)
        assert response.status_code == 200, response.text
        return response.json()

    async def submit(self, path: str, **more: Any) -> Any:  # noqa: ANN401 - any JSON
        """Post a body that must be accepted; return the answer."""
        response = await self.call("POST", path, **more)
        assert response.status_code in {200, 201}, response.text
        return response.json()

    async def buy(self, amount: int, on: date, **more: object) -> dict[str, Any]:
        bought: dict[str, Any] = await self.submit("/purchases", json=self.purchase(amount, on, **more))
        return bought

    def purchase(self, amount: int, on: date, **more: object) -> dict[str, object]:
        code = f"NF-{next(_codes)}-{uuid4().hex[:6]}"
        return {"code": code, "amount": amount, "date": on.isoformat(), "cpf": self.cpf} | more

    async def balance(self) -> int:
        balance: int = (await self.read("/cashback/balance"))["balance"]
        return balance


def buyer(app: RunningApp, *claims: str) -> Buyer:
    """Return a person with a CPF and these claims who is no reseller yet."""
    person = app.person(*claims)
    return Buyer(app.client, person.id, person.headers, new_cpf())


async def new_reseller(app: RunningApp, cpf: str | None = None, *claims: str) -> Buyer:
    """Add a reseller."""
    person = buyer(app, "reseller", *claims)
    person.cpf = cpf or person.cpf
    async with app.database.transaction() as tx:
        await resellers.add(tx, person.id, person.cpf)
    return person


def new_operator(app: RunningApp) -> Buyer:
    """Return a person who sees, registers and decides on everybody's purchases."""
    return buyer(app, "purchases:read", "purchases:write", "purchases:approve")


async def approved_purchase(app: RunningApp, person: Buyer, amount: int, on: date) -> dict[str, Any]:
    bought = await person.buy(amount, on)
    decided: dict[str, Any] = await new_operator(app).submit(f"/purchases/{bought['id']}/approve")
    return decided


async def earn_cashback(app: RunningApp, person: Buyer, amount: int) -> None:
    """Let a reseller earn an amount: they sell ten times as much in a month of their own, which is closed."""
    month = new_month()
    assert amount <= 10_000, "within the first tier"
    await approved_purchase(app, person, amount * 10, month)
    await new_operator(app).submit(f"/cashback/months/{text(month)}/close")


@contextmanager
def standing_in() -> Iterator[tuple[Sandbox, str]]:
    """Serve a stand-in for the external service on a real port; connections wait in the socket until it is up."""
    sandbox = Sandbox(token="the-token")
    server = sandbox_server(sandbox)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield sandbox, f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


__all__ = ["APPROVED", "AUTO_APPROVED", "PENDING", "REJECTED", "Buyer", "new_month", "next_month", "text"]
