"""identity: lists of the console are downloaded by a claim of their own.

No table changes; whoever has one of the roles gets the claim at once.

Former release: it asks nobody for this claim.
"""

from alembic import op

revision = "0047"
down_revision = "0046"


def upgrade() -> None:
    op.execute("SELECT identity_seed_claim('lists:export', 'administrador', 'RH', 'aprovador', 'auditor')")
