"""identity: people, roles, claims, sessions, second factors, recovery, consents, and the append-only audit."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

revision = "0005"
down_revision = "0004"

CLAIMS = (
    "users:read",
    "users:write",
    "users:export",
    "users:cpf",
    "ledger:read",
    "ledger:write",
    "benefits:read",
    "benefits:write",
    "purchases:read",
    "purchases:write",
    "purchases:approve",
    "credit:a:read",
    "credit:a:write",
    "credit:b:read",
    "credit:b:write",
    "credit:c:read",
    "credit:c:write",
    "credit:audit",
    "reseller",
)


def _at(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, TIMESTAMP(timezone=True), nullable=nullable)


def _user(*, nullable: bool = False) -> sa.Column[object]:
    return sa.Column("user_id", sa.Uuid(), nullable=nullable)


def _of_user(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=f"fk_{table}_user_id")


def upgrade() -> None:
    op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    _create_roles()
    _create_users()
    _create_sessions()
    _create_factors()
    _create_recoveries()
    _create_records()
    _seed()


def _create_roles() -> None:
    op.create_table(
        "roles",
        sa.Column("id", sa.Integer(), sa.Identity(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_roles"),
        sa.UniqueConstraint("description", name="uq_roles_description"),
    )
    op.create_table(
        "claims",
        sa.Column("id", sa.Integer(), sa.Identity(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_claims"),
        sa.UniqueConstraint("description", name="uq_claims_description"),
    )
    op.create_table(
        "role_claims",
        sa.Column("role_id", sa.Integer(), nullable=False),
        sa.Column("claim_id", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("role_id", "claim_id", name="pk_role_claims"),
        sa.ForeignKeyConstraint(["role_id"], ["roles.id"], name="fk_role_claims_role_id"),
        sa.ForeignKeyConstraint(["claim_id"], ["claims.id"], name="fk_role_claims_claim_id"),
    )


def _create_users() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("full_name", sa.Text()),
        sa.Column("email", sa.Text()),
        _at("email_confirmed_at", nullable=True),
        sa.Column("cpf", sa.Text()),
        sa.Column("birth_date", sa.Date()),
        sa.Column("phone", sa.Text()),
        sa.Column("password_hash", sa.Text()),
        sa.Column("must_change_password", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        _at("password_expires_at", nullable=True),
        sa.Column("role_id", sa.Integer(), nullable=False),
        sa.Column("search_text", sa.Text(), server_default="", nullable=False),
        _at("created_at"),
        _at("updated_at"),
        _at("erased_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("cpf", name="uq_users_cpf"),
        sa.ForeignKeyConstraint(["role_id"], ["roles.id"], name="fk_users_role_id"),
        sa.CheckConstraint(
            "erased_at IS NOT NULL OR (full_name IS NOT NULL AND email IS NOT NULL)", name=op.f("ck_users_named")
        ),
        sa.CheckConstraint(
            "erased_at IS NULL OR coalesce(full_name, email, cpf, phone, password_hash, birth_date::text) IS NULL",
            name=op.f("ck_users_erased"),
        ),
    )
    op.create_index("uq_users_email", "users", [sa.func.lower(sa.text("email"))], unique=True)
    op.create_index(
        "ix_users_search_text",
        "users",
        ["search_text"],
        postgresql_using="gin",
        postgresql_ops={"search_text": "gin_trgm_ops"},
    )
    op.create_table(
        "user_claims",
        _user(),
        sa.Column("claim_id", sa.Integer(), nullable=False),
        sa.Column("from_role", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "claim_id", name="pk_user_claims"),
        _of_user("user_claims"),
        sa.ForeignKeyConstraint(["claim_id"], ["claims.id"], name="fk_user_claims_claim_id"),
    )


def _create_sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("id", sa.Uuid(), nullable=False),
        _user(),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("methods", sa.Text(), nullable=False),
        _at("created_at"),
        _at("seen_at"),
        _at("expires_at"),
        _at("revoked_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_sessions"),
        _of_user("sessions"),
    )
    op.create_index("ix_sessions_user_id", "sessions", ["user_id"])
    op.create_table(
        "refresh_tokens",
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        _at("created_at"),
        _at("expires_at"),
        _at("used_at", nullable=True),
        sa.PrimaryKeyConstraint("token_hash", name="pk_refresh_tokens"),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name="fk_refresh_tokens_session_id", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_refresh_tokens_session_id", "refresh_tokens", ["session_id"])
    op.create_table(
        "known_devices",
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        _user(),
        _at("created_at"),
        _at("seen_at"),
        sa.PrimaryKeyConstraint("token_hash", name="pk_known_devices"),
        _of_user("known_devices"),
    )
    op.create_index("ix_known_devices_user_id", "known_devices", ["user_id"])


def _create_factors() -> None:
    op.create_table(
        "totp",
        _user(),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("last_step", sa.BigInteger(), server_default="0", nullable=False),
        _at("created_at"),
        _at("confirmed_at", nullable=True),
        sa.PrimaryKeyConstraint("user_id", name="pk_totp"),
        _of_user("totp"),
    )
    op.create_table(
        "recovery_codes",
        _user(),
        sa.Column("code_hash", sa.LargeBinary(), nullable=False),
        _at("used_at", nullable=True),
        sa.PrimaryKeyConstraint("user_id", "code_hash", name="pk_recovery_codes"),
        _of_user("recovery_codes"),
    )
    op.create_table(
        "mfa_challenges",
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        _user(),
        sa.Column("genuine", sa.Boolean(), nullable=False),
        sa.Column("tries", sa.SmallInteger(), server_default="0", nullable=False),
        _at("expires_at"),
        _at("used_at", nullable=True),
        sa.PrimaryKeyConstraint("token_hash", name="pk_mfa_challenges"),
        _of_user("mfa_challenges"),
    )
    op.create_index("ix_mfa_challenges_expires_at", "mfa_challenges", ["expires_at"])


def _create_recoveries() -> None:
    op.create_table(
        "password_recoveries",
        sa.Column("id", sa.Uuid(), nullable=False),
        _user(nullable=True),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("code_hash", sa.LargeBinary()),
        sa.Column("tries", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("reset_hash", sa.LargeBinary()),
        _at("created_at"),
        _at("expires_at"),
        _at("used_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_password_recoveries"),
        sa.UniqueConstraint("reset_hash", name="uq_password_recoveries_reset_hash"),
        _of_user("password_recoveries"),
    )
    for column in ("user_id", "created_at"):
        op.create_index(f"ix_password_recoveries_{column}", "password_recoveries", [column])


def _create_records() -> None:
    op.create_table(
        "consents",
        sa.Column("id", sa.Uuid(), nullable=False),
        _user(),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("granted", sa.Boolean(), nullable=False),
        _at("created_at"),
        sa.PrimaryKeyConstraint("id", name="pk_consents"),
        _of_user("consents"),
    )
    op.create_index("ix_consents_user_id", "consents", ["user_id"])
    op.create_table(
        "audit_log",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("actor_id", sa.Uuid()),
        sa.Column("subject_id", sa.Uuid()),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("details", JSONB(), server_default=sa.text("'{}'"), nullable=False),
        _at("created_at"),
        sa.PrimaryKeyConstraint("id", name="pk_audit_log"),
    )
    op.create_index("ix_audit_log_subject_id_id", "audit_log", ["subject_id", "id"])
    op.create_index("ix_audit_log_action_id", "audit_log", ["action", "id"])
    op.execute("""
        CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION '% on % refused: the audit is append-only', TG_OP, TG_TABLE_NAME USING ERRCODE = 'CA101';
        END $$
    """)
    op.execute("""
        CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
        FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()
    """)


def _seed() -> None:
    roles = sa.table("roles", sa.column("description", sa.Text()))
    claims = sa.table("claims", sa.column("description", sa.Text()))
    op.bulk_insert(roles, [{"description": "cidadão"}, {"description": "administrador"}])
    op.bulk_insert(claims, [{"description": claim} for claim in CLAIMS])
    op.execute("""
        INSERT INTO role_claims (role_id, claim_id)
        SELECT roles.id, claims.id FROM roles CROSS JOIN claims
        WHERE roles.description = 'administrador' AND claims.description <> 'reseller'
    """)
