"""transit: cards, the taps that validators record, and the operator's accounts that fares move through."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0006"
down_revision = "0005"

# `ledger.system_account` of each kind, written out: a migration never changes with the code.
SYSTEM_ACCOUNTS = {
    "transit.top_up": "0645ed6f-ecc4-5d40-8e94-159470306f36",
    "transit.fare_box": "dcec73af-f81c-5126-8419-21b63caf8ee3",
    "transit.receivable": "e13b6cd7-fcf0-539c-8896-def7bd8882a5",
}


def upgrade() -> None:
    _create_cards()
    _create_blocks()
    _create_taps()
    accounts = sa.table(
        "ledger_accounts",
        sa.column("id", sa.Uuid()),
        sa.column("kind", sa.Text()),
        sa.column("is_system", sa.Boolean()),
        sa.column("may_go_negative", sa.Boolean()),
    )
    op.bulk_insert(
        accounts,
        [
            {"id": account_id, "kind": kind, "is_system": True, "may_go_negative": True}
            for kind, account_id in SYSTEM_ACCOUNTS.items()
        ],
    )


def _create_cards() -> None:
    op.create_table(
        "transport_cards",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid()),
        sa.Column("card_number", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("is_first", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("created_at", TIMESTAMP(timezone=True), nullable=False),
        sa.Column("cancelled_at", TIMESTAMP(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_transport_cards"),
        sa.UniqueConstraint("card_number", name="uq_transport_cards_card_number"),
        sa.CheckConstraint("card_number ~ '^[0-9]{16}$'", name="card_number"),
        sa.CheckConstraint("status IN ('active', 'blocked', 'cancelled')", name="status"),
        sa.CheckConstraint("(status = 'cancelled') = (cancelled_at IS NOT NULL)", name="cancelled"),
    )
    op.create_index("ix_transport_cards_user_id", "transport_cards", ["user_id"])
    op.create_index(
        "uq_transport_cards_first_of_user",
        "transport_cards",
        ["user_id"],
        unique=True,
        postgresql_where=sa.text("is_first"),
    )


def _create_blocks() -> None:
    op.create_table(
        "transit_card_blocks",
        sa.Column("card_id", sa.Uuid(), nullable=False),
        sa.Column("blocked_at", TIMESTAMP(timezone=True), nullable=False),
        sa.Column("unblocked_at", TIMESTAMP(timezone=True)),
        sa.PrimaryKeyConstraint("card_id", "blocked_at", name="pk_transit_card_blocks"),
        sa.ForeignKeyConstraint(["card_id"], ["transport_cards.id"], name="fk_transit_card_blocks_card_id"),
    )


def _create_taps() -> None:
    op.create_table(
        "transit_taps",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tap_id", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("client_id", sa.Uuid(), nullable=False),
        sa.Column("card_id", sa.Uuid()),
        sa.Column("user_id", sa.Uuid()),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("tapped_at", TIMESTAMP(timezone=True), nullable=False),
        sa.Column("line", sa.Text()),
        sa.Column("vehicle", sa.Text()),
        sa.Column("result", sa.Text()),
        sa.Column("reason", sa.Text()),
        sa.Column("paid", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("owed", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("outstanding", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("entry_id", sa.Uuid()),
        sa.Column("received_at", TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_transit_taps"),
        sa.UniqueConstraint("tap_id", name="uq_transit_taps_tap_id"),
        sa.ForeignKeyConstraint(["card_id"], ["transport_cards.id"], name="fk_transit_taps_card_id"),
        sa.CheckConstraint("amount > 0", name="amount"),
        sa.CheckConstraint("result IN ('debited', 'owed', 'denied')", name="result"),
        sa.CheckConstraint(
            "CASE WHEN result = 'denied' THEN paid = 0 AND owed = 0 AND reason IS NOT NULL"
            " WHEN result IS NULL THEN paid = 0 AND owed = 0 ELSE paid + owed = amount END",
            name="fare",
        ),
        sa.CheckConstraint("paid >= 0 AND owed >= 0 AND outstanding BETWEEN 0 AND owed", name="outstanding"),
    )
    op.create_index("ix_transit_taps_card_id", "transit_taps", ["card_id"])
    op.create_index(
        "ix_transit_taps_user_id",
        "transit_taps",
        ["user_id", "tapped_at", "id"],
        postgresql_where=sa.text("outstanding > 0"),
    )
