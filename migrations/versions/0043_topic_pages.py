"""assistant: a topic names the wallet's page that it sends somebody to."""

from alembic import op

revision = "0043"
down_revision = "0042"


def upgrade() -> None:
    for table in ("chatbot_topics", "chatbot_topic_versions"):
        op.execute(f"ALTER TABLE {table} ADD COLUMN page text")
