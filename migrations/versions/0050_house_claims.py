"""identity: who sees the settings in force and the jobs that were given up, and who has those done again.

No table changes; whoever has one of the roles gets the claims at once.

Former release: it asks nobody for these claims.
"""

from alembic import op

revision = "0050"
down_revision = "0049"


def upgrade() -> None:
    op.execute("SELECT identity_seed_claim('house:read', 'administrador', 'auditor')")
    op.execute("SELECT identity_seed_claim('house:write', 'administrador')")
