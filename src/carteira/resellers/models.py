"""The tables of resellers. Balances are not here: a reseller's cashback is a ledger account."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Date,
    ForeignKey,
    Index,
    Integer,
    SmallInteger,
    Text,
    Uuid,
    func,
)
from sqlalchemy.orm import Mapped, mapped_column

from carteira.kit.db.base import INSTANT, Base

_RESELLER = "resellers.id"


class Reseller(Base):
    """A person who registers purchases. After an erasure the row stays under its id, without the person."""

    __tablename__ = "resellers"
    __table_args__ = (
        CheckConstraint("cpf ~ '^[0-9]{11}$'", name="cpf"),
        CheckConstraint("user_id IS NOT NULL OR cpf IS NULL", name="person"),
        Index("uq_resellers_user_id", "user_id", unique=True, postgresql_where="user_id IS NOT NULL"),
        Index("uq_resellers_cpf", "cpf", unique=True, postgresql_where="cpf IS NOT NULL"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID | None]
    cpf: Mapped[str | None] = mapped_column(Text)
    account_id: Mapped[UUID] = mapped_column(ForeignKey("ledger_accounts.id"))
    created_at: Mapped[datetime] = mapped_column(INSTANT)


class Purchase(Base):
    """A purchase that a reseller registered. `month` is the first day of the month of `purchased_on`."""

    __tablename__ = "resellers_purchases"
    __table_args__ = (
        CheckConstraint("amount > 0", name="amount"),
        CheckConstraint("month = date_trunc('month', purchased_on)::date", name="month"),
        CheckConstraint("status IN ('pending', 'approved', 'rejected')", name="status"),
        CheckConstraint("cashback_spent BETWEEN 0 AND amount", name="cashback_spent"),
        CheckConstraint("(spend_entry_id IS NULL) = (cashback_spent = 0)", name="spend_entry_id"),
        CheckConstraint("spend_entry_id IS NULL OR status <> 'rejected'", name="rejected_spends_nothing"),
        Index("ix_resellers_purchases_reseller_id_month", "reseller_id", "month"),
        Index("ix_resellers_purchases_month_status", "month", "status"),
        Index("ix_resellers_purchases_purchased_on_id", "purchased_on", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    reseller_id: Mapped[UUID] = mapped_column(ForeignKey(_RESELLER))
    code: Mapped[str] = mapped_column(Text, unique=True)
    amount: Mapped[int] = mapped_column(BigInteger)
    purchased_on: Mapped[date] = mapped_column(Date)
    month: Mapped[date] = mapped_column(Date)
    status: Mapped[str] = mapped_column(Text)
    rejection_reason: Mapped[str | None] = mapped_column(Text)
    cashback_spent: Mapped[int] = mapped_column(BigInteger, server_default="0")
    spend_entry_id: Mapped[UUID | None]
    created_by: Mapped[UUID]
    changed_by: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid), server_default="{}")
    """Another operator who changed it; neither they nor the registering one may approve it."""
    decided_by: Mapped[UUID | None]
    decided_at: Mapped[datetime | None] = mapped_column(INSTANT)
    created_at: Mapped[datetime] = mapped_column(INSTANT, server_default=func.now())


class Month(Base):
    """A month with purchases. Registering shares its lock, closing takes it exclusively."""

    __tablename__ = "resellers_months"
    __table_args__ = (
        CheckConstraint("extract(day FROM month) = 1", name="month"),
        CheckConstraint("closed_at IS NULL OR (resellers IS NOT NULL AND total IS NOT NULL)", name="closed"),
    )

    month: Mapped[date] = mapped_column(Date, primary_key=True)
    closed_at: Mapped[datetime | None] = mapped_column(INSTANT)
    closed_by: Mapped[UUID | None]
    resellers: Mapped[int | None] = mapped_column(Integer)
    total: Mapped[int | None] = mapped_column(BigInteger)
    cashback: Mapped[int | None] = mapped_column(BigInteger)
    adjusted: Mapped[int] = mapped_column(BigInteger, server_default="0")
    """The part of earlier months' adjustments that its close settled: credited, or (negative) deducted."""


