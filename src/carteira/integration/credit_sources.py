"""The sources of credit's base C: purchases and returns of benefits, movements of transport cards."""

from uuid import UUID

from sqlalchemy import RowMapping

from carteira import benefits, credit
from carteira.kit.db.outbox import Event


def credit_sources() -> list[credit.EventSource]:
    """Return the sources of base C: approved purchases, their returns, and movements of transport cards."""

    def purchase(row: RowMapping) -> credit.SubjectEvent:
        movement = credit.Movement(
            id=str(row["id"]),
            occurred_at=row["created_at"],
            direction="out",
            amount=row["amount"],
            kind="benefits.purchase",
            description=row["merchant"],
            card_purchase=True,
            mcc=row["mcc"],
        )
        return credit.SubjectEvent(movement, cpf=row["cpf"], user_id=row["user_id"])

    def given_back(row: RowMapping) -> credit.SubjectEvent:
        movement = credit.Movement(
            id=str(row["id"]),
            occurred_at=row["created_at"],
            direction="in",
            amount=row["amount"],
            kind=f"benefits.{row['kind']}",
            description=row["merchant"],
        )
        return credit.SubjectEvent(movement, cpf=row["cpf"], user_id=row["user_id"])

    def on_card(row: RowMapping) -> credit.SubjectEvent | None:
        sign = CARD_MOVEMENTS.get(row["topic"])
        if sign is None:
            return None
        payload = row["payload"]
        amount = sign * payload["amount"]
        movement = credit.Movement(
            id=payload["entry_id"],
            occurred_at=row["occurred_at"],
            direction="in" if amount > 0 else "out",
            amount=abs(amount),
            kind=row["topic"],
        )
        return credit.SubjectEvent(movement, user_id=UUID(payload["user_id"]))

    return [
        credit.EventSource("benefits", benefits.purchase_events, purchase),
        credit.EventSource("returns", benefits.return_events, given_back),
        credit.EventSource("transit", Event.__table__, on_card),
    ]


CARD_MOVEMENTS = {"transit.recharged": 1, "transit.debited": -1, "transit.ride_paid": -1, "transit.reversed": 1}
"""The sign that each kind of event gives its amount. The amount of a reversal is signed already."""
