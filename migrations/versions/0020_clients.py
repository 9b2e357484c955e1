"""identity: clients (machines) with claims, credentials and the assertions that they used up.

All tables are new: nothing is locked. The claims come to the role "administrador", and to who holds it, as those of the
releases before did.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TIMESTAMP

revision = "0020"
down_revision = "0019"

CLAIMS = ("clients:read", "clients:write")


def _at(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, TIMESTAMP(timezone=True), nullable=nullable)


def _of_client(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["client_id"], ["clients.id"], name=f"fk_{table}_client_id")


def upgrade() -> None:
    op.create_table(
        "clients",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("networks", ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        _at("created_at"),
        sa.Column("created_by", sa.Uuid(), nullable=False),
        _at("expires_at", nullable=True),
        _at("revoked_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_clients"),
    )
    op.create_table(
        "client_credentials",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("client_id", sa.Uuid(), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=True),
        sa.Column("public_key", JSONB(none_as_null=True), nullable=True),
        _at("created_at"),
        sa.Column("created_by", sa.Uuid(), nullable=False),
        _at("expires_at", nullable=True),
        _at("revoked_at", nullable=True),
        _at("used_at", nullable=True),
        sa.CheckConstraint("num_nonnulls(secret_hash, public_key) = 1", name=op.f("ck_client_credentials_one_kind")),
        sa.PrimaryKeyConstraint("id", name="pk_client_credentials"),
        _of_client("client_credentials"),
    )
    op.create_index("ix_client_credentials_client_id", "client_credentials", ["client_id"])
    op.create_table(
        "client_claims",
        sa.Column("client_id", sa.Uuid(), nullable=False),
        sa.Column("claim_id", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("client_id", "claim_id", name="pk_client_claims"),
        _of_client("client_claims"),
        sa.ForeignKeyConstraint(["claim_id"], ["claims.id"], name="fk_client_claims_claim_id"),
    )
    op.create_table(
        "client_assertions",
        sa.Column("client_id", sa.Uuid(), nullable=False),
        sa.Column("jti_hash", sa.LargeBinary(), nullable=False),
        _at("expires_at"),
        sa.PrimaryKeyConstraint("client_id", "jti_hash", name="pk_client_assertions"),
        _of_client("client_assertions"),
    )
    op.create_index("ix_client_assertions_expires_at", "client_assertions", ["expires_at"])
    _seed()


def _seed() -> None:
    """Seed the claims; where an operator has made one of that name already, theirs it is."""
    names = ", ".join(f"('{claim}')" for claim in CLAIMS)
    known = ", ".join(f"'{claim}'" for claim in CLAIMS)
    op.execute(f"INSERT INTO claims (description) VALUES {names} ON CONFLICT (description) DO NOTHING")  # noqa: S608 - constants of this file
    op.execute(f"""
        INSERT INTO role_claims (role_id, claim_id)
        SELECT roles.id, claims.id FROM roles CROSS JOIN claims
        WHERE roles.description = 'administrador' AND claims.description IN ({known})
        ON CONFLICT DO NOTHING
    """)  # noqa: S608 - constants of this file
    op.execute(f"""
        INSERT INTO user_claims (user_id, claim_id, from_role)
        SELECT users.id, claims.id, true FROM users
        JOIN roles ON roles.id = users.role_id AND roles.description = 'administrador'
        CROSS JOIN claims WHERE claims.description IN ({known}) AND users.erased_at IS NULL
        ON CONFLICT DO NOTHING
    """)  # noqa: S608 - constants of this file
