"""Operators' money over HTTP, kind by kind: alone up to the limit, with a second person above it."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import text

from carteira.app import modules_of
from carteira.kit.values.clock import clock
from carteira.kit.web.idempotency import REPLAYED
from tests.four_eyes.world import DAILY, KINDS, LIMIT, Attempt, World, approve, credit, propose
from tests.support.people import new_cpf

BILLION = 10**12
each_kind = pytest.mark.parametrize("kind", KINDS)


async def attempt_of(world: World, kind: str, amount: int, gains: dict[str, str] | None = None) -> Attempt:
    return await KINDS[kind](world, amount, gains or {"cpf": new_cpf()})


async def entries_of(world: World, operation: str) -> list[tuple[str, str, UUID]]:
    query = text("SELECT actor_kind, actor_id, approved_by FROM ledger_entries WHERE key LIKE :key")
    async with world.app.database.transaction() as tx:
        return [(row[0], row[1], row[2]) for row in await tx.execute(query, {"key": f"pending:{operation}%"})]


@each_kind
@pytest.mark.parametrize("amount", [LIMIT - 1, LIMIT])
async def test_up_to_the_limit_an_operator_does_it_alone(world: World, kind: str, amount: int) -> None:
    attempt = await attempt_of(world, kind, amount)
    answer = await world.maker().post(attempt.path, attempt.body)
    assert answer.status_code in {200, 201}, answer.text
    assert await attempt.moved() == amount


@each_kind
async def test_above_the_limit_it_waits_and_a_second_person_has_it_done(world: World, kind: str) -> None:
    attempt, maker, checker = await attempt_of(world, kind, LIMIT + 1), world.checker(), world.checker()
    operation = await propose(maker, attempt)
    assert await attempt.moved() == 0
    seen = await world.pending(maker, operation)
    assert (seen["status"], seen["amount"]) == ("pending", LIMIT + 1)
    assert "100,01" in seen["summary"]

    told = (await world.pending(checker, operation))["changes"]
    if kind in {"credit", "cash_recharge"}:
        ((field, now, then),) = [one.values() for one in told]
        assert (field, then - now) == ("balance", LIMIT + 1)
    else:
        assert told == []

    assert (await approve(maker, operation)).json()["code"] == "own_operation"
    assert await attempt.moved() == 0
    answer = await approve(checker, operation)
    assert answer.status_code == 200, answer.text
    assert await attempt.moved() == LIMIT + 1
    entries = await entries_of(world, operation)
    assert entries
    assert set(entries) == {("person", str(maker.id), checker.id)}
    assert (await approve(checker, operation)).json()["code"] == "pending_decided"
    assert await attempt.moved() == LIMIT + 1


@each_kind
async def test_one_operator_gives_nobody_a_billion(world: World, kind: str) -> None:
    """A day's ceiling limits it, on every route; two persons do not pass it either."""
    attempt = await attempt_of(world, kind, BILLION)
    answer = await world.maker().post(attempt.path, attempt.body)
    assert (answer.status_code, answer.json()["code"]) == (409, "daily_ceiling_reached")
    assert answer.json()["left"] == DAILY
    assert await attempt.moved() == 0


@each_kind
async def test_the_makers_key_goes_on_answering_the_same(world: World, kind: str) -> None:
    attempt, maker = await attempt_of(world, kind, LIMIT + 1), world.maker()
    operation = await propose(maker, attempt, **{"Idempotency-Key": "k"})
    for _ in range(2):
        again = await maker.post(attempt.path, attempt.body, key="k")
        assert (again.status_code, again.json()["pending"]["id"], again.headers[REPLAYED]) == (202, operation, "true")
        await approve(world.checker(), operation)
    assert await attempt.moved() == LIMIT + 1


@each_kind
@pytest.mark.parametrize("known_by", ["user_id", "cpf"])
async def test_beneficiaries_do_not_approve(world: World, kind: str, known_by: str) -> None:
    gainer = await world.gainer()
    gains = {"user_id": str(gainer.id)} if known_by == "user_id" else {"cpf": gainer.cpf}
    attempt, maker = await attempt_of(world, kind, LIMIT + 1, gains), world.maker()
    operation = await propose(maker, attempt)
    answer = await approve(gainer, operation)
    assert (answer.status_code, answer.json()["code"]) == (403, "own_operation")
    assert (await world.pending(maker, operation))["status"] == "pending"
    assert await attempt.moved() == 0
    assert (await approve(world.checker(), operation)).status_code == 200


@each_kind
async def test_an_operation_overtaken_meanwhile_fails_and_moves_nothing(world: World, kind: str) -> None:
    attempt, maker = await attempt_of(world, kind, LIMIT + 1), world.maker()
    operation = await propose(maker, attempt)
    await attempt.spoil()
    answer = await approve(world.checker(), operation)
    assert (answer.status_code, answer.json()["code"]) == (409, "pending_failed")
    seen = await world.pending(maker, operation)
    assert (seen["status"], seen["outcome"]["code"]) == ("failed", answer.json()["reason"]["code"])
    assert await attempt.moved() == 0
    assert await entries_of(world, operation) == []


@each_kind
async def test_wrong_operations_are_refused_at_once_and_not_at_approval(world: World, kind: str) -> None:
    attempt, maker = await attempt_of(world, kind, LIMIT + 1), world.maker()
    await attempt.spoil()
    answer = await maker.post(attempt.path, attempt.body)
    assert answer.status_code in {404, 409, 422}, answer.text
    assert (await maker.get("/pending")).json()["items"] == []


