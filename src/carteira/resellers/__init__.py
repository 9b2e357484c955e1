"""Resellers: the purchases that they register, and the cashback on them.

It owns resellers, purchases, months and their closing, and the rules of cashback with their validity. Money is the
ledger's: a reseller's cashback is one ledger account. Invariants:

- a month's cashback is the percentage of its whole total, rounded half-even; its purchases' parts add up to it exactly;
- a closed month takes no purchase, its rules never change, and each reseller is credited for it once;
- an adjustment corrects a closed month's credit, and later closes settle it to the centavo;
- cashback spent on a purchase comes back once, when the purchase is changed, deleted or rejected;
- the external service's figures are either exact or not shown at all.

Events: `resellers.purchase_approved` and `resellers.purchase_rejected` (an operator decided; `purchase_id, reseller_id,
user_id`), `resellers.cashback_credited` (a month was closed; `reseller_id, user_id, month`),
`resellers.adjustment_booked` and `resellers.adjustment_undone` (of a closed month; `adjustment_id, reseller_id,
user_id, month, amount`).
Sources: rules.md, resellers; `docs/reference/resellers.md`.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from carteira import ledger
from carteira.kit.module import Module
from carteira.kit.web.state import REDIS
from carteira.resellers import desk
from carteira.resellers.accumulated import accumulated as accumulated_cashback
from carteira.resellers.cashback import TierStep
from carteira.resellers.cashback_service import CASHBACK_SERVICE, ServiceConfig, connected
from carteira.resellers.errors import CashbackServiceDown, NoCpf
from carteira.resellers.operations import APPROVALS
from carteira.resellers.proof import UNPROVEN_CPF, UnprovenCpf
from carteira.resellers.queries import (
    PURCHASES,
    DecidedPurchase,
    OwnSales,
    PurchaseKey,
    credited,
    decided_purchase,
    own_month,
    own_purchase,
    own_sales,
)
from carteira.resellers.registration import register as become_reseller
from carteira.resellers.resellers import (
    CLAIM,
    erase_person,
    erase_traces,
    export_person,
    follow_cpf,
    ids_of_person,
    refuse_erasure,
    traces_of_person,
)
from carteira.resellers.schemas import Code as PurchaseCode
from carteira.resellers.schemas import MonthOut, PurchaseChangeIn, PurchaseIn, PurchaseWithCashbackOut, TypedBusinessDay
from carteira.resellers.seed import remove_reseller, seed, seed_reseller
from carteira.resellers.service import SPEND, refuse_if_spent
from carteira.resellers.service import change as change_purchase
from carteira.resellers.service import delete as delete_purchase
from carteira.resellers.service import register as register_purchase

__all__ = [
    "APPROVALS",
    "CASHBACK_SERVICE",
    "CLAIM",
    "PURCHASES",
    "UNPROVEN_CPF",
    "CashbackServiceDown",
    "DecidedPurchase",
    "MonthOut",
    "NoCpf",
    "OwnSales",
    "PurchaseChangeIn",
    "PurchaseCode",
    "PurchaseIn",
    "PurchaseKey",
    "PurchaseWithCashbackOut",
    "ServiceConfig",
    "TierStep",
    "TypedBusinessDay",
    "accumulated_cashback",
    "become_reseller",
    "change_purchase",
    "credited",
    "decided_purchase",
    "delete_purchase",
    "desk",
    "module",
    "own_month",
    "own_purchase",
    "own_sales",
    "register_purchase",
    "remove_reseller",
    "seed",
    "seed_reseller",
    "serve_sandbox",
]

_BULK_BODY_BYTES = 4 * 1024 * 1024


def serve_sandbox(port: int, *, token: str, host: str) -> None:
    """Serve a stand-in for the external cashback service until SIGINT or SIGTERM.

    Raises:
        OSError: the address is taken, or is not of this machine.
    """
    from carteira.resellers import sandbox

    sandbox.serve(port, token=token, host=host)


def module(*, service: ServiceConfig, unproven_cpf: UnprovenCpf = "allow") -> Module:
    """Return resellers' module; `unproven_cpf` is the policy for declared CPFs."""
    from carteira.resellers import routes, routes_adjustments, routes_rules
    from carteira.resellers.jobs import blueprint, observe
    from carteira.resellers.operations import OPERATIONS

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        UNPROVEN_CPF.set(app, unproven_cpf)
        async with connected(service, REDIS.of(app)) as found:
            CASHBACK_SERVICE.set(app, found)
            yield

    ledger.guard_reversal(SPEND, refuse_if_spent)
    return Module(
        name="resellers",
        routers=(routes.people, routes.purchases, routes.cashback, routes_rules.router, routes_adjustments.router),
        jobs=blueprint,
        observe=observe,
        operations=OPERATIONS,
        body_limits={"/purchases/bulk": _BULK_BODY_BYTES},
        lifespan=lifespan,
        ids_of_person=ids_of_person,
        export_person=export_person,
        follow_cpf=follow_cpf,
        refuse_erasure=refuse_erasure,
        erase_person=erase_person,
        traces_of_person=traces_of_person,
        erase_traces=erase_traces,
    )
