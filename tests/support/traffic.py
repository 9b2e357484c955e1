"""Rows in every followed table, followers that read them, and checks of what depends on their order."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from sqlalchemy import FromClause, RowMapping, insert, select, text

from carteira import ledger
from carteira.benefits.authorizer import decisions
from carteira.benefits.authorizer.answers import Code, Reason
from carteira.benefits.authorizer.rules import Decision
from carteira.benefits.models import BenefitDecision, BenefitReturn
from carteira.kit.db import outbox
from carteira.kit.db.engine import Database
from carteira.kit.db.outbox import Event, Follower
from carteira.kit.db.session import Tx
from carteira.kit.security import audit, audit_chain
from carteira.kit.security.audit import AuditRecord
from carteira.kit.values.clock import clock
from carteira.kit.values.ids import uuid7
from carteira.ledger import chain
from carteira.ledger.models import LedgerEntry
from tests.support.horizon import pass_horizon
from tests.support.ledger import TESTER, open_wallet, purchase

Head = tuple[int, bytes]
Heads = tuple[Head, Head]
FOLLOWED: tuple[FromClause, ...] = tuple(
    table.__table__ for table in (Event, LedgerEntry, BenefitDecision, BenefitReturn, AuditRecord)
)
"""The tables with a position that are followed."""


async def write(database: Database) -> None:
    """Write into each of the tables, in one transaction each."""
    async with database.transaction() as tx:
        await outbox.emit(tx, "test.traffic", {}, {})
    async with database.transaction() as tx:
        wallet = await open_wallet(tx, 1_000)
        await audit.record(tx, "test_traffic", actor=TESTER)
    async with database.transaction() as tx:
        book = await ledger.lock(tx, [wallet])
        book.post(purchase(wallet, 300))
        await ledger.write(tx, book, actor=TESTER)
    async with database.lean_transaction() as lean:
        decision = Decision(uuid7(), None, None, "0", 300, None, None, False, Code.APPROVED, Reason.APPROVED)
        await decisions.record(lean, [decision])
    async with database.transaction() as tx:
        await tx.execute(
            insert(BenefitReturn).values(
                id=uuid4(), decision_id=decision.id, kind="refund", amount=1, created_at=clock.now()
            )
        )


async def written(database: Database) -> dict[str, set[UUID]]:
    """Return the ids of the rows in the followed tables."""
    async with database.transaction() as tx:
        return {str(table): set(await tx.scalars(select(table.c.id))) for table in FOLLOWED}


@dataclass
class FollowerLog:
    """A follower of each table, and what they have read; in a restored database they resume at their positions."""

    rows_read: defaultdict[str, list[UUID]] = field(default_factory=lambda: defaultdict(list))

    async def read_all(self, database: Database) -> None:
        """Read everything, and have both chains seal and the operator's accounts rolled up."""
        await pass_horizon(database)
        for follower in (*map(self._follower, FOLLOWED), chain.follower, audit_chain.follower):
            handled = 1
            while handled:
                async with database.transaction() as tx:
                    handled = await outbox.follow(tx, follower)
        async with database.transaction() as tx:
            await ledger.roll_up(tx)

    def _follower(self, table: FromClause) -> Follower:
        async def keep(_tx: Tx, rows: Sequence[RowMapping]) -> None:
            self.rows_read[str(table)].extend(row["id"] for row in rows)

        return Follower(f"test.{table}", table, keep, batch=3)

    async def assert_all_read(self, database: Database) -> None:
        """Assert that they have read each row once."""
        for table, ids in (await written(database)).items():
            assert sorted(self.rows_read[table]) == sorted(ids), table


async def proven(database: Database, ledger_head: Head | None = None, audit_head: Head | None = None) -> Heads:
    """Assert that both chains verify, are sealed to the end and contain the heads given, and that the money adds up.

    Return the chains' present heads.
    """
    async with database.transaction() as tx:
        async for sealed in ledger.verify(tx, expected=ledger_head):
            entries = sealed
    async with database.transaction() as tx:
        async for checked in audit_chain.verify(tx, expected=audit_head):
            rows = checked
    async with database.transaction() as tx:
        reconciled = await ledger.reconcile(tx)
    assert (entries.findings, entries.tail) == ([], 0)
    assert (rows.findings, rows.tail) == ([], 0)
    assert reconciled.differences == []
    return (entries.height, entries.head), (rows.height, rows.head)


async def offset(database: Database) -> int:
    """Return how far positions are ahead of the cluster's transaction ids."""
    async with database.transaction() as tx:
        return await tx.scalar(text("SELECT xid_offset FROM positions")) or 0
