"""The identity module's tables. `migrations/` adds what a model cannot express: seeds and the triggers of the audit."""

from datetime import date, datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Date,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from carteira.kit.db.base import INSTANT, Base

_USER = "users.id"


class Role(Base):
    """A label, and the claims that it grants when it is given."""

    __tablename__ = "roles"

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    description: Mapped[str] = mapped_column(Text, unique=True)
    built_in: Mapped[bool] = mapped_column(server_default=text("false"), default=False)
    """Whether it ships with the product; later releases add claims to it."""


class Claim(Base):
    """A right that routes check; an inactive one grants nothing."""

    __tablename__ = "claims"

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    description: Mapped[str] = mapped_column(Text, unique=True)
    active: Mapped[bool] = mapped_column(server_default=text("true"), default=True)
    built_in: Mapped[bool] = mapped_column(server_default=text("false"), default=False)
    """Whether the product's code checks it, which fixes its name. An operator's own claims are for other systems."""


class RoleClaim(Base):
    """A claim that a role grants when it is given."""

    __tablename__ = "role_claims"

    role_id: Mapped[int] = mapped_column(ForeignKey("roles.id"), primary_key=True)
    claim_id: Mapped[int] = mapped_column(ForeignKey("claims.id"), primary_key=True)


class User(Base):
    """A person. Erasure empties the row and keeps the id as a pseudonym."""

    __tablename__ = "users"
    __table_args__ = (
        CheckConstraint("erased_at IS NOT NULL OR (full_name IS NOT NULL AND email IS NOT NULL)", name="named"),
        CheckConstraint(
            "erased_at IS NULL OR coalesce(full_name, email, cpf, phone, password_hash, birth_date::text) IS NULL",
            name="erased",
        ),
        CheckConstraint("cpf_proven_at IS NULL OR cpf IS NOT NULL AND cpf_proven_by IS NOT NULL", name="cpf_proven"),
        Index("ix_users_role_id", "role_id"),
        Index("uq_users_email", func.lower(text("email")), unique=True),
        Index(
            "ix_users_search_text",
            "search_text",
            postgresql_using="gin",
            postgresql_ops={"search_text": "gin_trgm_ops"},
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    full_name: Mapped[str | None] = mapped_column(Text)
    email: Mapped[str | None] = mapped_column(Text)
    email_confirmed_at: Mapped[datetime | None] = mapped_column(INSTANT)
    cpf: Mapped[str | None] = mapped_column(Text, unique=True)
    cpf_proven_at: Mapped[datetime | None] = mapped_column(INSTANT)
    """When the CPF was proven; None: it is only declared."""
    cpf_proven_by: Mapped[str | None] = mapped_column(Text)
    """The kind of proof: `govbr`, `operator` or `demo`; the audit names the operator."""
    cpf_moved_at: Mapped[datetime | None] = mapped_column(INSTANT)
    """When the CPF of this account was proven to be another person's; None once it has a CPF again."""
    birth_date: Mapped[date | None]
    phone: Mapped[str | None] = mapped_column(Text)
    phone_confirmed_at: Mapped[datetime | None] = mapped_column(INSTANT)
    password_hash: Mapped[str | None] = mapped_column(Text)
    must_change_password: Mapped[bool] = mapped_column(server_default=text("false"), default=False)
    password_expires_at: Mapped[datetime | None] = mapped_column(INSTANT)
    role_id: Mapped[int] = mapped_column(ForeignKey("roles.id"))
    search_text: Mapped[str] = mapped_column(Text, server_default="")
    created_at: Mapped[datetime] = mapped_column(INSTANT)
    updated_at: Mapped[datetime] = mapped_column(INSTANT)
    suspended_at: Mapped[datetime | None] = mapped_column(INSTANT)
    erased_at: Mapped[datetime | None] = mapped_column(INSTANT)


class ContactChange(Base):
    """A changed contact point of `users`, and the former one, which recovers the account until the change is final.

    `former` None: there was none. Without a row of a kind, the person's contact point is the registration's or a final
    one.
    """

    __tablename__ = "contact_changes"
    __table_args__ = (
        UniqueConstraint("user_id", "kind", name="uq_contact_changes_user_id_kind"),
        CheckConstraint("kind IN ('email', 'phone')", name="kind"),
        Index(
            "ix_contact_changes_former_email",
            func.lower(text("former")),
            postgresql_where=text("kind = 'email'"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey(_USER))
    kind: Mapped[str] = mapped_column(Text)
    former: Mapped[str | None] = mapped_column(Text)
    former_confirmed_at: Mapped[datetime | None] = mapped_column(INSTANT)
    changed_at: Mapped[datetime] = mapped_column(INSTANT)
    recovers_from: Mapped[datetime] = mapped_column(INSTANT)


class UserClaim(Base):
    """A claim that a person holds, from their role or directly."""

    __tablename__ = "user_claims"

    user_id: Mapped[UUID] = mapped_column(ForeignKey(_USER), primary_key=True)
    claim_id: Mapped[int] = mapped_column(ForeignKey("claims.id"), primary_key=True)
    from_role: Mapped[bool] = mapped_column(server_default=text("false"), default=False)


class Session(Base):
    """One sign-in on one device; its refresh tokens are one family."""

    __tablename__ = "sessions"
    __table_args__ = (Index("ix_sessions_user_id", "user_id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey(_USER))
    device: Mapped[str] = mapped_column(Text)
    network: Mapped[str] = mapped_column(Text)
    methods: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(INSTANT)
    seen_at: Mapped[datetime] = mapped_column(INSTANT)
    signed_in_at: Mapped[datetime | None] = mapped_column(INSTANT)
    """When a first factor was last given; None in sessions of earlier releases: at `created_at`."""
    second_factor_at: Mapped[datetime | None] = mapped_column(INSTANT)
    """When a second factor was last given; for sessions of earlier releases see `methods`."""
    expires_at: Mapped[datetime] = mapped_column(INSTANT)
    revoked_at: Mapped[datetime | None] = mapped_column(INSTANT)


class RefreshToken(Base):
    """One token of a session's family, as its SHA-256."""

    __tablename__ = "refresh_tokens"
    __table_args__ = (Index("ix_refresh_tokens_session_id", "session_id"),)

    token_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    session_id: Mapped[UUID] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"))
    created_at: Mapped[datetime] = mapped_column(INSTANT)
    expires_at: Mapped[datetime] = mapped_column(INSTANT)
    used_at: Mapped[datetime | None] = mapped_column(INSTANT)


class SessionCookie(Base):
    """The SHA-256 of a browser's session cookie; it expires after so many seconds without use."""

    __tablename__ = "session_cookies"
    __table_args__ = (Index("ix_session_cookies_session_id", "session_id"),)

    token_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    session_id: Mapped[UUID] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"))
    idle_seconds: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(INSTANT)
    seen_at: Mapped[datetime] = mapped_column(INSTANT)


class KnownDevice(Base):
    """A device that a person signed in from; its secret (SHA-256) gives it a limit that others cannot use up."""

    __tablename__ = "known_devices"
    __table_args__ = (Index("ix_known_devices_user_id", "user_id"),)

    token_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey(_USER))
    created_at: Mapped[datetime] = mapped_column(INSTANT)
    seen_at: Mapped[datetime] = mapped_column(INSTANT)


class Totp(Base):
    """A person's authenticator: the sealed secret and the last time step accepted."""

    __tablename__ = "totp"

    user_id: Mapped[UUID] = mapped_column(ForeignKey(_USER), primary_key=True)
    secret: Mapped[bytes] = mapped_column(LargeBinary)
    last_step: Mapped[int] = mapped_column(BigInteger, server_default="0", default=0)
    created_at: Mapped[datetime] = mapped_column(INSTANT)
    confirmed_at: Mapped[datetime | None] = mapped_column(INSTANT)


class RecoveryCode(Base):
    """A code that stands in for the authenticator once, as its SHA-256."""

    __tablename__ = "recovery_codes"

    user_id: Mapped[UUID] = mapped_column(ForeignKey(_USER), primary_key=True)
    code_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    used_at: Mapped[datetime | None] = mapped_column(INSTANT)


class MfaChallenge(Base):
    """A sign-in that waits for its second factor. If not `genuine`, the password was wrong and no code succeeds."""

    __tablename__ = "mfa_challenges"
    __table_args__ = (Index("ix_mfa_challenges_expires_at", "expires_at"),)

    token_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey(_USER))
    genuine: Mapped[bool]
    method: Mapped[str] = mapped_column(Text, server_default="password", default="password")
    """The first factor."""
    tries: Mapped[int] = mapped_column(SmallInteger, server_default="0", default=0)
    expires_at: Mapped[datetime] = mapped_column(INSTANT)
    used_at: Mapped[datetime | None] = mapped_column(INSTANT)


class Passkey(Base):
    """A person's WebAuthn credential: its public key, and its authenticator's last signature count."""

    __tablename__ = "passkeys"
    __table_args__ = (Index("ix_passkeys_user_id", "user_id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey(_USER))
    credential_id: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    public_key: Mapped[bytes] = mapped_column(LargeBinary)
    sign_count: Mapped[int] = mapped_column(BigInteger)
    backed_up: Mapped[bool]
    name: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(INSTANT)
    used_at: Mapped[datetime | None] = mapped_column(INSTANT)


class PasskeyChallenge(Base):
    """A pending challenge, as its SHA-256; with a user it is for adding a passkey, else for signing in."""

    __tablename__ = "passkey_challenges"
    __table_args__ = (Index("ix_passkey_challenges_expires_at", "expires_at"),)

    challenge_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey(_USER))
    expires_at: Mapped[datetime] = mapped_column(INSTANT)


class SocialAccount(Base):
    """An account at a provider that signs a person in."""

    __tablename__ = "social_accounts"
    __table_args__ = (
        UniqueConstraint("provider", "subject", name="uq_social_accounts_provider_subject"),
        Index("ix_social_accounts_user_id", "user_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey(_USER))
    provider: Mapped[str] = mapped_column(Text)
    subject: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(INSTANT)
    used_at: Mapped[datetime | None] = mapped_column(INSTANT)


class SocialAttempt(Base):
    """A browser that was sent to a provider; nonce and PKCE verifier derive from its cookie's secret."""

    __tablename__ = "social_attempts"
    __table_args__ = (Index("ix_social_attempts_expires_at", "expires_at"),)

    state_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    browser_hash: Mapped[bytes] = mapped_column(LargeBinary)
    provider: Mapped[str] = mapped_column(Text)
    expires_at: Mapped[datetime] = mapped_column(INSTANT)


class SocialRegistration(Base):
    """A provider's account without a linked person: it waits for the sign-up, or for proof of its owner.

    `profile` is sealed. `user_id` is the person that a code was asked for; None for unknown names.
    """

    __tablename__ = "social_registrations"
    __table_args__ = (
        Index("ix_social_registrations_expires_at", "expires_at"),
        Index("ix_social_registrations_user_id", "user_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    provider: Mapped[str] = mapped_column(Text)
    profile: Mapped[bytes] = mapped_column(LargeBinary)
    expires_at: Mapped[datetime] = mapped_column(INSTANT)
    used_at: Mapped[datetime | None] = mapped_column(INSTANT)
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey(_USER))
    code_hash: Mapped[bytes | None] = mapped_column(LargeBinary)
    code_expires_at: Mapped[datetime | None] = mapped_column(INSTANT)
    tries: Mapped[int] = mapped_column(SmallInteger, server_default="0", default=0)


class Invitation(Base):
    """An invitation to become an administrator by a link; a person has at most one."""

    __tablename__ = "invitations"
    __table_args__ = (Index("ix_invitations_expires_at", "expires_at"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey(_USER), unique=True)
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    created_at: Mapped[datetime] = mapped_column(INSTANT)
    expires_at: Mapped[datetime] = mapped_column(INSTANT)


class Recovery(Base):
    """A requested password recovery; without a user the typed name is unknown."""

    __tablename__ = "password_recoveries"
    __table_args__ = (
        Index("ix_password_recoveries_user_id", "user_id"),
        Index("ix_password_recoveries_stranger", "stranger"),
        Index("ix_password_recoveries_created_at", "created_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey(_USER))
    channel: Mapped[str] = mapped_column(Text)
    stranger: Mapped[UUID | None]
    """The pseudonym of an unknown name, so that tries at it are limited like others."""
    sent_to: Mapped[bytes | None] = mapped_column(LargeBinary)
    """The fingerprint of the contact point that the code was sent to, which a right code confirms."""
    code_hash: Mapped[bytes | None] = mapped_column(LargeBinary)
    tries: Mapped[int] = mapped_column(SmallInteger, server_default="0", default=0)
    reset_hash: Mapped[bytes | None] = mapped_column(LargeBinary, unique=True)
    created_at: Mapped[datetime] = mapped_column(INSTANT)
    expires_at: Mapped[datetime] = mapped_column(INSTANT)
    used_at: Mapped[datetime | None] = mapped_column(INSTANT)


class Consent(Base):
    """A consent given or withdrawn; the newest row of a purpose is valid."""

    __tablename__ = "consents"
    __table_args__ = (Index("ix_consents_user_id", "user_id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey(_USER))
    purpose: Mapped[str] = mapped_column(Text)
    granted: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(INSTANT)


class DataRequest(Base):
    """A person's request about their data (LGPD, art. 18), made by themself or through an operator, and its answer."""

    __tablename__ = "data_requests"
    __table_args__ = (
        CheckConstraint("kind IN ('copy', 'correction', 'erasure', 'other')", name="kind"),
        CheckConstraint("outcome IN ('fulfilled', 'refused')", name="outcome"),
        CheckConstraint(
            "(answered_at IS NULL) = (outcome IS NULL) AND (outcome IS NULL) = (answer IS NULL)", name="answered"
        ),
        Index("ix_data_requests_user_id_id", "user_id", "id"),
        Index("ix_data_requests_open", "id", postgresql_where="answered_at IS NULL"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey(_USER))
    kind: Mapped[Literal["copy", "correction", "erasure", "other"]] = mapped_column(Text)
    message: Mapped[str] = mapped_column(Text)
    asked_by: Mapped[UUID]
    created_at: Mapped[datetime] = mapped_column(INSTANT)
    due_on: Mapped[date] = mapped_column(Date)
    answered_at: Mapped[datetime | None] = mapped_column(INSTANT)
    answered_by: Mapped[UUID | None]
    outcome: Mapped[Literal["fulfilled", "refused"] | None] = mapped_column(Text)
    answer: Mapped[str | None] = mapped_column(Text)


class CpfDispute(Base):
    """Two people who both proved one CPF: a case for an operator. The CPF is not moved while it is open."""

    __tablename__ = "cpf_disputes"
    __table_args__ = (
        UniqueConstraint("holder_id", "claimant_id", name="uq_cpf_disputes_holder_id_claimant_id"),
        Index("ix_cpf_disputes_claimant_id", "claimant_id"),
        CheckConstraint("(closed_at IS NULL) = (outcome IS NULL)", name="closed"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    holder_id: Mapped[UUID] = mapped_column(ForeignKey(_USER))
    claimant_id: Mapped[UUID] = mapped_column(ForeignKey(_USER))
    proven_by: Mapped[str] = mapped_column(Text)
    """The kind of the claimant's proof; the holder's own row has theirs."""
    created_at: Mapped[datetime] = mapped_column(INSTANT)
    closed_at: Mapped[datetime | None] = mapped_column(INSTANT)
    outcome: Mapped[str | None] = mapped_column(Text)
    """`moved`: the CPF went to the claimant; `kept`: it stayed where it was."""
