"""Four eyes over HTTP: below a limit at once, above it after a second person approved, and never twice."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID, uuid4

import httpx
import orjson
import pytest
from fastapi import APIRouter
from pydantic import BaseModel
from sqlalchemy import text

from carteira.kit.db.engine import Database
from carteira.kit.db.session import Tx
from carteira.kit.security import approvals, audit, key_ring
from carteira.kit.security.approvals import Act, Gains
from carteira.kit.security.approvals_jobs import observe, pending_oldest_seconds, pending_operations
from carteira.kit.security.sealing import SealedWalk, Sealer
from carteira.kit.values.actor import Actor
from carteira.kit.values.clock import clock
from carteira.kit.values.limits import Limit
from carteira.kit.web import pending
from carteira.kit.web.access import Principal, SignIn, acts, claims
from carteira.kit.web.approvals import CLAIM, DeskDep, Operation, People
from carteira.kit.web.approvals import Desk as DeskOfTheKit
from carteira.kit.web.idempotency import REPLAYED, idempotent
from carteira.kit.web.json_route import JsonRoute
from carteira.kit.web.problems import Conflict, Refusal
from carteira.kit.web.transaction import TxDep
from tests.support.client import client_of
from tests.support.kit_app import SIGNED_IN, application, new_sealer
from tests.support.metric_values import value_of

ALONE, DAILY = 1_000, 5_000
HOURS = timedelta(hours=72)


class Gift(BaseModel):
    """A test's request: an amount of centavos, for a person."""

    amount: int
    to: UUID | None = None
    cpf: str | None = None
    case: str = ""


class NoMoney(Refusal):
    code = "no_money"
    detail = "Não há dinheiro."


FATE: dict[str, str] = {}
"""What becomes of a case's gifts: `refused`, `conflict`, `broken`, or another amount."""


async def give(tx: Tx, order: Gift, act: Act) -> dict[str, Any]:
    fate = FATE.get(order.case, "")
    amount = int(fate) if fate.isdigit() else order.amount
    await tx.execute(text("INSERT INTO gifts (amount, note) VALUES (:amount, 'begun')"), {"amount": amount})
    await act.weigh(tx, amount=amount, summary=f"Dar {amount}", gains=Gains.of(order.to, order.cpf))
    if fate == "refused":
        raise NoMoney
    if fate == "conflict":
        raise Conflict
    if fate == "broken":
        raise RuntimeError
    values = {"amount": amount, "note": order.case, "maker": act.actor.id, "checker": act.approved_by, "key": act.key}
    await tx.execute(
        text("INSERT INTO gifts (amount, note, maker, checker, key) VALUES (:amount, :note, :maker, :checker, :key)"),
        values,
    )
    await audit.record(tx, "gift_given", actor=act.actor, approved_by=act.approved_by, subject=order.to, amount=amount)
    return {"given": amount}


GIVE = Operation("tests.gift", Gift, give, "gifts:write", limit="gifts")
FREE = Operation("tests.free", Gift, give, "gifts:write", limit="free")
OTHER = Operation("tests.other", Gift, give, "gifts:write", limit="gifts", claim="other:approve")
router = APIRouter(route_class=JsonRoute)
Giver = Annotated[Principal, claims("gifts:write")]


@router.post("/gifts", status_code=201, dependencies=[acts("gift_given")])
@idempotent(status=201)
async def post_gift(body: Gift, tx: TxDep, who: Giver, desk: DeskDep) -> object:
    return await desk.carry_out(tx, GIVE, body, who)


@router.post("/other-gifts", status_code=201, dependencies=[acts("gift_given")])
@idempotent(status=201)
async def post_other(body: Gift, tx: TxDep, who: Giver, desk: DeskDep) -> object:
    return await desk.carry_out(tx, OTHER, body, who)


@router.post("/free-gifts", status_code=201, dependencies=[acts("gift_given")])
@idempotent(status=201)
async def post_free(body: Gift, tx: TxDep, who: Giver, desk: DeskDep) -> object:
    return await desk.carry_out(tx, FREE, body, who)


CPFS: dict[UUID, str] = {}


async def cpf_of(_tx: Tx, user_id: UUID) -> str | None:
    return CPFS.get(user_id)


GONE: set[str] = set()
LOST: set[tuple[str, str]] = set()


async def still_may(_tx: Tx, actor: Actor, claim: str) -> bool:
    return actor.id not in GONE and (actor.id, claim) not in LOST


async def names_of(_tx: Tx, user_ids: Iterable[UUID]) -> Mapping[UUID, str]:
    return {user_id: f"Pessoa {user_id}" for user_id in user_ids}


