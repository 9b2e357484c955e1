"""What the tests of resellers share: people with tokens, purchases, months of their own, a stand-in on a real port."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import httpx
from validate_docbr import CPF

from carteira.kit.db.engine import Database
from carteira.resellers import resellers
from carteira.resellers.configuration import next_month
from carteira.resellers.sandbox import Sandbox, sandbox_server

PENDING, APPROVED, REJECTED = "Em validação", "Aprovado", "Reprovado"
AUTO_APPROVED = "15350946056"

_codes = count(1)
_months = iter([date(2001 + number // 6, number % 6 * 2 + 1, 1) for number in range(24 * 6)])


def new_month() -> date:
    """Give a past month that no other test of this process touches, nor the month after it."""
    return next(_months)


def text(month: date) -> str:
    return f"{month:%Y-%m}"


def new_cpf() -> str:
    generated: str = CPF().generate()
    return generated


@dataclass
class Person:
    """Somebody with a token, over HTTP."""

    client: httpx.AsyncClient
    token: str
    user_id: UUID
    cpf: str

    async def call(self, method: str, path: str, **more: Any) -> httpx.Response:  # noqa: ANN401 - httpx's own
        headers = {"Authorization": f"Bearer {self.token}"} | more.pop("headers", {})
        return await self.client.request(method, path, headers=headers, **more)

    async def get(self, path: str) -> Any:  # noqa: ANN401 - any JSON
        response = await self.call("GET", path)
        assert response.status_code == 200, response.text
        return response.json()

    async def post(self, path: str, **more: Any) -> Any:  # noqa: ANN401 - any JSON
        response = await self.call("POST", path, **more)
        assert response.status_code in {200, 201}, response.text
        return response.json()

    async def buy(self, amount: int, on: date, **more: object) -> dict[str, Any]:
        bought: dict[str, Any] = await self.post("/purchases", json=self.purchase(amount, on, **more))
        return bought

    def purchase(self, amount: int, on: date, **more: object) -> dict[str, object]:
        code = f"NF-{next(_codes)}-{uuid4().hex[:6]}"
        return {"code": code, "amount": amount, "date": on.isoformat(), "cpf": self.cpf} | more

    async def balance(self) -> int:
        balance: int = (await self.get("/cashback/balance"))["balance"]
        return balance


@dataclass
class Shop:
    """A server with its people."""

    client: httpx.AsyncClient
    database: Database
    token_for: Callable[..., str]

    def person(self, *claims: str) -> Person:
        user_id = uuid4()
        return Person(self.client, self.token_for(user_id, *claims), user_id, new_cpf())

    async def reseller(self, cpf: str | None = None, *claims: str) -> Person:
        person = self.person("reseller", *claims)
        person.cpf = cpf or person.cpf
        async with self.database.transaction() as tx:
            await resellers.add(tx, person.user_id, person.cpf)
        return person

    @property
    def operator(self) -> Person:
        return self.person("purchases:read", "purchases:write", "purchases:approve")

    async def approved(self, person: Person, amount: int, on: date) -> dict[str, Any]:
        bought = await person.buy(amount, on)
        decided: dict[str, Any] = await self.operator.post(f"/purchases/{bought['id']}/approve")
        return decided

    async def give_cashback(self, person: Person, amount: int) -> None:
        """Let a reseller earn an amount: ten times as much bought in a month of its own, which is closed."""
        month = new_month()
        assert amount <= 10_000, "within the first tier"
        await self.approved(person, amount * 10, month)
        await self.operator.post(f"/cashback/months/{text(month)}/close")


@contextmanager
def standing_in() -> Iterator[tuple[Sandbox, str]]:
    """Serve a stand-in of the external service on a real port; connections wait in the socket until it is up."""
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


__all__ = ["APPROVED", "AUTO_APPROVED", "PENDING", "REJECTED", "Person", "Shop", "new_month", "next_month", "text"]
