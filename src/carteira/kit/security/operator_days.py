"""Counts an operator's day in the statement that moves money; `approvals.count` does the same in a session."""

from datetime import date

from sqlalchemy import select

from carteira.kit.db.session import Tx
from carteira.kit.security.approvals import OperatorDay
from carteira.kit.values.actor import Actor
from carteira.kit.values.clock import clock
from carteira.kit.values.limits import Limit

COUNT_DAY = "count_operator_day({0}, {1}, {2}, {3}, {4}, {5})"
"""The call of the function that counts; its parameters are `day_of`'s."""


def day_of(actor: Actor, limit: Limit | None, amount: int) -> tuple[str, str, str, date, int, int | None] | None:
    """Return the parameters of `COUNT_DAY`; None: the operation needs a second person."""
    if limit is None:
        return actor.kind, actor.id, "", clock.today(), amount, None
    if limit.alone is not None and amount > limit.alone:
        return None
    return actor.kind, actor.id, limit.name, clock.today(), amount, limit.daily


async def used_on(tx: Tx, actor: Actor, limit: str, day: date) -> int:
    """Return the sum that an operator moved or proposed under a limit on a day."""
    key = {"actor_kind": actor.kind, "actor_id": actor.id, "limit_name": limit, "day": day}
    return await tx.scalar(select(OperatorDay.amount).filter_by(**key)) or 0
