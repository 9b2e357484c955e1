"""audit: a hash chain over its rows, and a way for what is older than five years to go by whole blocks.

The one trigger that refused every change gives way to two, in one transaction: changes and TRUNCATE are refused as
before, a row may be deleted once it is five years old.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0028"
down_revision = "0027"


def upgrade() -> None:
    op.create_table(
        "audit_chain",
        sa.Column("height", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("last_xid", sa.BigInteger(), nullable=False),
        sa.Column("last_id", sa.Uuid(), nullable=False),
        sa.Column("newest_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("seals", sa.LargeBinary(), nullable=True),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column(
            "sealed_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("height", name=op.f("pk_audit_chain")),
    )
    op.create_table(
        "audit_checks",
        sa.Column("only_row", sa.Boolean(), nullable=False),
        sa.Column("checked_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("findings", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("only_row", name=op.f("ck_audit_checks_only_row")),
        sa.PrimaryKeyConstraint("only_row", name=op.f("pk_audit_checks")),
    )
    for statement in (KEEP, FORGET, *TRIGGERS, LOOKS_BEFORE, CLAIM):
        op.execute(statement)


KEEP = """
CREATE FUNCTION audit_keep() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    lasts_until CONSTANT timestamptz := now() - interval '5 years';
BEGIN
    IF TG_TABLE_NAME = 'audit_log' THEN
        IF OLD.created_at < lasts_until THEN
            RETURN OLD;
        END IF;
    ELSIF OLD.newest_at < lasts_until THEN
        IF TG_OP = 'DELETE' THEN
            IF OLD.seals IS NULL THEN
                RETURN OLD;
            END IF;
        ELSIF NEW.seals IS NULL AND to_jsonb(NEW) - 'seals' = to_jsonb(OLD) - 'seals' THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION '% on % refused: the audit is append-only', TG_OP, TG_TABLE_NAME USING ERRCODE = 'CA101';
END $$
"""

FORGET = """
CREATE FUNCTION audit_forget(before timestamptz) RETURNS bigint LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    block audit_chain;
    gone bigint;
BEGIN
    IF before > now() - interval '5 years' THEN
        RAISE EXCEPTION 'the audit is kept for five years' USING ERRCODE = 'CA103';
    END IF;
    SELECT * INTO block FROM audit_chain WHERE seals IS NOT NULL ORDER BY height LIMIT 1 FOR UPDATE;
    IF NOT FOUND OR block.newest_at >= before THEN
        RETURN 0;
    END IF;
    DELETE FROM audit_log WHERE id IN (
        SELECT encode(substr(block.seals, 1 + 32 * place, 16), 'hex')::uuid
        FROM generate_series(0, length(block.seals) / 32 - 1) AS place);
    GET DIAGNOSTICS gone = ROW_COUNT;
    UPDATE audit_chain SET seals = NULL WHERE height = block.height;
    DELETE FROM audit_chain WHERE height < block.height;
    RETURN gone;
END $$
"""

TRIGGERS = (
    "DROP TRIGGER append_only ON audit_log",
    """CREATE TRIGGER append_only BEFORE UPDATE OR TRUNCATE ON audit_log
       FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()""",
    "CREATE TRIGGER keep BEFORE DELETE ON audit_log FOR EACH ROW EXECUTE FUNCTION audit_keep()",
    """CREATE TRIGGER append_only BEFORE TRUNCATE ON audit_chain
       FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()""",
    "CREATE TRIGGER keep BEFORE UPDATE OR DELETE ON audit_chain FOR EACH ROW EXECUTE FUNCTION audit_keep()",
)

# Who read base A before is in the same stream; ids are made of the instant and of the row's number in credit's own log,
# which stays. A person is known by the beginning of the keyed hash of their CPF.
LOOKS_BEFORE = """
    INSERT INTO audit_log (id, actor_kind, actor_id, subject_id, action, details, created_at, request_id, look)
    SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(digest, 1, 3)
                || '8' || substr(digest, 4, 15))::uuid,
           'person', who, encode(substr(person, 1, 16), 'hex')::uuid, 'credit_' || what || '_read',
           jsonb_build_object('purpose', purpose), at, nullif(request_id, ''), true
    FROM credit_accesses, md5('credit_accesses' || seq) AS digest
    WHERE purpose <> 'data_subject'
    ON CONFLICT (id) DO NOTHING
"""

CLAIM = "SELECT identity_seed_claim('audit:read', 'administrador', 'auditor')"
