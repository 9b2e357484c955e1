"""The worker's care of the audit: it verifies the chain, stores the result, and deletes old rows.

Each day it verifies the new blocks, and each week all of them (`proofs`).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from prometheus_client import Gauge
from sqlalchemy import BigInteger, Boolean, CheckConstraint, LargeBinary, select
from sqlalchemy.orm import Mapped, mapped_column

from carteira.kit.db.engine import Database
from carteira.kit.db.one_row import OneRow
from carteira.kit.db.session import Tx
from carteira.kit.security import audit_chain, proofs
from carteira.kit.security.audit_chain import CHAIN, AuditBlock
from carteira.kit.security.hash_chain import ChainVerification, Head
from carteira.kit.security.proofs import LastProof
from carteira.kit.values.clock import clock

log = structlog.get_logger(__name__)
checked_at = Gauge(
    "carteira_audit_checked_timestamp_seconds",
    "Time of the last check of the audit's hash chain, whole or only its new part",
    multiprocess_mode="mostrecent",
)
checked_whole_at = Gauge(
    "carteira_audit_checked_whole_timestamp_seconds",
    "Time of the last check of the whole hash chain of the audit",
    multiprocess_mode="mostrecent",
)
findings = Gauge(
    "carteira_audit_findings",
    "Rows and blocks of the audit that differed from their seals at the last check",
    multiprocess_mode="mostrecent",
)
chain_height = Gauge(
    "carteira_audit_chain_height", "Height of the last block of the audit's hash chain", multiprocess_mode="mostrecent"
)


class AuditCheck(LastProof):
    """The last result of verifying the audit's chain, and the head that a recent verification may begin at."""

    __tablename__ = "audit_checks"
    __table_args__ = (CheckConstraint("only_row", name="only_row"),)

    only_row: Mapped[bool] = mapped_column(Boolean, primary_key=True, default=True)
    rows: Mapped[int] = mapped_column(BigInteger)
    height: Mapped[int | None] = mapped_column(BigInteger)
    hash: Mapped[bytes | None] = mapped_column(LargeBinary)

    @property
    def head(self) -> Head | None:
        """The chain's head at that verification."""
        return None if self.height is None or self.hash is None else (self.height, self.hash)


async def is_due(database: Database) -> bool:
    """Return whether the weekly verification of all blocks is due."""
    return await proofs.is_due(database, AuditCheck, key=True)


async def verify(database: Database, *, whole: bool, expected: Head | None = None) -> ChainVerification:
    """Verify the chain and store the result; each finding is logged.

    Without `whole`, only blocks since the last verification are read, if that one found nothing. A finding that only
    differs from `expected` is not stored.
    """
    pass_ = await proofs.begin(database, AuditCheck, key=True, whole=whole)
    since = pass_.base.head if pass_.base else None
    result = await CHAIN.verify_and_log(database, expected=expected, since=since)
    if expected is None or not result.findings:
        values = {"rows": result.rows, "height": result.height, "hash": result.head}
        await proofs.store_result(database, pass_, findings=len(result.findings), **values)
    return result


async def forget_old(database: Database, *, years: int) -> int:
    """Delete whole blocks past their retention, each in a transaction; return how many rows there were.

    `years` is at least five; the database refuses less.
    """
    gone, before = 0, clock.now() - timedelta(days=366 * years)
    while True:
        async with database.transaction() as tx:
            rows = await audit_chain.forget(tx, before)
        if not rows:
            return gone
        gone += rows
        log.info("audit rows deleted", rows=rows)


async def observe(tx: Tx) -> None:
    """Set the metrics of the last verification and of the chain's head."""
    for row in await tx.scalars(select(AuditCheck)):
        checked_at.set(row.checked_at.timestamp())
        if row.whole_at is not None:
            checked_whole_at.set(row.whole_at.timestamp())
        findings.set(row.findings)
    height = await tx.scalar(select(AuditBlock.height).order_by(AuditBlock.height.desc()).limit(1))
    if height is not None:
        chain_height.set(height)


@dataclass(frozen=True, slots=True)
class SeenAuditCheck:
    """The last result of verifying the chain, and its head at that time."""

    checked_at: datetime
    whole_at: datetime | None
    findings: int
    height: int | None
    hash: bytes | None


LAST = OneRow(
    select(AuditCheck.checked_at, AuditCheck.whole_at, AuditCheck.findings, AuditCheck.height, AuditCheck.hash),
    SeenAuditCheck,
)
"""The query of that result."""


async def last(tx: Tx) -> AuditCheck | None:
    """Return the last result of verifying the chain; None: it was never verified."""
    return await tx.scalar(select(AuditCheck))
