"""identity: passkeys, accounts at Google and Meta, and what waits for an answer."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0010"
down_revision = "0009"


def _at(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, TIMESTAMP(timezone=True), nullable=nullable)


def _user(*, nullable: bool = False) -> sa.Column[object]:
    return sa.Column("user_id", sa.Uuid(), nullable=nullable)


def _of_user(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=f"fk_{table}_user_id")


def upgrade() -> None:
    op.add_column("mfa_challenges", sa.Column("method", sa.Text(), server_default="password", nullable=False))
    _create_passkeys()
    _create_social()


def _create_passkeys() -> None:
    op.create_table(
        "passkeys",
        sa.Column("id", sa.Uuid(), nullable=False),
        _user(),
        sa.Column("credential_id", sa.LargeBinary(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("sign_count", sa.BigInteger(), nullable=False),
        sa.Column("backed_up", sa.Boolean(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        _at("created_at"),
        _at("used_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_passkeys"),
        sa.UniqueConstraint("credential_id", name="uq_passkeys_credential_id"),
        _of_user("passkeys"),
    )
    op.create_index("ix_passkeys_user_id", "passkeys", ["user_id"])
    op.create_table(
        "passkey_challenges",
        sa.Column("challenge_hash", sa.LargeBinary(), nullable=False),
        _user(nullable=True),
        _at("expires_at"),
        sa.PrimaryKeyConstraint("challenge_hash", name="pk_passkey_challenges"),
        _of_user("passkey_challenges"),
    )
    op.create_index("ix_passkey_challenges_expires_at", "passkey_challenges", ["expires_at"])


def _create_social() -> None:
    op.create_table(
        "social_accounts",
        sa.Column("id", sa.Uuid(), nullable=False),
        _user(),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        _at("created_at"),
        _at("used_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_social_accounts"),
        sa.UniqueConstraint("provider", "subject", name="uq_social_accounts_provider_subject"),
        _of_user("social_accounts"),
    )
    op.create_index("ix_social_accounts_user_id", "social_accounts", ["user_id"])
    op.create_table(
        "social_attempts",
        sa.Column("state_hash", sa.LargeBinary(), nullable=False),
        sa.Column("browser_hash", sa.LargeBinary(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        _at("expires_at"),
        sa.PrimaryKeyConstraint("state_hash", name="pk_social_attempts"),
    )
    op.create_index("ix_social_attempts_expires_at", "social_attempts", ["expires_at"])
    op.create_table(
        "social_registrations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("profile", sa.LargeBinary(), nullable=False),
        _at("expires_at"),
        _at("used_at", nullable=True),
        _user(nullable=True),
        sa.Column("code_hash", sa.LargeBinary()),
        _at("code_expires_at", nullable=True),
        sa.Column("tries", sa.SmallInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_social_registrations"),
        sa.UniqueConstraint("token_hash", name="uq_social_registrations_token_hash"),
        _of_user("social_registrations"),
    )
    op.create_index("ix_social_registrations_expires_at", "social_registrations", ["expires_at"])
    op.create_index("ix_social_registrations_user_id", "social_registrations", ["user_id"])
