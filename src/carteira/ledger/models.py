"""The ledger's tables. `migrations/` adds what a model cannot express: triggers, and the writing function."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Index, SmallInteger, Text, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from carteira.kit.db import positions
from carteira.kit.db.base import INSTANT, Base


class LedgerAccount(Base):
    """An account.

    A customer's balance is live; a system account's is rolled up to a position, and later postings add to it.
    """

    __tablename__ = "ledger_accounts"
    __table_args__ = (
        UniqueConstraint("holder_id", "kind"),
        CheckConstraint("may_go_negative OR balance - held >= 0", name="funds"),
        CheckConstraint("held >= 0", name="held"),
        Index("ix_ledger_accounts_owner_id", "owner_id", postgresql_where="owner_id IS NOT NULL"),
        Index("ix_ledger_accounts_is_system", "id", postgresql_where="is_system"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(Text)
    holder_id: Mapped[UUID | None]
    owner_id: Mapped[UUID | None]
    is_system: Mapped[bool] = mapped_column(Boolean, default=False)
    may_go_negative: Mapped[bool] = mapped_column(Boolean, default=False)
    balance: Mapped[int] = mapped_column(BigInteger, server_default="0")
    held: Mapped[int] = mapped_column(BigInteger, server_default="0")
    version: Mapped[int] = mapped_column(BigInteger, server_default="0")
    rolled_up_to: Mapped[int] = mapped_column(BigInteger, server_default="0")
    created_at: Mapped[datetime] = mapped_column(INSTANT, server_default=func.now())


class LedgerEntry(Base):
    """An entry: two postings or more that add up to zero. Append-only.

    The actor is null in entries from before actors, and `unknown` in entries by servers of that release; a trigger
    requires one of new entries.
    """

    __tablename__ = "ledger_entries"
    __table_args__ = (
        Index("ix_ledger_entries_xid_id", "xid", "id"),
        {"postgresql_partition_by": "RANGE (id)"},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    xid: Mapped[int] = mapped_column(BigInteger, server_default=positions.NOW)
    kind: Mapped[str] = mapped_column(Text)
    description: Mapped[str | None] = mapped_column(Text)
    key: Mapped[str | None] = mapped_column(Text)
    reverses_id: Mapped[UUID | None]
    posted_at: Mapped[datetime] = mapped_column(INSTANT)
    actor_kind: Mapped[str | None] = mapped_column(Text)
    actor_id: Mapped[str | None] = mapped_column(Text)
    approved_by: Mapped[UUID | None]


class LedgerKey(Base):
    """A key of a posted entry: permanently unique. Append-only."""

    __tablename__ = "ledger_keys"

    key: Mapped[str] = mapped_column(Text, primary_key=True)
    entry_id: Mapped[UUID]


class LedgerReversal(Base):
    """A reversed entry and its reversal: permanently unique. Append-only."""

    __tablename__ = "ledger_reversals"

    reverses_id: Mapped[UUID] = mapped_column(primary_key=True)
    entry_id: Mapped[UUID]


class LedgerPosting(Base):
    """One line of an entry. `seq` and `balance_after` are the customer account's version and balance after it."""

    __tablename__ = "ledger_postings"
    __table_args__ = (
        CheckConstraint("amount <> 0", name="amount"),
        CheckConstraint("(seq IS NULL) = (balance_after IS NULL)", name="seq"),
        Index("ix_ledger_postings_account_id_posted_at_seq", "account_id", "posted_at", "seq"),
        {"postgresql_partition_by": "RANGE (entry_id)"},
    )

    entry_id: Mapped[UUID] = mapped_column(primary_key=True)
    line: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    account_id: Mapped[UUID]
    amount: Mapped[int] = mapped_column(BigInteger)
    seq: Mapped[int | None] = mapped_column(BigInteger)
    balance_after: Mapped[int | None] = mapped_column(BigInteger)
    posted_at: Mapped[datetime] = mapped_column(INSTANT)


class LedgerHold(Base):
    """Money set aside for a while: authorized, then captured, released or expired."""

    __tablename__ = "ledger_holds"
    __table_args__ = (
        CheckConstraint("amount > 0", name="amount"),
        CheckConstraint("captured BETWEEN 0 AND amount", name="captured"),
        CheckConstraint("status IN ('active', 'captured', 'released', 'expired')", name="status"),
        Index("ix_ledger_holds_account_id", "account_id", postgresql_where="status = 'active'"),
        Index("ix_ledger_holds_expires_at", "expires_at", postgresql_where="status = 'active'"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    account_id: Mapped[UUID]
    amount: Mapped[int] = mapped_column(BigInteger)
    captured: Mapped[int] = mapped_column(BigInteger, server_default="0")
    status: Mapped[str] = mapped_column(Text, default="active")
    entry_id: Mapped[UUID | None]
    expires_at: Mapped[datetime] = mapped_column(INSTANT)
    created_at: Mapped[datetime] = mapped_column(INSTANT)
    settled_at: Mapped[datetime | None] = mapped_column(INSTANT)
