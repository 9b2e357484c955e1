"""kit, benefits: answers under idempotency keys lose their texts, and old declined decisions may go.

Constant defaults write no row: what is there counts as money's. The trigger that refused every change of a decision
gives way to two, in one transaction: one refuses changes and TRUNCATE as before, one lets old declined rows go.
"""

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"


def upgrade() -> None:
    op.add_column("idempotency_keys", sa.Column("money", sa.Boolean(), server_default=sa.true(), nullable=False))
    op.add_column("idempotency_keys", sa.Column("reduced", sa.Boolean(), server_default=sa.false(), nullable=False))
    for statement in (KEEP_DECISIONS, *TRIGGERS):
        op.execute(statement)


KEEP_DECISIONS = """
CREATE FUNCTION benefits_keep_decisions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.code <> '00' AND OLD.created_at < now() - interval '5 years' THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'DELETE on % refused: the ledger is append-only', TG_TABLE_NAME USING ERRCODE = 'CA002';
END $$
"""

TRIGGERS = (
    "DROP TRIGGER append_only ON benefits_decisions",
    """CREATE TRIGGER append_only BEFORE UPDATE OR TRUNCATE ON benefits_decisions
       FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse()""",
    """CREATE TRIGGER keep_decisions BEFORE DELETE ON benefits_decisions
       FOR EACH ROW EXECUTE FUNCTION benefits_keep_decisions()""",
)
