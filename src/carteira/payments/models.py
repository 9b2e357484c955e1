"""Payments' tables: charges, received payments, returns, and each day's comparison with the provider's list."""

from datetime import date, datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Date,
    ForeignKey,
    Index,
    Integer,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from carteira.kit.db.base import INSTANT, Base
from carteira.kit.values.actor import ActorKind

ChargeState = Literal["creating", "active", "paid", "refused"]
ReturnState = Literal["asked", "returned", "failed"]
FoundBy = Literal["webhook", "polling", "reconciliation"]
DifferenceKind = Literal["missing_here", "missing_there", "amount_differs"]


class Charge(Base):
    """A charge. `txid` is its id without dashes; its maker is None once they were erased.

    `asked_as` identifies the request with its `Idempotency-Key`, which makes one charge. `location` is the provider's,
    None until the provider has it. Expiry is `expires_at` alone and no state, since an earlier payment may still be
    found.
    """

    __tablename__ = "payments_charges"
    __table_args__ = (
        UniqueConstraint("txid"),
        UniqueConstraint("asked_as"),
        CheckConstraint("amount > 0", name="amount"),
        CheckConstraint("state IN ('creating', 'active', 'paid', 'refused')", name="state"),
        CheckConstraint("state NOT IN ('active', 'paid') OR location IS NOT NULL", name="location"),
        CheckConstraint("(state = 'paid') = (paid_at IS NOT NULL)", name="paid_at"),
        Index("ix_payments_charges_maker_id", "maker_id", "id"),
        Index("ix_payments_charges_target_id", "target_id", "id"),
        Index("ix_payments_charges_creating", "id", postgresql_where="state = 'creating'"),
        Index(
            "ix_payments_charges_unpaid",
            "expires_at",
            postgresql_where="state IN ('creating', 'active') AND NOT expiry_told",
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    txid: Mapped[str] = mapped_column(Text)
    asked_as: Mapped[UUID | None]
    purpose: Mapped[str] = mapped_column(Text)
    target_id: Mapped[UUID]
    maker_kind: Mapped[ActorKind] = mapped_column(Text)
    maker_id: Mapped[UUID | None]
    amount: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[ChargeState] = mapped_column(Text)
    location: Mapped[str | None] = mapped_column(Text)
    simulated: Mapped[bool] = mapped_column(Boolean)
    created_at: Mapped[datetime] = mapped_column(INSTANT)
    expires_at: Mapped[datetime] = mapped_column(INSTANT)
    paid_at: Mapped[datetime | None] = mapped_column(INSTANT)
    expiry_told: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    """Whether its expiry event was emitted."""


class ReceivedPayment(Base):
    """A received payment, unique by its end-to-end id. Nothing about the payer is stored.

    `credited` went to its charge's target; `unplaced` is to be returned (`reason` says why); `given_back` is being or
    was returned. `credited` is not reduced by returns.
    """

    __tablename__ = "payments_received"
    __table_args__ = (
        CheckConstraint("e2eid ~ '^[A-Za-z0-9]{32}$'", name="e2eid"),
        CheckConstraint("amount > 0", name="amount"),
        CheckConstraint("credited IN (0, amount)", name="credited"),
        CheckConstraint("(credited = 0) = (reason IS NOT NULL)", name="reason"),
        CheckConstraint("unplaced >= 0 AND given_back >= 0 AND unplaced + given_back <= amount", name="returns"),
        CheckConstraint("found_by IN ('webhook', 'polling', 'reconciliation')", name="found_by"),
        Index("ix_payments_received_paid_at", "paid_at", "e2eid"),
        Index("ix_payments_received_charge_id", "charge_id"),
        Index("ix_payments_received_unplaced", "paid_at", postgresql_where="unplaced > 0"),
    )

    e2eid: Mapped[str] = mapped_column(Text, primary_key=True)
    txid: Mapped[str | None] = mapped_column(Text)
    charge_id: Mapped[UUID | None] = mapped_column(ForeignKey("payments_charges.id"))
    amount: Mapped[int] = mapped_column(BigInteger)
    paid_at: Mapped[datetime] = mapped_column(INSTANT)
    credited: Mapped[int] = mapped_column(BigInteger)
    unplaced: Mapped[int] = mapped_column(BigInteger)
    given_back: Mapped[int] = mapped_column(BigInteger, default=0)
    reason: Mapped[str | None] = mapped_column(Text)
    entry_id: Mapped[UUID]
    found_by: Mapped[FoundBy] = mapped_column(Text)
    received_at: Mapped[datetime] = mapped_column(INSTANT)


class PaymentReturn(Base):
    """A return of a payment, or of a part of it, under its id at the provider.

    One that was made at the provider without a request from here has the provider's `provider_id` and `nature`; `lost`
    is its part that had been spent.
    """

    __tablename__ = "payments_returns"
    __table_args__ = (
        CheckConstraint("amount > 0", name="amount"),
        CheckConstraint("state IN ('asked', 'returned', 'failed')", name="state"),
        CheckConstraint("(state = 'asked') = (settled_at IS NULL)", name="settled_at"),
        CheckConstraint("(nature IS NULL) = (provider_id IS NULL)", name="nature"),
        CheckConstraint("lost BETWEEN 0 AND amount AND (lost = 0 OR nature IS NOT NULL)", name="lost"),
        Index("ix_payments_returns_e2eid", "e2eid"),
        Index("ix_payments_returns_taken_back", "settled_at", postgresql_where="nature IS NOT NULL"),
        Index("uq_payments_returns_provider_id", "e2eid", "provider_id", unique=True),
        Index("ix_payments_returns_asked", "id", postgresql_where="state = 'asked'"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    e2eid: Mapped[str] = mapped_column(ForeignKey("payments_received.e2eid"))
    amount: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[ReturnState] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text)
    """The reason: a code, or an operator's words."""
    failure: Mapped[str | None] = mapped_column(Text)
    """The provider's reason for a failure."""
    maker_kind: Mapped[ActorKind] = mapped_column(Text)
    maker_id: Mapped[str] = mapped_column(Text)
    asked_at: Mapped[datetime] = mapped_column(INSTANT)
    settled_at: Mapped[datetime | None] = mapped_column(INSTANT)
    nature: Mapped[str | None] = mapped_column(Text)
    """The provider's kind of return, if it was made there."""
    provider_id: Mapped[str | None] = mapped_column(Text)
    lost: Mapped[int] = mapped_column(BigInteger, server_default="0")


class ReadPlace(Base):
    """The instant up to which the provider's list of payments has been read: one row."""

    __tablename__ = "payments_read"
    __table_args__ = (CheckConstraint("id = 1", name="one"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    read_until: Mapped[datetime] = mapped_column(INSTANT)


class ReconciledDay(Base):
    """The last comparison of a day of São Paulo with the provider's list; amounts in centavos."""

    __tablename__ = "payments_days"

    day: Mapped[date] = mapped_column(Date, primary_key=True)
    matched: Mapped[int] = mapped_column(BigInteger)
    missing_here: Mapped[int] = mapped_column(BigInteger)
    missing_there: Mapped[int] = mapped_column(BigInteger)
    amount_differs: Mapped[int] = mapped_column(BigInteger)
    received_here: Mapped[int] = mapped_column(BigInteger)
    received_there: Mapped[int] = mapped_column(BigInteger)
    returned_here: Mapped[int] = mapped_column(BigInteger)
    returned_there: Mapped[int] = mapped_column(BigInteger)
    checked_at: Mapped[datetime] = mapped_column(INSTANT)


class DayDifference(Base):
    """A payment in which a day's lists differ; amounts in centavos, received less returned."""

    __tablename__ = "payments_differences"
    __table_args__ = (CheckConstraint("kind IN ('missing_here', 'missing_there', 'amount_differs')", name="kind"),)

    day: Mapped[date] = mapped_column(ForeignKey("payments_days.day"), primary_key=True)
    e2eid: Mapped[str] = mapped_column(Text, primary_key=True)
    kind: Mapped[DifferenceKind] = mapped_column(Text)
    here: Mapped[int | None] = mapped_column(BigInteger)
    there: Mapped[int | None] = mapped_column(BigInteger)
