"""Payments: Pix charges for the product's purposes, received payments, and their returns.

It owns charges, received payments, returns, and each day's comparison with the provider. Money is the ledger's.
Purposes (a card's recharge, an employer's fund) are passed in as `Purpose`. Invariants:

- each end-to-end id is processed once, whether a webhook, polling or a day's comparison finds it;
- a webhook alone credits nothing: the payment that it names is looked up at the provider;
- a payment is credited whole to its charge's target, or not at all: after expiry, with another amount, for a second
  time, or to a target that no longer accepts money, it is returned;
- the negated balance of `payments.provider` is the money at the provider; `payments.to_return` and `payments.returning`
  are the sums of uncredited money, and of returns under way;
- returns that were made at the provider and not requested here are booked once by their id there; money that had been
  spent is a loss (`payments.lost`);
- charges and returns have ids of ours at the provider, so that repeated requests make one.

People have no balance here, and must not have one (ADR 0037). Sources: rules.md, payments.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI

from carteira import ledger
from carteira.kit.db.session import Tx
from carteira.kit.module import Module, Workplace
from carteira.kit.security.sandbox_authority import make_certificates
from carteira.kit.web.state import DATABASE, REDIS
from carteira.payments import office
from carteira.payments.charges import ChargeView, Order, begin_charge, charge_of
from carteira.payments.config import PAYMENTS, ListenerConfig, Payments, PaymentsConfig
from carteira.payments.desk import CHARGE_DESK, ChargeDesk, desk_of
from carteira.payments.errors import ChargeNotFound, PaymentsOff, TooManyCharges
from carteira.payments.operations import PAYMENT_RETURN, return_operation
from carteira.payments.provider import PaymentProviderDown, ProviderConfig, ProviderRefused
from carteira.payments.purposes import BENEFIT_FUNDING, TRANSPORT_RECHARGE, PlacedMoney, Purpose
from carteira.payments.reasons import why
from carteira.payments.reconciliation import DayComparison, compare_day
from carteira.payments.returns import ReturnOrder
from carteira.payments.schemas import (
    DayOut,
    ListedChargeOut,
    PaymentReturnOut,
    ReceivedOut,
    ReceivedWithReturnsOut,
    RechargeChargeOut,
)

__all__ = [
    "BENEFIT_FUNDING",
    "PAYMENTS",
    "PAYMENT_RETURN",
    "TRANSPORT_RECHARGE",
    "ChargeDesk",
    "ChargeNotFound",
    "ChargeView",
    "DayComparison",
    "DayOut",
    "ListedChargeOut",
    "ListenerConfig",
    "Order",
    "PaymentProviderDown",
    "PaymentReturnOut",
    "Payments",
    "PaymentsConfig",
    "PaymentsOff",
    "PlacedMoney",
    "ProviderConfig",
    "ProviderRefused",
    "Purpose",
    "ReceivedOut",
    "ReceivedWithReturnsOut",
    "RechargeChargeOut",
    "ReturnOrder",
    "TooManyCharges",
    "begin_charge",
    "charge_of",
    "compare_day",
    "desk_of",
    "module",
    "office",
    "serve_sandbox",
    "why",
]


def serve_sandbox(
    port: int, page_port: int, folder: Path, webhook: str | None = None, *, host: str = "127.0.0.1"
) -> None:
    """Serve a stand-in for the payment provider until SIGINT or SIGTERM.

    It calls `webhook`, or else the address that was registered last.

    Raises:
        OSError: a port is taken.
    """
    import asyncio

    from carteira.payments import sandbox

    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    certificates = make_certificates(folder / "certificates")
    asyncio.run(sandbox.run((host, port), (host, page_port), folder, certificates, webhook))


def module(payments: Payments) -> Module:
    """Hand payments to the composition root."""
    from carteira.payments import accounts, listener, reconciliation, returns, taken_back
    from carteira.payments.jobs import make_blueprint
    from carteira.payments.people import erase_person, export_person
    from carteira.payments.routes import router

    operation = return_operation(payments)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        PAYMENTS.set(app, payments)
        PAYMENT_RETURN.set(app, operation)
        CHARGE_DESK.set(app, ChargeDesk(DATABASE.of(app), payments))
        async with payments.running(REDIS.of(app)):
            yield

    @asynccontextmanager
    async def working(place: Workplace) -> AsyncIterator[None]:
        async with payments.running(place.redis), listener.listening(place.database, payments.config):
            yield

    async def observe(tx: Tx) -> None:
        await returns.observe(tx)
        await reconciliation.observe(tx)
        await taken_back.observe(tx)

    for kind in accounts.KINDS:
        ledger.guard_reversal(kind, returns.refuse_reversal)
    return Module(
        name="payments",
        routers=(router,),
        jobs=make_blueprint(payments),
        operations=(operation,),
        lifespan=lifespan,
        working=working,
        observe=observe,
        export_person=export_person,
        erase_person=erase_person,
    )
