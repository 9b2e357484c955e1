"""identity: who writes down what a person asks about their data.

No table changes; whoever has one of the roles gets the claim at once.

Former release: it asks nobody for this claim.
"""

from alembic import op

revision = "0063"
down_revision = "0062"


def upgrade() -> None:
    op.execute("SELECT identity_seed_claim('data_requests:write', 'administrador', 'atendente')")
