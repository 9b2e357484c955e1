"""Documents' tables. The sealed files are stored elsewhere; each one's wrapped key is stored only here."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from carteira.kit.db.base import INSTANT, Base


class Document(Base):
    """A person's document. `reminded_days` is the nearest reminder sent about its present expiry date.

    `state` is its assurance: declared by its owner, or an operator's decision on its present state. `decision` is what
    the operator compared, or why they refused it.
    """

    __tablename__ = "documents"
    __table_args__ = (
        Index("ix_documents_user_id_id", "user_id", "id"),
        Index("ix_documents_expires_on", "expires_on", postgresql_where="expires_on IS NOT NULL"),
        Index("ix_documents_state_id", "state", "id", postgresql_where="version > 0"),
        CheckConstraint(
            "state = 'declared' AND num_nonnulls(decided_by, decided_at, decision) = 0"
            " OR state IN ('reviewed', 'refused') AND num_nulls(decided_by, decided_at, decision) = 0",
            name="state",
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID]
    document_type: Mapped[str] = mapped_column(Text)
    document_number: Mapped[str] = mapped_column(Text)
    file_name: Mapped[str | None] = mapped_column(Text)
    expires_on: Mapped[date | None]
    reminded_days: Mapped[int | None] = mapped_column(SmallInteger)
    version: Mapped[int] = mapped_column(Integer, default=0)
    state: Mapped[str] = mapped_column(Text, server_default=text("'declared'"))
    decided_by: Mapped[UUID | None]
    decided_at: Mapped[datetime | None] = mapped_column(INSTANT)
    decision: Mapped[str | None] = mapped_column(Text)
    uploaded_at: Mapped[datetime] = mapped_column(INSTANT)
    updated_at: Mapped[datetime] = mapped_column(INSTANT)


class DocumentVersion(Base):
    """One file of a document. Without `wrapped_key` its bytes cannot be read, not even by us."""

    __tablename__ = "document_versions"
    __table_args__ = (
        UniqueConstraint("document_id", "number"),
        CheckConstraint("size > 0 AND segments > 0", name="size"),
        Index("ix_document_versions_key_id", "key_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    document_id: Mapped[UUID] = mapped_column(ForeignKey("documents.id", ondelete="CASCADE"))
    number: Mapped[int] = mapped_column(Integer)
    file_name: Mapped[str] = mapped_column(Text)
    content_type: Mapped[str] = mapped_column(Text)
    size: Mapped[int] = mapped_column(Integer)
    segments: Mapped[int] = mapped_column(Integer)
    key_id: Mapped[str] = mapped_column(Text)
    wrapped_key: Mapped[bytes] = mapped_column(LargeBinary)
    uploaded_at: Mapped[datetime] = mapped_column(INSTANT)
