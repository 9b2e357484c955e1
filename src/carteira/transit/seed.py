"""Demo data of transit: a card with a balance."""

from uuid import UUID

from carteira.kit.db.session import Tx
from carteira.kit.values.actor import Actor
from carteira.transit import queries, service

BALANCE = 5_000


async def seed(tx: Tx, user_id: UUID) -> None:
    """Recharge a person's first card with `BALANCE` centavos, if nothing ever moved on it."""
    first = (await queries.cards(tx, user_id, limit=1))[0]
    if first.status == "active" and not await queries.history(tx, user_id, first.card_number, limit=1):
        await service.recharge(tx, user_id, first.card_number, BALANCE, actor=Actor("command", "seed"))
