"""credit: models of the score as versions, and which of them was chosen when.

Both tables are new; until somebody chooses, the card that comes with the release scores, as before.

Former release: it knows neither table, and scores by the card that comes with it.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0056"
down_revision = "0055"

INSTANT = postgresql.TIMESTAMP(timezone=True)


def upgrade() -> None:
    op.create_table(
        "credit_models",
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("card", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("people", sa.Integer(), nullable=True),
        sa.Column("figures", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("outcomes_from", sa.Date(), nullable=True),
        sa.Column("outcomes_until", sa.Date(), nullable=True),
        sa.Column("made_by_kind", sa.Text(), nullable=False),
        sa.Column("made_by", sa.Text(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.CheckConstraint("octet_length(digest) = 32", name=op.f("ck_credit_models_digest")),
        sa.CheckConstraint("origin IN ('outcomes', 'synthetic', 'shipped')", name=op.f("ck_credit_models_origin")),
        sa.CheckConstraint("(origin = 'shipped') = (figures IS NULL)", name=op.f("ck_credit_models_figures")),
        sa.CheckConstraint("(people IS NULL) = (figures IS NULL)", name=op.f("ck_credit_models_people")),
        sa.CheckConstraint("outcomes_from <= outcomes_until", name=op.f("ck_credit_models_outcomes")),
        sa.PrimaryKeyConstraint("version", name="pk_credit_models"),
    )
    op.create_table(
        "credit_model_choices",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("chosen_by_kind", sa.Text(), nullable=False),
        sa.Column("chosen_by", sa.Text(), nullable=False),
        sa.Column("approved_by", sa.Uuid(), nullable=True),
        sa.Column("at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(["version"], ["credit_models.version"], name="fk_credit_model_choices_version"),
        sa.PrimaryKeyConstraint("seq", name="pk_credit_model_choices"),
    )
    op.execute("""
        CREATE FUNCTION credit_keep_models() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION '% on % refused: models and their choices are append-only', TG_OP, TG_TABLE_NAME
                USING ERRCODE = 'CA010';
        END $$
    """)
    for table in ("credit_models", "credit_model_choices"):
        op.execute(f"""
            CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}
            FOR EACH STATEMENT EXECUTE FUNCTION credit_keep_models()
        """)
    op.execute("SELECT identity_seed_claim('credit:models:read', 'administrador', 'analista de crédito', 'auditor')")
    op.execute("SELECT identity_seed_claim('credit:models:write', 'administrador', 'analista de crédito')")
