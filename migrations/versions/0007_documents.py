"""documents: a person's papers, and the wrapped keys of their sealed files."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "documents",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("document_type", sa.Text(), nullable=False),
        sa.Column("document_number", sa.Text(), nullable=False),
        sa.Column("file_name", sa.Text()),
        sa.Column("expires_on", sa.Date()),
        sa.Column("reminded_days", sa.SmallInteger()),
        sa.Column("version", sa.Integer(), server_default="0", nullable=False),
        sa.Column("uploaded_at", TIMESTAMP(timezone=True), nullable=False),
        sa.Column("updated_at", TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_documents"),
    )
    op.create_index("ix_documents_user_id_id", "documents", ["user_id", "id"])
    op.create_index(
        "ix_documents_expires_on", "documents", ["expires_on"], postgresql_where=sa.text("expires_on IS NOT NULL")
    )
    op.create_table(
        "document_versions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("document_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("file_name", sa.Text(), nullable=False),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("segments", sa.Integer(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("wrapped_key", sa.LargeBinary(), nullable=False),
        sa.Column("uploaded_at", TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_document_versions"),
        sa.ForeignKeyConstraint(
            ["document_id"], ["documents.id"], name="fk_document_versions_document_id", ondelete="CASCADE"
        ),
        sa.UniqueConstraint("document_id", "number", name="uq_document_versions_document_id_number"),
        sa.CheckConstraint("size > 0 AND segments > 0", name="size"),
    )
    op.create_index("ix_document_versions_key_id", "document_versions", ["key_id"])
