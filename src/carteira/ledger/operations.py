"""Operators' operations in the ledger that may need a second person."""

from uuid import UUID

from pydantic import BaseModel

from carteira.kit.db.session import Tx
from carteira.kit.security import audit
from carteira.kit.security.approvals import Act
from carteira.kit.values.money import format_brl
from carteira.kit.web.approvals import Operation
from carteira.ledger import queries, service
from carteira.ledger.schemas import ReversalOut


class EntryReversalOrder(BaseModel):
    """The reversal of an entry."""

    entry_id: UUID
    description: str | None


async def _reverse(tx: Tx, order: EntryReversalOrder, act: Act) -> ReversalOut:
    async def weigh(effect: service.ReversalEffect) -> None:
        summary = f"Estornar {format_brl(effect.amount)} do lançamento {order.entry_id}"
        await act.weigh(tx, amount=effect.amount, summary=summary, gains=effect.gains)

    reversal = await service.reverse(
        tx,
        order.entry_id,
        actor=act.actor,
        approved_by=act.approved_by,
        description=order.description,
        key=act.key,
        weigh=weigh,
    )
    people = await queries.people_of(tx, reversal)
    await audit.record(
        tx,
        "ledger_entry_reversed",
        actor=act.actor,
        approved_by=act.approved_by,
        subject=people[0] if len(people) == 1 else None,
        entry=reversal,
        reverses_id=str(order.entry_id),
    )
    return ReversalOut(id=reversal, reverses_id=order.entry_id)


REVERSE = Operation("ledger.reversal", EntryReversalOrder, _reverse, "ledger:write", limit="corrections")
OPERATIONS = (REVERSE,)
