"""credit: base A's sealed records, and the chained log of who read them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "credit_records",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("person", sa.LargeBinary(), nullable=False),
        sa.Column("version", sa.Uuid(), nullable=False),
        sa.Column("wrapped_by", sa.Text(), nullable=False),
        sa.Column("data_key_id", sa.Uuid(), nullable=False),
        sa.Column("data_key", sa.LargeBinary(), nullable=False),
        sa.Column("cpf", sa.LargeBinary(), nullable=False),
        sa.Column("name", sa.LargeBinary(), nullable=False),
        sa.Column("address", sa.LargeBinary(), nullable=False),
        sa.Column("debts", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", TIMESTAMP(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_credit_records"),
        sa.UniqueConstraint("person", name="uq_credit_records_person"),
    )
    op.create_index("ix_credit_records_wrapped_by_id", "credit_records", ["wrapped_by", "id"])
    _create_accesses()


def _create_accesses() -> None:
    op.create_table(
        "credit_accesses",
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("person", sa.LargeBinary(), nullable=False),
        sa.Column("who", sa.Uuid(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("at", TIMESTAMP(timezone=True), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_credit_accesses"),
    )
    op.create_index("ix_credit_accesses_person_seq", "credit_accesses", ["person", "seq"])
    op.create_table(
        "credit_access_head",
        sa.Column("only_row", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("only_row", name="pk_credit_access_head"),
        sa.CheckConstraint("only_row", name="only_row"),
    )
    op.execute("INSERT INTO credit_access_head (seq, hash) VALUES (0, decode(repeat('00', 32), 'hex'))")
    op.execute("""
        CREATE FUNCTION credit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION '% on % refused: the access log is append-only', TG_OP, TG_TABLE_NAME
                USING ERRCODE = 'CA010';
        END $$
    """)
    op.execute("""
        CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON credit_accesses
        FOR EACH STATEMENT EXECUTE FUNCTION credit_refuse()
    """)
    op.execute("""
        CREATE FUNCTION credit_check_head() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NEW.seq <> OLD.seq + 1 THEN
                RAISE EXCEPTION 'the head of the access log goes forward by one' USING ERRCODE = 'CA010';
            END IF;
            RETURN NEW;
        END $$
    """)
    op.execute("""
        CREATE TRIGGER forward_only BEFORE UPDATE ON credit_access_head
        FOR EACH ROW EXECUTE FUNCTION credit_check_head()
    """)
    op.execute("""
        CREATE TRIGGER no_delete BEFORE DELETE OR TRUNCATE ON credit_access_head
        FOR EACH STATEMENT EXECUTE FUNCTION credit_refuse()
    """)
