"""The tables of clients."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from carteira.kit.db.base import INSTANT, Base

_CLIENT = "clients.id"


class ClientRow(Base):
    """A machine that acts under its own name. Revoked clients stay, since the audit names them."""

    __tablename__ = "clients"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    networks: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    """Networks that it may connect from, as CIDR; none: anywhere."""
    created_at: Mapped[datetime] = mapped_column(INSTANT)
    created_by: Mapped[UUID]
    expires_at: Mapped[datetime | None] = mapped_column(INSTANT)
    revoked_at: Mapped[datetime | None] = mapped_column(INSTANT)


class ClientCredential(Base):
    """A client's credential: the SHA-256 of a secret, or the public key of its assertions as a JWK."""

    __tablename__ = "client_credentials"
    __table_args__ = (
        CheckConstraint("num_nonnulls(secret_hash, public_key) = 1", name="one_kind"),
        Index("ix_client_credentials_client_id", "client_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    client_id: Mapped[UUID] = mapped_column(ForeignKey(_CLIENT))
    secret_hash: Mapped[bytes | None] = mapped_column(LargeBinary)
    public_key: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    created_at: Mapped[datetime] = mapped_column(INSTANT)
    created_by: Mapped[UUID]
    expires_at: Mapped[datetime | None] = mapped_column(INSTANT)
    revoked_at: Mapped[datetime | None] = mapped_column(INSTANT)
    used_at: Mapped[datetime | None] = mapped_column(INSTANT)


class ClientClaim(Base):
    """A claim that a client holds."""

    __tablename__ = "client_claims"

    client_id: Mapped[UUID] = mapped_column(ForeignKey(_CLIENT), primary_key=True)
    claim_id: Mapped[int] = mapped_column(ForeignKey("claims.id"), primary_key=True)


class ClientAssertion(Base):
    """A used assertion, by the SHA-256 of its `jti`, so that none is accepted twice."""

    __tablename__ = "client_assertions"
    __table_args__ = (Index("ix_client_assertions_expires_at", "expires_at"),)

    client_id: Mapped[UUID] = mapped_column(ForeignKey(_CLIENT), primary_key=True)
    jti_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(INSTANT)
