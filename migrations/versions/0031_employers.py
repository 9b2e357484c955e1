"""benefits: employers, whom each account belongs to, and who is bound to them.

The accounts of today belong to a first employer. The column comes with a constant default, which rewrites nothing and
which servers of the release before go on by. The foreign key is added unchecked: the next migration, without this one's
locks, checks it and makes the index.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0031"
down_revision = "0030"

FIRST = "01980000-0000-7000-8000-0000000000e1"
CLAIM = "employers:write"


def upgrade() -> None:
    op.create_table(
        "benefits_employers",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("cnpj", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("prefunded", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("created_at", TIMESTAMP(timezone=True), nullable=False),
        sa.CheckConstraint("cnpj ~ '^[0-9A-Z]{12}[0-9]{2}$'", name=op.f("ck_benefits_employers_cnpj")),
        sa.PrimaryKeyConstraint("id", name="pk_benefits_employers"),
        sa.UniqueConstraint("cnpj", name="uq_benefits_employers_cnpj"),
    )
    op.create_table(
        "benefits_employer_members",
        sa.Column("employer_id", sa.Uuid(), nullable=False),
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("member_kind", sa.Text(), nullable=False),
        sa.Column("bound_at", TIMESTAMP(timezone=True), nullable=False),
        sa.Column("bound_by", sa.Uuid(), nullable=False),
        sa.Column("ended_at", TIMESTAMP(timezone=True), nullable=True),
        sa.CheckConstraint(
            "member_kind IN ('person', 'client')", name=op.f("ck_benefits_employer_members_member_kind")
        ),
        sa.PrimaryKeyConstraint("employer_id", "member_id", name="pk_benefits_employer_members"),
        sa.ForeignKeyConstraint(
            ["employer_id"], ["benefits_employers.id"], name="fk_benefits_employer_members_employer_id"
        ),
    )
    op.create_index("ix_benefits_employer_members_member_id", "benefits_employer_members", ["member_id"])
    op.execute(f"""
        INSERT INTO benefits_employers (id, name, created_at) VALUES ('{FIRST}', 'Primeira empresa', now())
    """)  # noqa: S608 - a constant of this file
    op.execute(f"""
        ALTER TABLE benefits_accounts ADD COLUMN employer_id uuid NOT NULL DEFAULT '{FIRST}',
        ADD CONSTRAINT fk_benefits_accounts_employer_id
            FOREIGN KEY (employer_id) REFERENCES benefits_employers (id) NOT VALID
    """)
    op.execute(f"SELECT identity_seed_claim('{CLAIM}', 'administrador')")