def desk(sealer: Sealer) -> DeskOfTheKit:
    return DeskOfTheKit(
        [GIVE, FREE, OTHER],
        [Limit("gifts", ALONE, DAILY), Limit("free")],
        lasts=HOURS,
        people=People(cpf_of, still_may, names_of),
        digests=lambda cpf: [cpf.encode()[::-1]],
        sealer=sealer,
    )


@pytest.fixture(scope="module")
async def ready(database: Database) -> Database:
    async with database.transaction() as tx:
        await tx.execute(
            text(
                "CREATE TABLE IF NOT EXISTS gifts (amount bigint, note text, maker text, checker uuid, key text UNIQUE)"
            )
        )
    return database


class Desk:
    """One test's people: a maker and checkers, and their gifts, separated by case."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.case = str(uuid4())
        self.maker, self.checker = uuid4(), uuid4()
        self.sealer = new_sealer()
        self.app = application(router, pending.router, database=database, desk=desk(self.sealer))

    async def ask(self, who: UUID, held: str, method: str, path: str, **more: Any) -> httpx.Response:  # noqa: ANN401 - httpx's type
        async with client_of(self.app, token=f"{who}/{held}") as client:
            return await client.request(method, path, **more)

    async def give(self, amount: int, *, path: str = "/gifts", key: str | None = None, **more: str) -> httpx.Response:
        headers = {"Idempotency-Key": key} if key else {}
        body = {"amount": amount, "case": self.case} | more
        return await self.ask(self.maker, "gifts:write", "POST", path, json=body, headers=headers)

    async def propose(self, amount: int = ALONE + 1, **more: str) -> str:
        answer = await self.give(amount, **more)
        assert answer.status_code == 202, answer.text
        assert set(answer.json()["pending"]) == {"id", "kind", "expires_at"}
        return str(answer.json()["pending"]["id"])

    async def decide(
        self,
        operation: str,
        how: str = "approve",
        who: UUID | None = None,
        held: str = CLAIM,
        **more: Any,  # noqa: ANN401 - httpx's type
    ) -> httpx.Response:
        return await self.ask(who or self.checker, held, "POST", f"/pending/{operation}/{how}", **more)

    async def see(self, operation: str) -> dict[str, Any]:
        answer = await self.ask(self.maker, "", "GET", f"/pending/{operation}")
        assert answer.status_code == 200
        seen: dict[str, Any] = answer.json()
        return seen

    async def given(self) -> list[int]:
        async with self.database.transaction() as tx:
            rows = await tx.scalars(text("SELECT amount FROM gifts WHERE note = :case"), {"case": self.case})
            return sorted(rows)

    async def day(self) -> int:
        query = text("SELECT coalesce(sum(amount), 0) FROM operator_days WHERE actor_id = :maker AND day = :day")
        async with self.database.transaction() as tx:
            return int(await tx.scalar(query, {"maker": str(self.maker), "day": clock.today()}))


@pytest.fixture
async def case(ready: Database) -> AsyncIterator[Desk]:
    desk = Desk(ready)
    yield desk
    FATE.pop(desk.case, None)


@pytest.mark.parametrize("amount", [1, ALONE])
async def test_up_to_the_limit_one_person_does_it_alone(case: Desk, amount: int) -> None:
    answer = await case.give(amount)
    assert (answer.status_code, answer.json()) == (201, {"given": amount})
    assert await case.given() == [amount]


async def test_above_the_limit_nothing_moves_before_a_second_person_approves(case: Desk) -> None:
    operation = await case.propose(ALONE + 1)
    assert await case.given() == []
    seen = await case.see(operation)
    assert (seen["kind"], seen["status"], seen["summary"]) == ("tests.gift", "pending", f"Dar {ALONE + 1}")
    assert seen["maker"] == {"kind": "person", "id": str(case.maker), "name": f"Pessoa {case.maker}"}
    assert seen["order"] == {"amount": ALONE + 1, "to": None, "cpf": None, "case": case.case}

    answer = await case.decide(operation)
    assert answer.status_code == 200, answer.text
    assert answer.json()["outcome"] == {"given": ALONE + 1}
    assert answer.json()["order"] is None
    assert answer.json()["checker"] == {"id": str(case.checker), "name": f"Pessoa {case.checker}"}
    assert await case.given() == [ALONE + 1]
    async with case.database.transaction() as tx:
        row = (await tx.execute(text("SELECT * FROM gifts WHERE note = :case"), {"case": case.case})).mappings().one()
    assert (row["maker"], row["checker"]) == (str(case.maker), case.checker)
    assert row["key"] == f"pending:{operation}"
    assert (await case.see(operation)) == answer.json()


async def test_without_a_limit_nothing_waits(case: Desk) -> None:
    assert (await case.give(10**12, path="/free-gifts")).status_code == 201
    assert await case.given() == [10**12]


async def test_the_makers_key_goes_on_answering_202(case: Desk) -> None:
    first = await case.give(ALONE + 1, key=case.case)
    again = await case.give(ALONE + 1, key=case.case)
    assert (again.status_code, again.json(), again.headers[REPLAYED]) == (202, first.json(), "true")
    assert (await case.decide(first.json()["pending"]["id"])).status_code == 200
    late = await case.give(ALONE + 1, key=case.case)
    assert (late.status_code, late.json()) == (202, first.json())
    assert (await case.give(ALONE + 2, key=case.case)).json()["code"] == "idempotency_key_reused"
    assert await case.given() == [ALONE + 1]


async def test_an_approval_is_replayed_by_its_key_and_done_once(case: Desk) -> None:
    operation = await case.propose()
    first = await case.decide(operation, headers={"Idempotency-Key": "k"})
    again = await case.decide(operation, headers={"Idempotency-Key": "k"})
    assert (again.status_code, again.content, again.headers[REPLAYED]) == (200, first.content, "true")
    assert (await case.decide(operation)).json()["code"] == "pending_decided"
    assert await case.given() == [ALONE + 1]


async def test_the_maker_does_not_approve(case: Desk) -> None:
    operation = await case.propose()
    answer = await case.decide(operation, who=case.maker)
    assert (answer.status_code, answer.json()["code"]) == (403, "own_operation")
    assert (await case.see(operation))["status"] == "pending"
    assert await case.given() == []


async def test_beneficiaries_by_user_or_cpf_do_not_approve(case: Desk) -> None:
    other = uuid4()
    CPFS[other] = "52998224725"
    for name, value in (("to", str(other)), ("cpf", CPFS[other])):
        operation = await case.propose(ALONE + 1, **{name: value})
        answer = await case.decide(operation, who=other)
        assert (answer.status_code, answer.json()["code"]) == (403, "own_operation"), name
        assert (await case.see(operation))["status"] == "pending"
        assert (await case.decide(operation)).status_code == 200
    assert len(await case.given()) == 2


async def test_later_beneficiaries_do_not_approve(case: Desk) -> None:
    """The record does not decide alone: the verb says who gains now."""
    operation = await case.propose(cpf="52998224725")
    async with case.database.transaction() as tx:
        await tx.execute(text("UPDATE pending_operations SET gaining_cpfs = '{}' WHERE id = :id"), {"id": operation})
    CPFS[case.checker] = "52998224725"
    assert (await case.decide(operation)).json()["code"] == "own_operation"
    assert (await case.see(operation))["status"] == "pending"
    assert await case.given() == []


async def test_only_holders_of_the_claim_approve_and_only_they_and_the_maker_see(case: Desk) -> None:
    operation, other = await case.propose(), await case.propose(path="/other-gifts")
    stranger = uuid4()
    for path in ("", "/approve", "/refuse"):
        answer = await case.ask(stranger, "gifts:write", "POST" if path else "GET", f"/pending/{operation}{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "pending_not_found")
    assert (await case.ask(stranger, "", "GET", "/pending")).json()["items"] == []
    assert (await case.decide(operation, who=case.maker, held="gifts:write")).status_code == 403

    listed = await case.ask(case.maker, "", "GET", "/pending?status=pending")
    assert [item["id"] for item in listed.json()["items"]] == [other, operation]
    assert (await case.ask(case.maker, "", "GET", "/pending?kind=tests.gift")).json()["items"][0]["id"] == operation
    approver = (await case.ask(case.checker, CLAIM, "GET", "/pending?limit=100")).json()["items"]
    assert operation in {item["id"] for item in approver}
    assert other not in {item["id"] for item in approver}
    assert (await case.decide(other)).status_code == 404
    assert (await case.decide(other, held="other:approve")).status_code == 200
    assert (await case.decide(str(uuid4()))).json()["code"] == "pending_not_found"


async def test_of_two_checkers_at_once_one_approves_and_the_other_reads_who(case: Desk) -> None:
    operation = await case.propose()
    checkers = [uuid4() for _ in range(4)]
    answers = await asyncio.gather(*(case.decide(operation, who=checker) for checker in checkers))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
    winner = next(checker for checker, answer in zip(checkers, answers, strict=True) if answer.status_code == 200)
    for answer in answers:
        if answer.status_code == 409:
            told = answer.json()
            assert (told["code"], told["decision"], told["decided_by"]["id"]) == (
                "pending_decided",
                "approved",
                str(winner),
            )
            assert str(winner) in told["detail"]
    assert await case.given() == [ALONE + 1]


@pytest.mark.parametrize(("fate", "code"), [("refused", "no_money"), ("conflict", "conflict")])
async def test_impossible_operations_fail_with_a_reason_and_move_nothing(case: Desk, fate: str, code: str) -> None:
    operation = await case.propose()
    FATE[case.case] = fate
    answer = await case.decide(operation, headers={"Idempotency-Key": "k"})
    assert (answer.status_code, answer.json()["code"]) == (409, "pending_failed")
    assert answer.json()["reason"]["code"] == code
    seen = await case.see(operation)
    assert (seen["status"], seen["outcome"]["code"]) == ("failed", code)
    assert await case.given() == []
    assert await case.day() == 0
    FATE.pop(case.case)
    assert (await case.decide(operation)).json()["code"] == "pending_decided"
    assert (await case.decide(operation, headers={"Idempotency-Key": "k"})).json()["code"] == "pending_failed"


async def test_operations_that_would_now_move_more_fail(case: Desk) -> None:
    operation = await case.propose()
    FATE[case.case] = str(ALONE + 2)
    assert (await case.decide(operation)).json()["reason"]["code"] == "operation_changed"
    assert await case.given() == []


async def test_an_operation_that_now_moves_less_counts_for_less(case: Desk) -> None:
    operation = await case.propose(ALONE + 500)
    assert await case.day() == ALONE + 500
    FATE[case.case] = "7"
    assert (await case.decide(operation)).json()["outcome"] == {"given": 7}
    assert await case.day() == 7


async def test_operations_of_erased_makers_are_not_done(case: Desk) -> None:
    operation = await case.propose()
    GONE.add(str(case.maker))
    assert (await case.decide(operation)).json()["reason"]["code"] == "maker_gone"
    assert (await case.see(operation))["status"] == "failed"
    assert await case.given() == []


async def test_operations_of_makers_without_the_claim_are_not_done(case: Desk) -> None:
    operation = await case.propose()
    LOST.add((str(case.maker), "gifts:write"))
    assert (await case.decide(operation)).json()["reason"]["code"] == "maker_gone"
    assert (await case.see(operation))["status"] == "failed"
    assert await case.given() == []


async def test_requests_and_outcomes_are_sealed_and_readable_by_their_people(case: Desk) -> None:
    operation = await case.propose()

    async def lies() -> str:
        async with case.database.transaction() as tx:
            query = text("SELECT row::text FROM pending_operations row WHERE id = :id")
            return str(await tx.scalar(query, {"id": operation}))

    assert case.case not in await lies()
    assert (await case.see(operation))["order"]["case"] == case.case
    assert (await case.decide(operation)).status_code == 200
    assert '"given' not in await lies()
    assert (await case.see(operation))["outcome"] == {"given": ALONE + 1}


async def test_sealed_operations_are_resealed_when_the_key_is_rotated(case: Desk, tmp_path: Path) -> None:
    case.sealer.path = tmp_path / "identity.key"  # where the file stays
    case.sealer.path.write_bytes(key_ring._content(case.sealer.keys()))  # noqa: SLF001 - the form of the former release's file
    waits, done = await case.propose(), await case.propose()
    assert (await case.decide(done)).status_code == 200
    ids = [UUID(waits), UUID(done)]
    case.sealer.add()

    async def walk(*, reseal: bool) -> SealedWalk:
        found = SealedWalk()
        async with case.database.transaction() as tx:
            for one in sorted(ids):
                found += await approvals.walk_sealed(tx, case.sealer, UUID(int=one.int - 1), limit=1, reseal=reseal)
        return found

    assert ((await walk(reseal=True)).on_former, (await walk(reseal=False)).on_former) == (2, 0)
    case.sealer.path.unlink()
    active = case.sealer.active
    case.sealer._keys = (active,)  # noqa: SLF001 - the former key is gone
    assert (await case.see(waits))["order"]["case"] == case.case
    assert (await case.see(done))["outcome"] == {"given": ALONE + 1}
    assert (await case.decide(waits)).status_code == 200


async def test_unsealed_operations_of_before_are_read_and_approved(case: Desk) -> None:
    operation = await case.propose()
    async with case.database.transaction() as tx:
        clear = orjson.dumps({"amount": ALONE + 1, "case": case.case}).decode()
        query = text("UPDATE pending_operations SET payload = :clear WHERE id = :id")
        await tx.execute(query, {"clear": clear, "id": operation})
    assert (await case.see(operation))["order"]["case"] == case.case
    assert (await case.decide(operation)).status_code == 200
    assert await case.given() == [ALONE + 1]


async def test_approving_asks_for_a_recent_sign_in(case: Desk) -> None:
    operation = await case.propose()
    old = SignIn(signed_in_at=clock.now() - timedelta(minutes=16))
    SIGNED_IN[case.checker] = old
    try:
        answer = await case.decide(operation)
        assert (answer.status_code, answer.json()["code"]) == (403, "recent_sign_in_required")
        assert await case.given() == []
        SIGNED_IN[case.checker] = replace(old, signed_in_at=clock.now())
        assert (await case.decide(operation)).status_code == 200
    finally:
        del SIGNED_IN[case.checker]


async def test_an_approval_that_breaks_leaves_the_operation_pending(case: Desk) -> None:
    operation = await case.propose()
    FATE[case.case] = "broken"
    assert (await case.decide(operation)).status_code == 500
    assert (await case.see(operation))["status"] == "pending"
    FATE.pop(case.case)
    assert (await case.decide(operation)).status_code == 200
    assert await case.given() == [ALONE + 1]


async def test_a_refused_operation_moves_nothing_and_counts_for_nothing(case: Desk) -> None:
    operation = await case.propose()
    assert await case.day() == ALONE + 1
    answer = await case.decide(operation, "refuse", json={"reason": "Sem pedido por escrito."})
    assert (answer.status_code, answer.json()["status"]) == (200, "refused")
    assert answer.json()["outcome"] == {"reason": "Sem pedido por escrito."}
    late = await case.decide(operation)
    assert (late.json()["code"], late.json()["decision"]) == ("pending_decided", "refused")
    assert await case.given() == []
    assert await case.day() == 0


async def test_the_maker_may_take_it_back(case: Desk) -> None:
    operation = await case.propose()
    assert (await case.decide(operation, "refuse", who=case.maker, held="gifts:write")).json()["status"] == "refused"


async def test_expired_operations_are_not_approved(case: Desk) -> None:
    operation, other = await case.propose(), await case.propose()
    clock.advance(HOURS)
    answer = await case.decide(operation)
    assert (answer.status_code, answer.json()["code"]) == (409, "pending_expired")
    assert (await case.see(operation))["status"] == "expired"
    async with case.database.transaction() as tx:
        await observe(tx)
        assert value_of(pending_operations.labels("tests.gift")) >= 1
        assert value_of(pending_oldest_seconds.labels("tests.gift")) >= HOURS.total_seconds()
        while await approvals.expire(tx):
            pass
        await observe(tx)
    assert (await case.see(other))["status"] == "expired"
    assert (await case.decide(other)).json()["code"] == "pending_expired"
    assert value_of(pending_operations.labels("tests.gift")) == 0
    assert await case.given() == []
    clock.run()
    assert await case.day() == 0


async def test_a_day_has_a_ceiling_for_done_and_waiting_operations(case: Desk) -> None:
    operation = await case.propose(3_000)
    assert (await case.give(1_000)).status_code == 201
    over = await case.give(DAILY)
    assert (over.status_code, over.json()["code"], over.json()["left"]) == (409, "daily_ceiling_reached", 1_000)
    assert (await case.give(1_000)).status_code == 201
    assert (await case.give(1)).json()["left"] == 0
    assert (await case.give(1, path="/other-gifts")).json()["left"] == 0, "one limit for all kinds"
    assert (await case.decide(operation)).status_code == 200, "a waiting operation counts in the day's total"
    assert await case.day() == DAILY
    clock.advance(timedelta(days=1))
    assert (await case.give(1)).status_code == 201


async def test_refused_operations_count_for_nothing(case: Desk) -> None:
    FATE[case.case] = "refused"
    assert (await case.give(500, key=case.case)).json()["code"] == "no_money"
    assert await case.day() == 0


async def test_fifty_at_once_never_pass_the_ceiling(case: Desk) -> None:
    amounts = [300, 1_100] * 25  # alone, and to wait
    answers = await asyncio.gather(*(case.give(amount) for amount in amounts))
    counted = sum(amount for amount, answer in zip(amounts, answers, strict=True) if answer.status_code in {201, 202})
    assert {answer.status_code for answer in answers} <= {201, 202, 409}
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"daily_ceiling_reached"}
    assert counted <= DAILY
    assert counted > DAILY - 300, "and what still fits is accepted"
    assert await case.day() == counted
