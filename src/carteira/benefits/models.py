"""The tables of benefits. Balances are not here: each category of an account is a ledger account."""

from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Date,
    ForeignKey,
    Index,
    LargeBinary,
    SmallInteger,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from carteira.kit.db import positions
from carteira.kit.db.base import INSTANT, Base
from carteira.kit.values.actor import ActorKind

FIRST_EMPLOYER = UUID("01980000-0000-7000-8000-0000000000e1")
"""The employer of accounts from releases without employers."""


class Employer(Base):
    """A company that opens benefit accounts. The operator sets the first one's CNPJ."""

    __tablename__ = "benefits_employers"
    __table_args__ = (CheckConstraint("cnpj ~ '^[0-9A-Z]{12}[0-9]{2}$'", name="cnpj"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    cnpj: Mapped[str | None] = mapped_column(Text, unique=True)
    name: Mapped[str] = mapped_column(Text)
    prefunded: Mapped[bool] = mapped_column(server_default=text("false"))
    """Whether it pays in before it tops up."""
    created_at: Mapped[datetime] = mapped_column(INSTANT)


class EmployerMember(Base):
    """An operator or a client that is, or was, bound to an employer; being bound is permanent."""

    __tablename__ = "benefits_employer_members"
    __table_args__ = (
        CheckConstraint("member_kind IN ('person', 'client')", name="member_kind"),
        Index("ix_benefits_employer_members_member_id", "member_id"),
    )

    employer_id: Mapped[UUID] = mapped_column(ForeignKey("benefits_employers.id"), primary_key=True)
    member_id: Mapped[UUID] = mapped_column(primary_key=True)
    member_kind: Mapped[Literal["person", "client"]] = mapped_column(Text)
    bound_at: Mapped[datetime] = mapped_column(INSTANT)
    bound_by: Mapped[UUID]
    ended_at: Mapped[datetime | None] = mapped_column(INSTANT)


class BenefitAccount(Base):
    """A benefit account: the processor's reference, and its person once they have claimed it."""

    __tablename__ = "benefits_accounts"
    __table_args__ = (
        CheckConstraint("reference ~ '^[A-Za-z0-9._:-]{1,64}$'", name="reference"),
        Index("ix_benefits_accounts_cpf", "cpf", postgresql_where="cpf IS NOT NULL"),
        Index("ix_benefits_accounts_user_id", "user_id", postgresql_where="user_id IS NOT NULL"),
        Index("ix_benefits_accounts_employer_id_id", "employer_id", "id"),
        Index("ix_benefits_accounts_blocked", "id", postgresql_where="state = 'blocked'"),
        CheckConstraint("state IN ('active', 'blocked', 'closed')", name="state"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    reference: Mapped[str] = mapped_column(Text, unique=True)
    cpf: Mapped[str | None] = mapped_column(Text)
    user_id: Mapped[UUID | None]
    contact: Mapped[str | None] = mapped_column(Text)
    name: Mapped[str | None] = mapped_column(Text)
    """The worker's name, as HR writes it."""
    state: Mapped[Literal["active", "blocked", "closed"]] = mapped_column(Text, server_default="active")
    created_at: Mapped[datetime] = mapped_column(INSTANT, server_default=func.now())
    employer_id: Mapped[UUID] = mapped_column(
        ForeignKey("benefits_employers.id"), server_default=text(f"'{FIRST_EMPLOYER}'")
    )


class BenefitCategory(Base):
    """A category of balance and the regime it follows."""

    __tablename__ = "benefits_categories"
    __table_args__ = (
        CheckConstraint("name ~ '^[A-Z][A-Z0-9_]{0,31}$'", name="name"),
        CheckConstraint("regime IN ('pat', 'free')", name="regime"),
    )

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    regime: Mapped[str] = mapped_column(Text)


class BenefitMcc(Base):
    """The category of an MCC; other MCCs are CASH."""

    __tablename__ = "benefits_mccs"
    __table_args__ = (CheckConstraint("mcc ~ '^[0-9]{4}$'", name="mcc"),)

    mcc: Mapped[str] = mapped_column(Text, primary_key=True)
    category: Mapped[str] = mapped_column(ForeignKey("benefits_categories.name"))


class BenefitMerchant(Base):
    """A merchant whose name overrides the MCC that the processor sends."""

    __tablename__ = "benefits_merchants"
    __table_args__ = (CheckConstraint("mcc ~ '^[0-9]{4}$'", name="mcc"),)

    match: Mapped[str] = mapped_column(Text, primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    mcc: Mapped[str] = mapped_column(Text)


class BenefitCatalogVersion(Base):
    """One row that counts the changes of categories, MCCs and merchants; triggers bump it."""

    __tablename__ = "benefits_catalog_version"
    __table_args__ = (CheckConstraint("only_row", name="only_row"),)

    only_row: Mapped[bool] = mapped_column(Boolean, primary_key=True, default=True)
    version: Mapped[int] = mapped_column(BigInteger)


class BenefitDecision(Base):
    """A decision of the authorizer. An approved one shares its id with its ledger entry. Append-only."""

    __tablename__ = "benefits_decisions"
    __table_args__ = (
        Index("ix_benefits_decisions_account_id_id", "account_id", "id"),
        Index("ix_benefits_decisions_xid_id", "xid", "id"),
        Index(
            "ix_benefits_decisions_declined_merchant",
            "id",
            postgresql_include=["merchant", "category_tried"],
            postgresql_where="code <> '00'",
        ),
        {"postgresql_partition_by": "RANGE (id)"},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    xid: Mapped[int] = mapped_column(BigInteger, server_default=positions.NOW)
    external_id: Mapped[str | None] = mapped_column(Text)
    account_id: Mapped[UUID | None]
    account: Mapped[str] = mapped_column(Text)
    amount: Mapped[int | None] = mapped_column(BigInteger)
    mcc: Mapped[str | None] = mapped_column(Text)
    merchant: Mapped[str | None] = mapped_column(Text)
    fallback: Mapped[bool] = mapped_column(Boolean)
    code: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text)
    category_tried: Mapped[str | None] = mapped_column(Text)
    category_used: Mapped[str | None] = mapped_column(Text)
    rule: Mapped[str | None] = mapped_column(Text)
    short_by: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(INSTANT, server_default=func.clock_timestamp())


class BenefitReference(Base):
    """A transaction id of the processor, unique for ever. Append-only.

    It belongs to an authorization (`decision_id`), to a reversal (`reverses` is the authorization's id), or to an
    authorization that was reversed before it arrived.
    """

    __tablename__ = "benefits_references"
    __table_args__ = (CheckConstraint("decision_id IS NULL OR reverses IS NULL", name="one"),)

    external_id: Mapped[str] = mapped_column(Text, primary_key=True)
    decision_id: Mapped[UUID | None]
    reverses: Mapped[str | None] = mapped_column(Text)


class BenefitReversal(Base):
    """A reversal by the processor, under the authorization's id and its own (empty: a full reversal).

    `amount` is the requested amount (null: all), `return_id` the return (null: nothing had been taken). Append-only.
    """

    __tablename__ = "benefits_reversals"
    __table_args__ = (
        CheckConstraint("amount > 0", name="amount"),
        CheckConstraint("(amount IS NULL) = (reversal_id = '')", name="whole"),
    )

    reference: Mapped[str] = mapped_column(Text, primary_key=True)
    reversal_id: Mapped[str] = mapped_column(Text, primary_key=True)
    amount: Mapped[int | None] = mapped_column(BigInteger)
    return_id: Mapped[UUID | None]
    created_at: Mapped[datetime] = mapped_column(INSTANT, server_default=func.clock_timestamp())


class BenefitReturn(Base):
    """A return of an approved transaction's money: a full reversal, or a merchant's partial refund.

    It shares its id with its ledger entry. A trigger requires the decision.
    """

    __tablename__ = "benefits_returns"
    __table_args__ = (
        CheckConstraint("kind IN ('reversal', 'refund')", name="kind"),
        CheckConstraint("amount > 0", name="amount"),
        Index("ix_benefits_returns_decision_id", "decision_id"),
        Index("ix_benefits_returns_xid_id", "xid", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    xid: Mapped[int] = mapped_column(BigInteger, server_default=positions.NOW)
    decision_id: Mapped[UUID]
    kind: Mapped[str] = mapped_column(Text)
    amount: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(INSTANT)


class BenefitInvitation(Base):
    """An employer's invitation to an account, sent to its recorded contact; the token's holder gets the account.

    The token is made when it is sent, and stored as its SHA-256; None until then. An invitation of a release without
    `sent_at` was sent if it has a token.
    """

    __tablename__ = "benefits_invitations"

    account_id: Mapped[UUID] = mapped_column(ForeignKey("benefits_accounts.id"), primary_key=True)
    token_hash: Mapped[bytes | None] = mapped_column(LargeBinary, unique=True)
    expires_at: Mapped[datetime] = mapped_column(INSTANT)
    sent_at: Mapped[datetime | None] = mapped_column(INSTANT)
    opened_at: Mapped[datetime | None] = mapped_column(INSTANT)
    """When somebody who was signed in first opened its page."""


class BenefitClaimCode(Base):
    """The code sent to an account's recorded contact, by which a person claims the account."""

    __tablename__ = "benefits_claim_codes"

    account_id: Mapped[UUID] = mapped_column(ForeignKey("benefits_accounts.id"), primary_key=True)
    user_id: Mapped[UUID]
    code_hash: Mapped[str] = mapped_column(Text)
    tries: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    expires_at: Mapped[datetime] = mapped_column(INSTANT)


class BenefitImport(Base):
    """A file of accounts to open: its employer, its maker, and whether it is done."""

    __tablename__ = "benefits_imports"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    employer_id: Mapped[UUID] = mapped_column(ForeignKey("benefits_employers.id"))
    actor_kind: Mapped[ActorKind] = mapped_column(Text)
    actor_id: Mapped[str] = mapped_column(Text)
    approved_by: Mapped[UUID | None]
    invite: Mapped[bool]
    lines: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(INSTANT)
    finished_at: Mapped[datetime | None] = mapped_column(INSTANT)


class BenefitImportLine(Base):
    """A line of such a file; its `content` is erased once it is done."""

    __tablename__ = "benefits_import_lines"
    __table_args__ = (
        CheckConstraint("status IN ('waiting', 'opened', 'exists', 'failed')", name="status"),
        Index("ix_benefits_import_lines_waiting", "import_id", "number", postgresql_where="status = 'waiting'"),
    )

    import_id: Mapped[UUID] = mapped_column(ForeignKey("benefits_imports.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    content: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    account: Mapped[str | None] = mapped_column(Text)
    status: Mapped[Literal["waiting", "opened", "exists", "failed"]] = mapped_column(Text)
    code: Mapped[str | None] = mapped_column(Text)
    detail: Mapped[str | None] = mapped_column(Text)
    column: Mapped[str | None] = mapped_column(Text)


class BenefitScheduledCredit(Base):
    """A scheduled bulk top-up, already weighed; its lines (`content`) are erased once it is done."""

    __tablename__ = "benefits_scheduled_credits"
    __table_args__ = (
        CheckConstraint("state IN ('waiting', 'done', 'failed', 'cancelled')", name="state"),
        Index("ix_benefits_scheduled_credits_due", "day", "id", postgresql_where="state = 'waiting'"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    employer_ids: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid()))
    """The employers of its good lines' accounts."""
    day: Mapped[date] = mapped_column(Date)
    actor_kind: Mapped[ActorKind] = mapped_column(Text)
    actor_id: Mapped[str] = mapped_column(Text)
    approved_by: Mapped[UUID | None]
    content: Mapped[dict[str, Any]] = mapped_column(JSONB)
    atomic: Mapped[bool]
    lines: Mapped[int]
    amount: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[Literal["waiting", "done", "failed", "cancelled"]] = mapped_column(Text)
    code: Mapped[str | None] = mapped_column(Text)
    detail: Mapped[str | None] = mapped_column(Text)
    outcome: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    created_at: Mapped[datetime] = mapped_column(INSTANT)
    done_at: Mapped[datetime | None] = mapped_column(INSTANT)
