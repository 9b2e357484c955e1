"""documents: what stands behind a document, its owner's word or an operator's decision.

The documents that are there are their owners' word. The columns have constant defaults, so that no row is written; the
constraint is proved without keeping anybody out. The index covers a table of rows without bytes: a million are built in
a second.
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

STATE = """
    state = 'declared' AND num_nonnulls(decided_by, decided_at, decision) = 0
    OR state IN ('reviewed', 'refused') AND num_nulls(decided_by, decided_at, decision) = 0
"""


def upgrade() -> None:
    op.add_column("documents", sa.Column("state", sa.Text(), server_default=sa.text("'declared'"), nullable=False))
    op.add_column("documents", sa.Column("decided_by", sa.Uuid(), nullable=True))
    op.add_column("documents", sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("documents", sa.Column("decision", sa.Text(), nullable=True))
    op.create_check_constraint("state", "documents", STATE, postgresql_not_valid=True)
    op.execute("ALTER TABLE documents VALIDATE CONSTRAINT ck_documents_state")
    op.create_index("ix_documents_state_id", "documents", ["state", "id"], postgresql_where=sa.text("version > 0"))
    op.execute("INSERT INTO claims (description) VALUES ('documents:review') ON CONFLICT DO NOTHING")
    op.execute("""
        INSERT INTO role_claims (role_id, claim_id)
        SELECT roles.id, claims.id FROM roles CROSS JOIN claims
        WHERE roles.description = 'administrador' AND claims.description = 'documents:review'
        ON CONFLICT DO NOTHING
    """)
