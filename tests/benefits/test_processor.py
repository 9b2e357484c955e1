"""The processor uses its own ids over HTTP: it asks what became of a purchase, and reverses it."""

from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.support.benefits import AUTHORIZER, FOOD, benefit_balances, open_benefit_account, purchase
from tests.support.people import Person

Headers = dict[str, str]
QUERY, REVERSAL = f"{AUTHORIZER}/query", f"{AUTHORIZER}/reversal"


class Processor:
    """The card processor's program."""

    def __init__(self, client: httpx.AsyncClient, headers: Headers) -> None:
        self._client = client
        self._headers = headers

    async def ask(self, path: str, body: object, **params: str) -> dict[str, Any]:
        content = body if isinstance(body, bytes) else None
        answer = await self._client.post(
            path, content=content, json=None if content is not None else body, headers=self._headers, params=params
        )
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        told: dict[str, Any] = answer.json()
        return told

    async def buy(self, account: str, reais: str, transaction: str) -> str:
        return str((await self.ask(AUTHORIZER, purchase(account, reais, FOOD, id=transaction)))["code"])

    async def reverse(self, transaction: str, **more: object) -> str:
        return str((await self.ask(REVERSAL, {"id": transaction, **more}))["code"])

    async def detail(self, transaction: str) -> dict[str, Any]:
        return await self.ask(QUERY, {"id": transaction}, detail="true")


@pytest.fixture
def program(client: httpx.AsyncClient, processor: Headers) -> Processor:
    return Processor(client, processor)


def new_id() -> str:
    return f"nsu-{uuid4()}"


async def test_a_lost_answer_is_found_by_the_processors_own_id(operator: Person, program: Processor) -> None:
    account, bought, declined = await open_benefit_account(operator, FOOD=1_000), new_id(), new_id()
    assert await program.buy(account, "7.50", bought) == "00"
    assert await program.buy(account, "70.00", declined) == "51"
    assert await program.ask(QUERY, {"id": bought}) == {"code": "00"}
    assert await program.ask(QUERY, {"id": declined}) == {"code": "51"}
    assert await program.ask(QUERY, {"id": new_id()}) == {"code": "07"}
    told = await program.detail(bought)
    (listed,) = (await operator.get("/transactions", reference=bought)).json()["items"]
    assert (listed["reference"], listed["account"], listed["id"]) == (bought, account, told["id"])
    assert told == {
        "code": "00",
        "state": "approved",
        "id": told["id"],
        "reason": "approved",
        "amount": 750,
        "returned": 0,
        "balance": 250,
    }
    told = await program.detail(declined)
    assert (told["state"], told["reason"], told["balance"]) == ("declined", "insufficient_funds", 250)
    assert (await program.detail(new_id()))["state"] == "unknown"
    assert (await operator.get("/transactions", reference=new_id())).json()["items"] == []


async def test_a_purchase_is_undone_whole_and_once(operator: Person, program: Processor) -> None:
    account, bought = await open_benefit_account(operator, FOOD=1_000), new_id()
    assert await program.buy(account, "7.50", bought) == "00"
    assert [await program.reverse(bought) for _ in range(3)] == ["00"] * 3
    assert (await benefit_balances(operator, account))["FOOD"] == 1_000
    told = await program.detail(bought)
    assert (told["code"], told["state"], told["returned"]) == ("00", "reversed", 750)
    assert await program.buy(account, "7.50", bought) == "00", "the first answer again, and no money moves"
    assert (await benefit_balances(operator, account))["FOOD"] == 1_000
    by_operator = await operator.post(f"/transactions/{told['id']}/reversal")
    assert by_operator.json()["code"] == "already_returned"