class Closing(Base):
    """A reseller's credit for a closed month, with the figures that it was computed from."""

    __tablename__ = "resellers_closings"
    __table_args__ = (
        CheckConstraint("total >= 0 AND cashback >= 0", name="amounts"),
        CheckConstraint("(entry_id IS NULL) = (cashback = 0)", name="entry_id"),
    )

    reseller_id: Mapped[UUID] = mapped_column(ForeignKey(_RESELLER), primary_key=True)
    month: Mapped[date] = mapped_column(ForeignKey("resellers_months.month"), primary_key=True)
    total: Mapped[int] = mapped_column(BigInteger)
    percentage: Mapped[int] = mapped_column(SmallInteger)
    cashback: Mapped[int] = mapped_column(BigInteger)
    entry_id: Mapped[UUID | None]


class Adjustment(Base):
    """A correction of a reseller's credit for a closed month, which later closes settle; `taken` so far.

    The amount is positive if it is owed to the reseller, negative if they owe it.
    """

    __tablename__ = "resellers_adjustments"
    __table_args__ = (
        CheckConstraint("amount <> 0", name="amount"),
        CheckConstraint("taken BETWEEN least(0, amount) AND greatest(0, amount)", name="taken"),
        CheckConstraint("undone_at IS NULL OR taken = 0", name="undone_at"),
        Index("ix_resellers_adjustments_reseller_id_id", "reseller_id", "id"),
        Index(
            "ix_resellers_adjustments_open",
            "id",
            postgresql_where="undone_at IS NULL AND taken <> amount",
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    reseller_id: Mapped[UUID] = mapped_column(ForeignKey(_RESELLER))
    month: Mapped[date] = mapped_column(ForeignKey("resellers_months.month"))
    amount: Mapped[int] = mapped_column(BigInteger)
    taken: Mapped[int] = mapped_column(BigInteger, server_default="0")
    reason: Mapped[str | None] = mapped_column(Text)
    booked_by: Mapped[UUID]
    approved_by: Mapped[UUID | None]
    created_at: Mapped[datetime] = mapped_column(INSTANT)
    undone_at: Mapped[datetime | None] = mapped_column(INSTANT)
    undone_by: Mapped[UUID | None]


class AdjustmentPart(Base):
    """The part of an adjustment that a month's close settled. Append-only."""

    __tablename__ = "resellers_adjustment_parts"
    __table_args__ = (
        CheckConstraint("amount <> 0", name="amount"),
        Index("ix_resellers_adjustment_parts_reseller_id_month", "reseller_id", "month"),
    )

    adjustment_id: Mapped[UUID] = mapped_column(ForeignKey("resellers_adjustments.id"), primary_key=True)
    month: Mapped[date] = mapped_column(ForeignKey("resellers_months.month"), primary_key=True)
    reseller_id: Mapped[UUID] = mapped_column(ForeignKey(_RESELLER))
    amount: Mapped[int] = mapped_column(BigInteger)
    entry_id: Mapped[UUID]


class Tier(Base):
    """A step of the tier table from a month on: totals above `above` centavos earn `percentage`."""

    __tablename__ = "resellers_tiers"
    __table_args__ = (
        CheckConstraint("extract(day FROM valid_from) = 1", name="valid_from"),
        CheckConstraint("above >= 0", name="above"),
        CheckConstraint("percentage BETWEEN 0 AND 100", name="percentage"),
    )

    valid_from: Mapped[date] = mapped_column(Date, primary_key=True)
    above: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    percentage: Mapped[int] = mapped_column(SmallInteger)


class ClosingDay(Base):
    """The day of the following month on which the worker closes months from `valid_from` on."""

    __tablename__ = "resellers_closing_days"
    __table_args__ = (
        CheckConstraint("extract(day FROM valid_from) = 1", name="valid_from"),
        CheckConstraint("day BETWEEN 1 AND 28", name="day"),
    )

    valid_from: Mapped[date] = mapped_column(Date, primary_key=True)
    day: Mapped[int] = mapped_column(SmallInteger)


class AutoApproval(Base):
    """A CPF whose purchases start approved, from a month to another (both included) or for good."""

    __tablename__ = "resellers_auto_approvals"
    __table_args__ = (
        CheckConstraint("cpf ~ '^[0-9]{11}$'", name="cpf"),
        CheckConstraint("extract(day FROM valid_from) = 1", name="valid_from"),
        CheckConstraint("extract(day FROM valid_until) = 1 AND valid_until >= valid_from", name="valid_until"),
        Index("uq_resellers_auto_approvals_cpf_valid_from", "cpf", "valid_from", unique=True),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    cpf: Mapped[str] = mapped_column(Text)
    valid_from: Mapped[date] = mapped_column(Date)
    valid_until: Mapped[date | None] = mapped_column(Date)
