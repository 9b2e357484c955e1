"""Demo data of resellers: an automatic approval, and a reseller in the middle of a month."""

from datetime import date, timedelta
from typing import Literal
from uuid import UUID

from sqlalchemy import delete, exists, select

from carteira import identity
from carteira.kit.db.session import Tx
from carteira.kit.security.approvals import Act
from carteira.kit.values.actor import Actor
from carteira.kit.values.clock import business_month, clock
from carteira.kit.web.access import Principal
from carteira.resellers import configuration, resellers, service
from carteira.resellers.models import Month, Purchase
from carteira.resellers.schemas import AutoApprovalIn, PurchaseIn

AUTO_APPROVED = "15350946056"
BEGINNING = date(2000, 1, 1)
_CODE = "DEMO-"
_PURCHASES: tuple[tuple[int, int, Literal["approved", "pending", "rejected"]], ...] = (
    (1, 84_000, "approved"),
    (1, 61_250, "approved"),
    (0, 62_480, "approved"),
    (0, 28_990, "approved"),
    (0, 9_900, "rejected"),
    (0, 21_590, "pending"),
)
"""A demo reseller's purchases: months ago, centavos, and outcome."""


async def seed(tx: Tx, _user_id: UUID) -> None:
    """Add an automatic approval of `AUTO_APPROVED`, unless that CPF has one."""
    if not await configuration.auto_approved(tx, [AUTO_APPROVED]):
        body = AutoApprovalIn(cpf=AUTO_APPROVED, valid_from=BEGINNING)
        await configuration.put_auto_approval(tx, body, Act(Actor("command", "seed")))


async def seed_reseller(tx: Tx, user_id: UUID, *, approver_id: UUID) -> None:
    """Make a demo person a reseller with purchases in this month and the last, unless they are or were one.

    An approver decides them. A last month that is closed already is left alone.
    """
    person = (await identity.live_among(tx, [user_id])) and await identity.person(tx, user_id)
    if not person or person.cpf is None or await resellers.is_reseller(tx, user_id):
        return
    await resellers.add(tx, user_id, person.cpf)
    await identity.seed_claim(tx, user_id, resellers.CLAIM)
    this = business_month(clock.now())
    last_day = this - timedelta(days=1)
    closed = await tx.scalar(
        select(exists().where(Month.month == last_day.replace(day=1), Month.closed_at.is_not(None)))
    )
    for number, (months_ago, amount, status) in enumerate(_PURCHASES, 1):
        if not (months_ago and closed):
            day = last_day - timedelta(days=number) if months_ago else clock.today()
            wire = {"code": f"{_CODE}{number}", "amount": amount, "date": day.isoformat(), "cpf": person.cpf}
            await _purchase(tx, user_id, PurchaseIn.model_validate(wire), status, approver_id)


async def _purchase(tx: Tx, user_id: UUID, body: PurchaseIn, status: str, approver_id: UUID) -> None:
    who = Principal(user_id, frozenset({resellers.CLAIM}))
    made = await service.register(tx, "allow", who, body)
    if status == "approved":
        await service.approve(tx, made.id, Act(Actor.person(approver_id)))
    elif status == "rejected":
        approver = Principal(approver_id, frozenset({"purchases:approve"}))
        await service.reject(tx, approver, made.id, "A foto da nota não mostra o valor.")


async def remove_reseller(tx: Tx, user_id: UUID) -> None:
    """Delete the demo purchases of open months, which would prevent the reseller's erasure."""
    open_month = ~exists().where(Month.month == Purchase.month, Month.closed_at.is_not(None))
    theirs = Purchase.reseller_id.in_(resellers.ids_of_person(user_id, None))
    await tx.execute(delete(Purchase).where(theirs, Purchase.code.startswith(_CODE), open_month))
