"""identity: a CPF is proven, and how; two who both prove one are a case. A reseller lives on without a CPF."""

from uuid import UUID, uuid5

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

SYSTEM_NAMESPACE = UUID("5b1d7c52-94f3-5c55-9a44-1d9f1f0c3a11")

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    # What stands was typed by somebody: nobody's CPF is proven by having been here before.
    op.add_column("users", sa.Column("cpf_proven_at", TIMESTAMP(timezone=True)))
    op.add_column("users", sa.Column("cpf_proven_by", sa.Text()))
    op.add_column("users", sa.Column("cpf_moved_at", TIMESTAMP(timezone=True)))
    op.execute("""
        ALTER TABLE users ADD CONSTRAINT ck_users_cpf_proven
        CHECK (cpf_proven_at IS NULL OR cpf IS NOT NULL AND cpf_proven_by IS NOT NULL) NOT VALID
    """)
    op.execute("ALTER TABLE users VALIDATE CONSTRAINT ck_users_cpf_proven")
    op.execute("""
        CREATE FUNCTION users_proof_of_cpf() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NEW.cpf IS DISTINCT FROM OLD.cpf AND NEW.cpf_proven_at IS NOT DISTINCT FROM OLD.cpf_proven_at THEN
                NEW.cpf_proven_at := NULL;
                NEW.cpf_proven_by := NULL;
            END IF;
            RETURN NEW;
        END $$
    """)
    op.execute("""
        CREATE TRIGGER proof_of_cpf BEFORE UPDATE OF cpf ON users
        FOR EACH ROW EXECUTE FUNCTION users_proof_of_cpf()
    """)
    _create_disputes()
    op.execute("INSERT INTO claims (description) VALUES ('identity:prove') ON CONFLICT DO NOTHING")
    op.execute("""
        INSERT INTO role_claims (role_id, claim_id)
        SELECT roles.id, claims.id FROM roles CROSS JOIN claims
        WHERE roles.description = 'administrador' AND claims.description = 'identity:prove'
        ON CONFLICT DO NOTHING
    """)
    # A reseller whose CPF is proven to be another person's keeps user, purchases and cashback.
    op.execute("ALTER TABLE resellers DROP CONSTRAINT ck_resellers_person")
    op.execute("""
        ALTER TABLE resellers ADD CONSTRAINT ck_resellers_person
        CHECK (user_id IS NOT NULL OR cpf IS NULL) NOT VALID
    """)
    op.execute("ALTER TABLE resellers VALIDATE CONSTRAINT ck_resellers_person")
    # The automatic approval that migration 0008 wrote is demo data: `carteira run` seeds it. What an operator
    # configured has another id, or says until when: it stays.
    op.execute(f"""
        DELETE FROM resellers_auto_approvals
        WHERE id = '{uuid5(SYSTEM_NAMESPACE, "resellers.auto_approval")}' AND cpf = '15350946056'
          AND valid_from = '2000-01-01' AND valid_until IS NULL
    """)  # noqa: S608 - a constant


def _create_disputes() -> None:
    op.create_table(
        "cpf_disputes",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("holder_id", sa.Uuid(), nullable=False),
        sa.Column("claimant_id", sa.Uuid(), nullable=False),
        sa.Column("proven_by", sa.Text(), nullable=False),
        sa.Column("created_at", TIMESTAMP(timezone=True), nullable=False),
        sa.Column("closed_at", TIMESTAMP(timezone=True)),
        sa.Column("outcome", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_cpf_disputes"),
        sa.UniqueConstraint("holder_id", "claimant_id", name="uq_cpf_disputes_holder_id_claimant_id"),
        sa.ForeignKeyConstraint(["holder_id"], ["users.id"], name="fk_cpf_disputes_holder_id"),
        sa.ForeignKeyConstraint(["claimant_id"], ["users.id"], name="fk_cpf_disputes_claimant_id"),
        sa.CheckConstraint("(closed_at IS NULL) = (outcome IS NULL)", name="closed"),
    )
    op.create_index("ix_cpf_disputes_claimant_id", "cpf_disputes", ["claimant_id"])
