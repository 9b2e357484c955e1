"""The first tries of routes: their arguments in the form that `at_once` takes (`idempotency.AtOnce`)."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from fastapi import Response

from carteira import ledger
from carteira.benefits import at_once, operations, topups
from carteira.benefits.at_once import WantedReturn
from carteira.kit.db.engine import Database
from carteira.kit.web.approvals import Operation
from carteira.kit.web.idempotency import KeptAnswer


async def reverse(database: Database, keeping: KeptAnswer, asked: Mapping[str, Any]) -> Response | None:
    """Reverse a purchase."""
    back = WantedReturn(asked["transaction_id"], "reversal")
    return await _give_back(database, keeping, asked, back, operations.REVERSE)


async def refund(database: Database, keeping: KeptAnswer, asked: Mapping[str, Any]) -> Response | None:
    """Refund a purchase or a part of it."""
    amount = asked["body"].amount if asked["body"] else None
    back = WantedReturn(asked["transaction_id"], "refund", amount)
    return await _give_back(database, keeping, asked, back, operations.REFUND)


async def _give_back(
    database: Database,
    keeping: KeptAnswer,
    asked: Mapping[str, Any],
    back: WantedReturn,
    operation: Operation[Any],
) -> Response | None:
    who = asked["who"]
    day = partial(asked["desk"].day_of, operation, who)
    work = partial(at_once.give_back, back=back, actor=who.actor, who=who.id, day=day, answer=keeping.answer)
    return await ledger.at_once(database, work)


async def credit(database: Database, keeping: KeptAnswer, asked: Mapping[str, Any]) -> Response | None:
    """Top up an account."""
    who = asked["who"]
    work = partial(
        at_once.credit,
        reference=asked["account"],
        body=asked["body"],
        actor=who.actor,
        who=who.id,
        day=partial(asked["desk"].day_of, operations.CREDIT, who),
        answer=keeping.answer,
    )
    return await ledger.at_once(database, work)


async def credit_many(database: Database, keeping: KeptAnswer, asked: Mapping[str, Any]) -> Response | None:
    """Top up accounts in bulk."""
    who = asked["who"]
    lines = topups.plain_lines(asked["lines"], most=at_once.MOST_AT_ONCE)
    if lines is None:
        return None
    work = partial(
        at_once.credit_many,
        numbered=lines,
        actor=who.actor,
        who=who.id,
        day=partial(asked["desk"].day_of, operations.CREDIT_MANY, who),
        answer=keeping.answer,
    )
    return await ledger.at_once(database, work)
