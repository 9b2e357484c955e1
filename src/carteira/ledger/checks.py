"""The ledger's checks, of all entries or of the new ones; their last results are stored, for metrics and alerts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

import structlog
from prometheus_client import Gauge
from sqlalchemy import BigInteger, LargeBinary, Text, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from carteira.kit.db.engine import Database
from carteira.kit.db.one_row import OneRow
from carteira.kit.db.session import Tx
from carteira.kit.security import proofs
from carteira.kit.security.hash_chain import ChainVerification, Head
from carteira.kit.security.proofs import LastProof
from carteira.ledger import reconciliation
from carteira.ledger.chain import CHAIN, LedgerBlock
from carteira.ledger.models import LedgerAccount
from carteira.ledger.reconciliation import ReconciledPoint, Reconciliation

Check = Literal["reconcile", "verify"]

log = structlog.get_logger(__name__)
checked_at = Gauge(
    "carteira_ledger_checked_timestamp_seconds",
    "Time of the ledger's last proof, whole or only of its new part: `reconcile` (balances), `verify` (hash chain)",
    ["check"],
    multiprocess_mode="mostrecent",
)
checked_whole_at = Gauge(
    "carteira_ledger_checked_whole_timestamp_seconds",
    "Time of the last proof of the whole ledger: `reconcile` (balances), `verify` (hash chain)",
    ["check"],
    multiprocess_mode="mostrecent",
)
findings = Gauge(
    "carteira_ledger_findings",
    "Findings of the last proof: differences, or entries that differ from their seals",
    ["check"],
    multiprocess_mode="mostrecent",
)
chain_height = Gauge(
    "carteira_ledger_chain_height", "Height of the last block of the hash chain", multiprocess_mode="mostrecent"
)
system_balance = Gauge(
    "carteira_ledger_system_balance_centavos",
    "Balance of an account of the operator, as of half a minute ago; customers' money has the opposite sign",
    ["kind"],
    multiprocess_mode="mostrecent",
)
chain_sealed_at = Gauge(
    "carteira_ledger_chain_sealed_timestamp_seconds",
    "Time of the last block of the hash chain",
    multiprocess_mode="mostrecent",
)


class LedgerCheck(LastProof):
    """The last result of a check, and the point from which a check of new rows may begin.

    `height` and `hash` are of the chain's head; `xid` is the position up to which balances were compared, and `sums`
    holds what the postings of system accounts added up to there.
    """

    __tablename__ = "ledger_checks"

    check: Mapped[str] = mapped_column("name", Text, primary_key=True)
    entries: Mapped[int] = mapped_column(BigInteger)
    height: Mapped[int | None] = mapped_column(BigInteger)
    hash: Mapped[bytes | None] = mapped_column(LargeBinary)
    xid: Mapped[int | None] = mapped_column(BigInteger)
    sums: Mapped[dict[str, int] | None] = mapped_column(JSONB)

    @property
    def head(self) -> Head | None:
        """The chain's head at the last verification."""
        return None if self.height is None or self.hash is None else (self.height, self.hash)

    @property
    def point(self) -> ReconciledPoint | None:
        """The point up to which balances were compared."""
        if self.xid is None or self.sums is None:
            return None
        return ReconciledPoint(self.xid, self.checked_at, {UUID(account): sum_ for account, sum_ in self.sums.items()})


async def is_due(database: Database, check: Check) -> bool:
    """Return whether the weekly check of the whole ledger is due."""
    return await proofs.is_due(database, LedgerCheck, check)


async def reconcile(database: Database, *, whole: bool) -> Reconciliation:
    """Compare balances with postings and store the result; each difference is logged.

    Without `whole`, only rows since the last comparison are read, if that one found nothing.
    """
    pass_ = await proofs.begin(database, LedgerCheck, "reconcile", whole=whole)
    async with database.transaction() as tx:
        found = await reconciliation.reconcile(tx, pass_.base.point if pass_.base else None)
    for difference in found.differences:
        log.error("ledger does not reconcile", **difference)
    sums = {str(account): sum_ for account, sum_ in found.point.sums.items()}
    values = {"entries": found.entries, "xid": found.point.position, "sums": sums}
    await proofs.store_result(database, pass_, findings=len(found.differences), **values)
    return found


async def verify(
    database: Database,
    *,
    whole: bool,
    expected: Head | None = None,
    report: Callable[[int], None] = lambda _rows: None,
) -> ChainVerification:
    """Verify the hash chain and store the result; each finding is logged.

    Without `whole`, only blocks since the last verification are read, if that one found nothing. A finding that only
    differs from `expected` is not stored.
    """
    pass_ = await proofs.begin(database, LedgerCheck, "verify", whole=whole)
    since = pass_.base.head if pass_.base else None
    result = await CHAIN.verify_and_log(database, expected=expected, since=since, report=report)
    if expected is None or not result.findings:
        values = {"entries": result.rows, "height": result.height, "hash": result.head}
        await proofs.store_result(database, pass_, findings=len(result.findings), **values)
    return result


async def observe(tx: Tx) -> None:
    """Set the metrics of the last checks, of the chain's head, and of system accounts."""
    accounts = select(LedgerAccount.kind, LedgerAccount.balance).where(LedgerAccount.is_system)
    for kind, balance in await tx.execute(accounts):
        system_balance.labels(kind).set(balance)
    for row in await tx.scalars(select(LedgerCheck)):
        checked_at.labels(row.check).set(row.checked_at.timestamp())
        if row.whole_at is not None:
            checked_whole_at.labels(row.check).set(row.whole_at.timestamp())
        findings.labels(row.check).set(row.findings)
    head = await tx.execute(
        select(LedgerBlock.height, LedgerBlock.sealed_at).order_by(LedgerBlock.height.desc()).limit(1)
    )
    for block in head:
        chain_height.set(block.height)
        chain_sealed_at.set(block.sealed_at.timestamp())


async def last_point(tx: Tx) -> ReconciledPoint | None:
    """Return the point up to which balances were compared and nothing was found, if there is one."""
    last = await proofs.last(tx, LedgerCheck, "reconcile")
    return last.point if last else None


@dataclass(frozen=True, slots=True)
class SeenCheck:
    """The last result of a check, and the head of the chain that it verified, if it did."""

    checked_at: datetime
    whole_at: datetime | None
    findings: int
    height: int | None
    hash: bytes | None


def last_result(check: Check) -> OneRow[SeenCheck]:
    """Return the query of a check's last result."""
    row = LedgerCheck
    columns = (row.checked_at, row.whole_at, row.findings, row.height, row.hash)
    return OneRow(select(*columns).where(row.check == check), SeenCheck)


async def results(tx: Tx) -> Sequence[LedgerCheck]:
    """Return the last result of each check."""
    return (await tx.scalars(select(LedgerCheck).order_by(LedgerCheck.check))).all()