@each_kind
async def test_refused_and_expired_operations_move_nothing(world: World, kind: str) -> None:
    attempt, maker, checker = await attempt_of(world, kind, LIMIT + 1), world.checker(), world.checker()
    operation = await propose(maker, attempt)
    refused = await checker.post(f"/pending/{operation}/refuse", {"reason": "Sem pedido."})
    assert refused.json()["status"] == "refused"
    assert (await approve(world.checker(), operation)).json()["code"] == "pending_decided"
    late = await propose(maker, attempt)
    clock.advance(timedelta(hours=73))
    assert (await approve(checker, late)).json()["code"] == "pending_expired"
    assert await attempt.moved() == 0


@each_kind
async def test_of_two_checkers_at_once_one_has_it_done(world: World, kind: str) -> None:
    attempt, maker = await attempt_of(world, kind, LIMIT + 1), world.maker()
    operation = await propose(maker, attempt)
    answers = await asyncio.gather(*(approve(world.checker(), operation) for _ in range(3)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409]
    assert await attempt.moved() == LIMIT + 1


async def test_fifty_top_ups_at_once_never_pass_a_days_ceiling(world: World) -> None:
    maker = world.maker()
    amounts = [LIMIT - 7, LIMIT + 13] * 25
    attempts = [await credit(world, amount, {"cpf": new_cpf()}) for amount in amounts]
    answers = await asyncio.gather(*(maker.post(attempt.path, attempt.body) for attempt in attempts))
    assert {answer.status_code for answer in answers} <= {201, 202, 409}
    taken = [amount for amount, answer in zip(amounts, answers, strict=True) if answer.status_code in {201, 202}]
    assert DAILY - LIMIT - 13 < sum(taken) <= DAILY
    moved = [await attempt.moved() for attempt in attempts]
    done = [amount for amount, answer in zip(amounts, answers, strict=True) if answer.status_code == 201]
    assert sum(moved) == sum(done)


async def test_a_checkers_connection_that_dies_leaves_the_operation_as_it_was(world: World) -> None:
    """The connection is killed between the entry and the commit: nothing has moved, and a later approval succeeds."""
    maker, checker = world.maker(), world.checker()
    attempt = await credit(world, LIMIT + 1, {"cpf": new_cpf()})
    operation = await propose(maker, attempt)
    await world.run("""
        CREATE OR REPLACE FUNCTION die_once() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$
    """)
    await world.run(
        "CREATE TRIGGER die AFTER UPDATE ON pending_operations FOR EACH ROW"
        " WHEN (NEW.status = 'approved') EXECUTE FUNCTION die_once()"
    )
    try:
        assert (await approve(checker, operation)).status_code == 503
    finally:
        await world.run("DROP TRIGGER die ON pending_operations")
    assert await attempt.moved() == 0
    assert (await world.pending(maker, operation))["status"] == "pending"
    assert await entries_of(world, operation) == []
    assert (await approve(checker, operation)).status_code == 200
    assert await attempt.moved() == LIMIT + 1


async def test_a_decided_operations_request_is_erased(world: World) -> None:
    """While it waits, its checker sees it without the contact and with the CPF masked."""
    cpf, maker = new_cpf(), world.maker()
    body = {"account": f"f-{cpf}", "cpf": cpf, "contact": "maria@exemplo.com.br", "balances": {"CASH": LIMIT + 1}}
    answer = await maker.post("/benefits/accounts", body)
    operation = answer.json()["pending"]["id"]
    seen = await world.pending(maker, operation)
    assert seen["order"]["cpf"] == f"***.{cpf[3:6]}.{cpf[6:9]}-**"
    assert "contact" not in seen["order"]
    assert (await approve(world.checker(), operation)).status_code == 200
    async with world.app.database.transaction() as tx:
        row = (
            (await tx.execute(text("SELECT * FROM pending_operations WHERE id = :id"), {"id": operation}))
            .mappings()
            .one()
        )
    assert (row["payload"], row["gaining_cpfs"]) == (None, [])
    assert cpf not in str(dict(row)).replace(f"f-{cpf}", "")


async def test_operations_of_a_suspended_operator_fail(world: World) -> None:
    operator, attempt = await world.gainer(), await credit(world, LIMIT + 1, {"cpf": new_cpf()})
    operator.headers = world.app.bearer("benefits:write", user_id=operator.id)
    operation = await propose(operator, attempt)
    await world.run("UPDATE users SET suspended_at = now() WHERE id = :id", id=operator.id)
    assert (await approve(world.checker(), operation)).json()["reason"]["code"] == "maker_gone"
    assert await attempt.moved() == 0


async def test_jobs_and_the_processor_need_no_second_person(world: World) -> None:
    account = await world.open({"cpf": new_cpf()}, balance=LIMIT * 5)
    await world.buy(account, LIMIT * 5)
    assert await world.balance(account) == 0


async def test_the_kinds_of_operations_with_a_limit_are_these(world: World) -> None:
    modules = modules_of(world.app.settings)
    operations = [operation for module in modules for operation in module.operations]
    assert {operation.kind for operation in operations if operation.limit is not None} == {
        "benefits.credit",
        "benefits.credit_many",
        "benefits.import_accounts",
        "benefits.open_account",
        "benefits.refund",
        "benefits.reversal",
        "benefits.schedule_credits",
        "ledger.reversal",
        "payments.return",
        "resellers.adjustment",
        "resellers.adjustment_undo",
        "resellers.auto_approval",
        "resellers.purchase_approval",
        "resellers.tiers",
        "resellers.tiers_removal",
        "transit.cash_recharge",
    }
