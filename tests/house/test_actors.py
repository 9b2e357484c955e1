"""Every movement of money records its actor. The tests post each kind of entry that the product posts."""

import ast
import importlib
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from carteira import demo
from carteira.app import payments_of
from carteira.embedded import Endpoints
from carteira.kit.values.actor import Actor
from carteira.payments.jobs import run_round
from carteira.resellers.configuration import next_month
from carteira.resellers.jobs import close_all_due
from tests.support.app import RunningApp, running_app, settings_for
from tests.support.benefits import AUTHORIZER, open_benefit_account, processor_headers, purchase
from tests.support.chat import ChatUser
from tests.support.databases import NewDatabase
from tests.support.machines import new_acting
from tests.support.people import Person
from tests.support.pix import StandIn, standing_in
from tests.support.resellers import Buyer, approved_purchase, new_month, new_reseller
from tests.support.resellers import text as written
from tests.support.source import SOURCE

Posted = set[tuple[str, Actor]]
PROCESSOR = Actor("processor", "authorizer")


@dataclass
class Town:
    """An application on its own database, and the people who use it."""

    app: RunningApp
    operator: Person
    person: Person
    stand_in: StandIn
    seen: set[UUID] = field(default_factory=set)

    async def posted(self) -> Posted:
        """Return what was posted since the last call."""
        async with self.app.database.transaction() as tx:
            rows = await tx.execute(
                text("SELECT id, kind, actor_kind, actor_id FROM ledger_entries WHERE NOT id = ANY(:seen)"),
                {"seen": list(self.seen)},
            )
            found = rows.all()
        self.seen |= {row.id for row in found}
        return {(row.kind, Actor(row.actor_kind, row.actor_id)) for row in found}


@pytest.fixture(scope="module")
async def town(
    new_database: NewDatabase, endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Town]:
    with standing_in(tmp_path_factory.mktemp("pix")) as stand_in:
        settings = settings_for(
            tmp_path_factory.mktemp("town"),
            database_url=new_database("actors"),
            redis_url=endpoints.redis_url,
            aws_endpoint_url=endpoints.aws_endpoint_url,
            credit_table="actors",
            **stand_in.settings(),
        )
        async with running_app(settings) as app:
            yield Town(app, app.operator(), app.person(), stand_in)


async def accepted(who: Person, path: str, body: object = None) -> Any:  # noqa: ANN401 - any JSON
    answer = await who.post(path, body)
    assert answer.status_code in {200, 201}, answer.text
    return answer.json()


async def benefits_move(town: Town) -> None:
    account = await open_benefit_account(town.operator, user_id=town.person.id, CASH=100_000)
    by_operator = Actor.person(town.operator.id)
    assert await town.posted() == {("benefits.credit", by_operator)}
    await accepted(town.operator, f"/benefits/accounts/{account}/credits", {"category": "FOOD", "amount": 5})
    assert await town.posted() == {("benefits.credit", by_operator)}
    await accepted(town.operator, "/benefits/credits", [{"account": account, "category": "CASH", "amount": 5}])
    assert await town.posted() == {("benefits.credit", by_operator)}
    erp = await new_acting(town.operator, "benefits:write")
    await accepted(erp, f"/benefits/accounts/{account}/credits", {"category": "MEAL", "amount": 5})
    assert await town.posted() == {("benefits.credit", Actor("client", str(erp.id)))}
    for _ in range(3):
        answer = await town.app.client.post(AUTHORIZER, content=purchase(account), headers=processor_headers())
        assert answer.json() == {"code": "00"}
    assert await town.posted() == {("benefits.purchase", PROCESSOR)}
    first, second, third = [item["id"] for item in (await town.person.get("/transactions")).json()["items"]]
    await accepted(town.operator, f"/transactions/{first}/reversal")
    await accepted(town.operator, f"/transactions/{second}/refund")
    await accepted(town.operator, f"/ledger/entries/{third}/reversal")
    returns = ("benefits.reversal", "benefits.refund", "benefits.purchase.reversal")
    assert await town.posted() == {(kind, by_operator) for kind in returns}


async def transit_moves(town: Town) -> None:
    by_person, bus = Actor.person(town.person.id), await new_acting(town.operator, "transit:validate")
    number = (await town.person.get("/transport-cards")).json()["items"][0]["card_number"]
    await accepted(town.person, f"/transport-cards/{number}/recharge", {"amount": 500})
    await accepted(town.person, f"/transport-cards/{number}/debit", {"amount": 400})
    assert await town.posted() == {("transit.recharge", by_person), ("transit.debit", by_person)}
    tapped = {"id": str(uuid4()), "card_number": number, "amount": 300, "tapped_at": datetime.now(UTC).isoformat()}
    await accepted(bus, "/transit/taps", {"taps": [tapped]})
    assert await town.posted() == {("transit.tap", Actor("client", str(bus.id)))}
    await accepted(town.person, f"/transport-cards/{number}/recharge", {"amount": 1_000})
    assert await town.posted() == {("transit.recharge", by_person), ("transit.debt_payment", by_person)}
    other = (await accepted(town.person, "/transport-cards"))["card_number"]
    await accepted(town.person, f"/transport-cards/{number}/cancel", {"move_balance_to": other})
    assert await town.posted() == {("transit.transfer", by_person)}
    chat = ChatUser(town.app.client, town.person.id, town.person.headers)
    await chat.start()
    for said in ("recarregar meu cartão", "10", "sim"):
        await chat.say(said)
    assert await town.posted() == {("transit.recharge", by_person)}