async def test_parts_are_undone_each_once_and_never_more_than_the_purchase(
    operator: Person, program: Processor
) -> None:
    account, bought, part = await open_benefit_account(operator, FOOD=1_000), new_id(), new_id()
    assert await program.buy(account, "10.00", bought) == "00"
    assert [await program.reverse(bought, reversalId=part, totalAmount=2.5) for _ in range(2)] == ["00", "00"]
    assert (await benefit_balances(operator, account))["FOOD"] == 250
    assert await program.reverse(bought, reversalId=part, totalAmount=3) == "07", "the same id with another body"
    assert await program.reverse(bought, reversalId=new_id(), totalAmount=7.51) == "07", "more than remains"
    assert await program.reverse(bought, reversalId=bought, totalAmount=1) == "07", (
        "purchases and reversals share one namespace of ids"
    )
    assert await program.reverse(part) == "07", "a reversal is not reversed"
    assert await program.buy(account, "0.01", part) == "07", "the shared namespace, the other way round"
    assert await program.ask(QUERY, {"id": part}) == {"code": "00"}
    assert (await program.detail(bought))["returned"] == 250
    assert await program.reverse(bought) == "00"
    assert (await benefit_balances(operator, account))["FOOD"] == 1_000
    assert await program.reverse(bought, reversalId=new_id(), totalAmount=0.01) == "07"


@pytest.mark.parametrize("more", [{}, {"reversalId": "", "totalAmount": 1}])
async def test_a_purchase_reversed_before_its_arrival_is_declined(
    operator: Person, program: Processor, more: dict[str, object]
) -> None:
    account, late = await open_benefit_account(operator, FOOD=1_000), new_id()
    if more:
        more = {**more, "reversalId": new_id()}
    assert [await program.reverse(late, **more) for _ in range(2)] == ["00", "00"]
    assert (await program.detail(late))["state"] == "reversed"
    assert [await program.buy(account, "1.00", late) for _ in range(2)] == ["07", "07"]
    assert (await benefit_balances(operator, account))["FOOD"] == 1_000
    newest = (await operator.get("/transactions", account=account)).json()["items"][0]
    assert newest["explanation"] == "Compra recusada: ela já tinha sido estornada quando chegou."
    assert (await program.detail(late))["state"] == "reversed"


async def test_reversing_a_declined_purchase_moves_nothing(operator: Person, program: Processor) -> None:
    account, declined = await open_benefit_account(operator, FOOD=100), new_id()
    assert await program.buy(account, "5.00", declined) == "51"
    assert await program.reverse(declined) == "00"
    assert await program.reverse(declined, reversalId=new_id(), totalAmount=5) == "00"
    assert (await benefit_balances(operator, account))["FOOD"] == 100
    assert (await program.detail(declined))["code"] == "51"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"id": 7}',
        b'{"id": ""}',
        b'{"id": "a b"}',
        b'{"id": "' + b"x" * 65 + b'"}',
        b'{"id": "a", "id": "b"}',
        b'{"id": "a", "reversalId": "b"}',
        b'{"id": "a", "totalAmount": 1}',
        b'{"id": "a", "reversalId": "b", "totalAmount": "1"}',
        b'{"id": "a", "reversalId": "b", "totalAmount": 0}',
        b'{"id": "a", "reversalId": "b", "totalAmount": -1}',
        b'{"id": "a", "reversalId": "b", "totalAmount": 1.001}',
        b'{"id": "a", "reversalId": 1, "totalAmount": 1}',
        b'{"id": "\xff"}',
        b"x" * 20_000,
    ],
)
async def test_unreadable_reversals_undo_nothing(program: Processor, body: bytes) -> None:
    assert await program.ask(REVERSAL, body) == {"code": "07"}


async def test_strangers_and_other_methods_get_07(client: httpx.AsyncClient, processor: Headers) -> None:
    for path in (QUERY, REVERSAL):
        assert (await client.post(path, json={"id": "a"})).json() == {"code": "07"}
        assert (await client.put(path, json={"id": "a"}, headers=processor)).json() == {"code": "07"}
    assert (await client.post(f"{QUERY}/more", json={"id": "a"}, headers=processor)).json() == {"code": "07"}
    told = (await client.post(QUERY, params={"detail": "true"}, json={"id": "a"})).json()
    assert (told["code"], told["state"], told["reason"]) == ("07", "unknown", "not_authenticated")
    wrong = await client.post(QUERY, params={"detail": "maybe"}, json={"id": "a"}, headers=processor)
    assert wrong.json() == {"code": "07"}
