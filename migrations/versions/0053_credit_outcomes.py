"""identity: who records what became of people who were given credit.

No table changes; whoever has one of the roles gets the claim at once.

Former release: it asks nobody for this claim.
"""

from alembic import op

revision = "0053"
down_revision = "0052"


def upgrade() -> None:
    op.execute("SELECT identity_seed_claim('credit:outcomes:write', 'administrador', 'analista de crédito')")
