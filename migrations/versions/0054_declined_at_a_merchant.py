"""benefits: the index of declined decisions holds the merchant and the category too.

Declined decisions lie one to a page of the table: to look through 20,000 of them for a merchant was to read all of it.
Few rows are in the index, so that purchases which pass write no more than before. Run again, it does the same.

Former release: its lists read the new index like the old one, which has the same order and condition.
"""

import sqlalchemy as sa
from alembic import op

revision = "0054"
down_revision = "0053"

_NEW, _OLD = "ix_benefits_decisions_declined_merchant", "ix_benefits_decisions_declined"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {_NEW}")
        op.create_index(
            _NEW,
            "benefits_decisions",
            ["id"],
            postgresql_include=["merchant", "category_tried"],
            postgresql_where=sa.text("code <> '00'"),
            postgresql_concurrently=True,
        )
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {_OLD}")
