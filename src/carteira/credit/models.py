"""The tables of credit: base A's sealed records, the log of who read them, and the models of the score."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Date,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Text,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from carteira.kit.db.base import INSTANT, Base


class CreditRecord(Base):
    """One person's base A. Every field is AES-256-GCM under the record's own data key; `person` is a keyed hash."""

    __tablename__ = "credit_records"
    __table_args__ = (Index("ix_credit_records_wrapped_by_id", "wrapped_by", "id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    person: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    version: Mapped[UUID]
    wrapped_by: Mapped[str] = mapped_column(Text)
    data_key_id: Mapped[UUID]
    data_key: Mapped[bytes] = mapped_column(LargeBinary)
    cpf: Mapped[bytes] = mapped_column(LargeBinary)
    name: Mapped[bytes] = mapped_column(LargeBinary)
    address: Mapped[bytes] = mapped_column(LargeBinary)
    debts: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(INSTANT, server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(INSTANT)


class CreditAccess(Base):
    """A read of base A: reader, person, instant and purpose. Append-only; each row's hash covers the one before it."""

    __tablename__ = "credit_accesses"
    __table_args__ = (Index("ix_credit_accesses_person_seq", "person", "seq"),)

    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    person: Mapped[bytes] = mapped_column(LargeBinary)
    who: Mapped[UUID]
    what: Mapped[str] = mapped_column(Text)
    purpose: Mapped[str] = mapped_column(Text)
    outcome: Mapped[str] = mapped_column(Text)
    request_id: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(INSTANT)
    hash: Mapped[bytes] = mapped_column(LargeBinary)


class CreditAccessHead(Base):
    """The one row that names the end of the log; it serialises appends and shows a missing tail."""

    __tablename__ = "credit_access_head"
    __table_args__ = (CheckConstraint("only_row", name="only_row"),)

    only_row: Mapped[bool] = mapped_column(Boolean, primary_key=True, default=True)
    seq: Mapped[int] = mapped_column(BigInteger)
    hash: Mapped[bytes] = mapped_column(LargeBinary)


class CreditModel(Base):
    """A scorecard as it was trained, byte for byte, with its measures. Append-only.

    `version` is the hash of all that decides a score; `people` and `figures` are NULL for a card that came with the
    product, which brings its measures along.
    """

    __tablename__ = "credit_models"
    __table_args__ = (
        CheckConstraint("octet_length(digest) = 32", name="digest"),
        CheckConstraint("origin IN ('outcomes', 'synthetic', 'shipped')", name="origin"),
        CheckConstraint("(origin = 'shipped') = (figures IS NULL)", name="figures"),
        CheckConstraint("(people IS NULL) = (figures IS NULL)", name="people"),
        CheckConstraint("outcomes_from <= outcomes_until", name="outcomes"),
    )

    version: Mapped[str] = mapped_column(Text, primary_key=True)
    card: Mapped[str] = mapped_column(Text)
    digest: Mapped[bytes] = mapped_column(LargeBinary)
    origin: Mapped[str] = mapped_column(Text)
    people: Mapped[int | None] = mapped_column(Integer)
    figures: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    outcomes_from: Mapped[date | None] = mapped_column(Date)
    outcomes_until: Mapped[date | None] = mapped_column(Date)
    made_by_kind: Mapped[str] = mapped_column(Text)
    made_by: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(INSTANT)


class CreditModelChoice(Base):
    """A choice of a model: the instant, who chose it, and the reason. The last one is in force. Append-only."""

    __tablename__ = "credit_model_choices"

    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    version: Mapped[str] = mapped_column(ForeignKey("credit_models.version"))
    reason: Mapped[str] = mapped_column(Text)
    chosen_by_kind: Mapped[str] = mapped_column(Text)
    chosen_by: Mapped[str] = mapped_column(Text)
    approved_by: Mapped[UUID | None]
    at: Mapped[datetime] = mapped_column(INSTANT)