async def payments_move(town: Town) -> None:
    receiver, sender = Actor("job", "payments.receive"), Actor("job", "payments.send_return")
    by_operator = Actor.person(town.operator.id)
    pay, wallet = town.stand_in.pay, town.app
    me = wallet.person()
    number = (await me.get("/transport-cards")).json()["items"][0]["card_number"]
    order = {"purpose": "transport_recharge", "card_number": number, "amount": 900}
    e2eid = pay(UUID((await accepted(me, "/payments/charges", order))["id"]).hex)
    company = {"cnpj": "11444777000161", "name": "Padaria", "prefunded": True}
    employer = (await accepted(town.operator, "/benefits/employers", company))["id"]
    order = {"purpose": "benefit_funding", "employer_id": employer, "amount": 800}
    funded = pay(UUID((await accepted(town.operator, "/payments/charges", order))["id"]).hex)
    payments = payments_of(wallet.settings)
    await run_round(wallet.database, payments)
    assert await town.posted() == {("transit.recharge", receiver), ("benefits.funded", receiver)}
    for paid in (e2eid, funded):
        await accepted(town.operator, f"/payments/received/{paid}/returns", {"amount": 5, "reason": "engano"})
    assert await town.posted() == {
        ("transit.payment_returned", by_operator),
        ("benefits.fund_returned", by_operator),
    }
    await run_round(wallet.database, payments)
    assert await town.posted() == {("payments.returned", sender)}
    town.stand_in.behave(returns="fails")
    unplaced = pay(amount=7)
    await run_round(wallet.database, payments)
    assert await town.posted() == {
        ("payments.unplaced", receiver),
        ("payments.return_asked", receiver),
        ("payments.return_failed", sender),
    }
    await accepted(me, f"/transport-cards/{number}/debit", {"amount": 800})
    await town.posted()
    town.stand_in.return_by_bank(unplaced, 7)
    town.stand_in.return_by_bank(e2eid, 895)
    await run_round(wallet.database, payments)
    taker = Actor("job", "payments.taken_back")
    assert await town.posted() == {
        ("payments.taken_back", taker),
        ("transit.payment_returned", taker),
        ("payments.lost", taker),
    }


async def resellers_move(town: Town) -> None:
    by_operator = Actor.person(town.operator.id)
    me = await new_reseller(town.app)
    month = new_month()
    await approved_purchase(town.app, me, 50_000, month)
    await accepted(town.operator, f"/cashback/months/{written(month)}/close")
    assert await town.posted() == {("resellers.cashback_credit", by_operator)}
    for amount in (700, -300):
        correction = {"cpf": me.cpf, "month": written(month), "amount": amount, "reason": "Nota errada"}
        await accepted(town.operator, "/cashback/adjustments", correction)
    await accepted(town.operator, f"/cashback/months/{written(next_month(month))}/close")
    assert await town.posted() == {("resellers.cashback_adjustment", by_operator)}
    spent = Actor.person(me.id)
    month = new_month()
    bought = [await me.buy(8_000, month, cashback_to_spend=1_000) for _ in range(3)]
    assert await town.posted() == {("resellers.cashback_spend", spent)}
    assert (await me.call("DELETE", f"/purchases/{bought[0]['id']}")).status_code == 204
    assert await town.posted() == {("resellers.cashback_spend.reversal", spent)}
    await reject(town, bought[1])
    assert await town.posted() == {("resellers.cashback_spend.reversal", by_operator)}
    body = me.purchase(8_000, month, cashback_to_spend=500)
    assert (await me.call("PUT", f"/purchases/{bought[2]['id']}", json=body)).status_code == 200
    assert await town.posted() == {("resellers.cashback_spend.reversal", spent), ("resellers.cashback_spend", spent)}
    await approved_purchase(town.app, me, 50_000, new_month())
    await close_all_due(town.app.database)
    assert await town.posted() == {("resellers.cashback_credit", Actor("job", "resellers.close_due_months"))}


async def reject(town: Town, bought: dict[str, Any]) -> None:
    operator = Buyer(town.app.client, town.operator.id, town.operator.headers)
    await operator.submit(f"/purchases/{bought['id']}/reject")


async def test_every_kind_of_entry_has_its_actor(town: Town) -> None:
    await benefits_move(town)
    await transit_moves(town)
    await resellers_move(town)
    await payments_move(town)
    await demo.seed(town.app.settings.database(), ("benefits", "transit"))
    seeded = Actor("command", "seed")
    assert await town.posted() == {("benefits.credit", seeded), ("transit.recharge", seeded)}
    await demo.remove(town.app.database, town.app.api.state.identity)
    assert await town.posted() == {("demo.removed", Actor("command", "seed --remove"))}
    async with town.app.database.transaction() as tx:
        posted = set(await tx.scalars(text("SELECT DISTINCT kind FROM ledger_entries")))
    patterns = set(kinds_in_the_source())
    assert {pattern for pattern in patterns if not any(re.fullmatch(pattern, kind) for kind in posted)} == set()


def kinds_in_the_source() -> Iterator[str]:
    """Return a pattern for each kind of entry that the modules post."""
    for path in sorted(SOURCE.rglob("*.py")):
        if "ledger" in path.relative_to(SOURCE).parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {"ledger.transfer", "ledger.NewEntry"}:
                yield pattern_of(node.args[0], path)


def pattern_of(kind: ast.expr, path: Path) -> str:
    """Return the pattern of an entry's kind, which the source writes as a text, a name or an f-string."""
    if isinstance(kind, ast.Constant):
        return re.escape(str(kind.value))
    if isinstance(kind, ast.Name):
        module = ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts)
        return re.escape(str(getattr(importlib.import_module(module), kind.id)))
    assert isinstance(kind, ast.JoinedStr), ast.unparse(kind)
    return "".join(re.escape(str(part.value)) if isinstance(part, ast.Constant) else r"\w+" for part in kind.values)
