"""Transit's tables. A card's balance is not here: it is its ledger account's."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Boolean, CheckConstraint, ForeignKey, Index, LargeBinary, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from carteira.kit.db.base import INSTANT, Base


class TransportCard(Base):
    """A transport card. `user_id` is None once its person was erased; `is_first` marks the one from registration."""

    __tablename__ = "transport_cards"
    __table_args__ = (
        UniqueConstraint("card_number"),
        CheckConstraint("card_number ~ '^[0-9]{16}$'", name="card_number"),
        CheckConstraint("status IN ('active', 'blocked', 'cancelled')", name="status"),
        CheckConstraint("(status = 'cancelled') = (cancelled_at IS NOT NULL)", name="cancelled"),
        Index("ix_transport_cards_user_id", "user_id"),
        Index("uq_transport_cards_first_of_user", "user_id", unique=True, postgresql_where="is_first"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID | None]
    card_number: Mapped[str] = mapped_column(Text)
    account_id: Mapped[UUID]
    status: Mapped[str] = mapped_column(Text)
    is_first: Mapped[bool] = mapped_column(Boolean, default=False)
    created_at: Mapped[datetime] = mapped_column(INSTANT)
    cancelled_at: Mapped[datetime | None] = mapped_column(INSTANT)


class CardBlock(Base):
    """A period in which a card was blocked: its rides are denied, however late the validator reports them."""

    __tablename__ = "transit_card_blocks"

    card_id: Mapped[UUID] = mapped_column(ForeignKey("transport_cards.id"), primary_key=True)
    blocked_at: Mapped[datetime] = mapped_column(INSTANT, primary_key=True)
    unblocked_at: Mapped[datetime | None] = mapped_column(INSTANT)


class Tap(Base):
    """A ride that a validator recorded. `paid + owed` is the fare; `outstanding` is what is still owed of it.

    `result` is None only inside the transaction that inserts and decides the tap. `tapped_at` is by the validator's
    clock, or by an operator who replaced an impossible instant.
    """

    __tablename__ = "transit_taps"
    __table_args__ = (
        UniqueConstraint("tap_id"),
        CheckConstraint("amount > 0", name="amount"),
        CheckConstraint("result IN ('debited', 'owed', 'denied', 'waiting')", name="result"),
        CheckConstraint(
            "CASE WHEN result = 'denied' THEN paid = 0 AND owed = 0 AND reason IS NOT NULL"
            " WHEN result IS NULL OR result = 'waiting' THEN paid = 0 AND owed = 0 ELSE paid + owed = amount END",
            name="fare",
        ),
        CheckConstraint("paid >= 0 AND owed >= 0 AND outstanding BETWEEN 0 AND owed", name="outstanding"),
        Index("ix_transit_taps_card_id", "card_id"),
        Index("ix_transit_taps_waiting", "id", postgresql_where="result = 'waiting'"),
        Index("ix_transit_taps_user_id", "user_id", "tapped_at", "id", postgresql_where="outstanding > 0"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    tap_id: Mapped[str] = mapped_column(Text)
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary)
    client_id: Mapped[UUID]
    card_id: Mapped[UUID | None] = mapped_column(ForeignKey("transport_cards.id"))
    user_id: Mapped[UUID | None]
    amount: Mapped[int] = mapped_column(BigInteger)
    tapped_at: Mapped[datetime] = mapped_column(INSTANT)
    line: Mapped[str | None] = mapped_column(Text)
    vehicle: Mapped[str | None] = mapped_column(Text)
    result: Mapped[str | None] = mapped_column(Text)
    reason: Mapped[str | None] = mapped_column(Text)
    paid: Mapped[int] = mapped_column(BigInteger, default=0)
    owed: Mapped[int] = mapped_column(BigInteger, default=0)
    outstanding: Mapped[int] = mapped_column(BigInteger, default=0)
    entry_id: Mapped[UUID | None]
    received_at: Mapped[datetime] = mapped_column(INSTANT)
