"""assistant: conversations, knowledge with its versions, unanswered questions, tickets, and the operator's claims."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TIMESTAMP

revision = "0011"
down_revision = "0010"

CLAIMS = ("assistant:read", "assistant:write")


def _at(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, TIMESTAMP(timezone=True), nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "chatbot_states",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("intent", sa.Text()),
        sa.Column("step", sa.Text()),
        sa.Column("context", JSONB(), nullable=False),
        _at("updated_at"),
        sa.PrimaryKeyConstraint("user_id", name="pk_chatbot_states"),
        sa.CheckConstraint("(intent IS NULL) = (step IS NULL)", name="step"),
    )
    op.create_index(
        "ix_chatbot_states_updated_at",
        "chatbot_states",
        ["updated_at"],
        postgresql_where=sa.text("intent IS NOT NULL"),
    )
    _create_knowledge()
    op.create_table(
        "chatbot_unanswered",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("nearest", ARRAY(sa.Text()), nullable=False),
        _at("asked_at"),
        sa.PrimaryKeyConstraint("id", name="pk_chatbot_unanswered"),
    )
    _create_tickets()
    _give_claims()


def _create_knowledge() -> None:
    op.create_table(
        "chatbot_topics",
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("action", sa.Text()),
        sa.Column("phrases", ARRAY(sa.Text()), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("from_package", sa.Boolean(), nullable=False),
        _at("updated_at"),
        sa.PrimaryKeyConstraint("slug", name="pk_chatbot_topics"),
        sa.CheckConstraint("slug ~ '^[a-z0-9_-]{1,64}$'", name="slug"),
        sa.CheckConstraint("kind IN ('faq', 'intent', 'outside')", name="kind"),
    )
    op.create_table(
        "chatbot_topic_versions",
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("action", sa.Text()),
        sa.Column("phrases", ARRAY(sa.Text()), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("author_id", sa.Uuid()),
        _at("created_at"),
        sa.PrimaryKeyConstraint("slug", "version", name="pk_chatbot_topic_versions"),
        sa.ForeignKeyConstraint(["slug"], ["chatbot_topics.slug"], name="fk_chatbot_topic_versions_slug"),
    )
    op.create_table(
        "chatbot_knowledge",
        sa.Column("only_row", sa.Boolean(), nullable=False),
        sa.Column("package_version", sa.Integer(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("only_row", name="pk_chatbot_knowledge"),
        sa.CheckConstraint("only_row", name="only_row"),
    )
    op.execute("INSERT INTO chatbot_knowledge (only_row, package_version, version) VALUES (true, 0, 0)")


def _create_tickets() -> None:
    op.create_table(
        "chatbot_tickets",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.BigInteger(), sa.Identity(start=1001), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text()),
        sa.Column("answered_by", sa.Uuid()),
        _at("created_at"),
        _at("answered_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_chatbot_tickets"),
        sa.UniqueConstraint("number", name="uq_chatbot_tickets_number"),
        sa.CheckConstraint("(answer IS NULL) = (answered_at IS NULL)", name="answered"),
    )
    op.create_index("ix_chatbot_tickets_user_id_id", "chatbot_tickets", ["user_id", "id"])
    op.create_index(
        "uq_chatbot_tickets_open_of_user",
        "chatbot_tickets",
        ["user_id"],
        unique=True,
        postgresql_where=sa.text("answer IS NULL"),
    )


def _give_claims() -> None:
    for claim in CLAIMS:
        op.execute(f"INSERT INTO claims (description) VALUES ('{claim}') ON CONFLICT DO NOTHING")  # noqa: S608 - a constant
    op.execute("""
        INSERT INTO role_claims (role_id, claim_id)
        SELECT roles.id, claims.id FROM roles CROSS JOIN claims
        WHERE roles.description = 'administrador' AND claims.description LIKE 'assistant:%'
        ON CONFLICT DO NOTHING
    """)
