"""Charges for requests: stored, created at the provider and answered, once per idempotency key."""

from dataclasses import dataclass
from uuid import UUID

from fastapi import Request, Response

from carteira.kit.db.engine import Database
from carteira.kit.security import audit
from carteira.kit.values.ids import uuid5
from carteira.kit.web.access import Principal
from carteira.kit.web.idempotency import Answered, Call
from carteira.kit.web.state import StateKey
from carteira.payments import charges
from carteira.payments.charges import ChargeView, Order
from carteira.payments.config import Payments
from carteira.payments.errors import PaymentsOff
from carteira.payments.schemas import ChargeOut

_IDS = UUID("0b3f4e0a-8f0c-5a63-9c55-6a7c9d6c1f21")


@dataclass(frozen=True, slots=True)
class ChargeDesk:
    """Makes charges in a server process."""

    database: Database
    payments: Payments

    async def make(self, who: Principal, order: Order, call: Call | None = None) -> ChargeView:
        """Make a charge, or return the one that was made under the request's key.

        While the provider is down it is not active yet, and a job keeps trying.

        Raises:
            PaymentsOff, TooManyCharges, PaymentRefusedByProvider.
            IdempotencyKeyReused: the key belongs to another charge.
            Whatever the purpose's `aim` raises.
        """
        key = call.key if call else None
        asked_as = None if call is None or key is None else uuid5(_IDS, f"{call.caller} {call.operation} {key}")
        async with self.database.transaction() as tx:
            row = await charges.store(tx, self.payments, who, order, asked_as=asked_as)
        if row.state == "creating":
            await charges.finish(self.database, self.payments, row)
        async with self.database.transaction() as tx:
            return charges.view(await charges.store_location(tx, row.id, None), self.payments.config)

    async def answer(self, call: Call, who: Principal, order: Order, payload: object, status: int = 201) -> Response:
        """Make a charge and answer it, once under the request's key.

        Raises:
            As `make`.
        """
        async with self.database.transaction() as tx:
            if (again := await call.answered(tx, payload)) is not None:
                return again
        made = await self.make(who, order, call)

        async def work() -> Answered:
            audit.nothing_done()  # it was recorded with the charge
            shown = ChargeOut.model_validate(made)
            return Answered(status, shown if status == 201 else {"charge": shown})  # noqa: PLR2004 - HTTP's own: made

        async with self.database.transaction() as tx:
            return await call.answer(tx, payload, work)

    async def view(self, who: Principal, charge_id: UUID) -> ChargeView:
        """Return a charge to its maker.

        Raises:
            ChargeNotFound.
        """
        async with self.database.transaction() as tx:
            return charges.view(await charges.find(tx, who, charge_id), self.payments.config)


CHARGE_DESK = StateKey[ChargeDesk]("charge_desk")


def desk_of(request: Request) -> ChargeDesk:
    """Return the process's desk.

    Raises:
        PaymentsOff: the module is off, or no provider is configured.
    """
    desk = CHARGE_DESK.get(request.app)
    if desk is None or desk.payments.config.provider is None:
        raise PaymentsOff
    return desk
