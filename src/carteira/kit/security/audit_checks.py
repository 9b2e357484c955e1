"""The worker's care of the audit: it verifies the chain daily, stores the result, and deletes old rows."""

from datetime import datetime, timedelta

import structlog
from prometheus_client import Gauge
from sqlalchemy import BigInteger, Boolean, CheckConstraint, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, mapped_column

from carteira.kit.db.base import INSTANT, Base
from carteira.kit.db.engine import Database
from carteira.kit.db.session import Tx
from carteira.kit.security import audit_chain
from carteira.kit.security.audit_chain import CHAIN, AuditBlock
from carteira.kit.security.hash_chain import ChainVerification
from carteira.kit.values.clock import clock

log = structlog.get_logger(__name__)
checked_at = Gauge(
    "carteira_audit_checked_timestamp_seconds",
    "When the audit's hash chain was last verified",
    multiprocess_mode="mostrecent",
)
findings = Gauge(
    "carteira_audit_findings",
    "Rows and blocks of the audit that were not as they were sealed when it was last verified",
    multiprocess_mode="mostrecent",
)
chain_height = Gauge(
    "carteira_audit_chain_height", "Height of the last block of the audit's hash chain", multiprocess_mode="mostrecent"
)


class AuditCheck(Base):
    """The last result of verifying the audit's chain."""

    __tablename__ = "audit_checks"
    __table_args__ = (CheckConstraint("only_row", name="only_row"),)

    only_row: Mapped[bool] = mapped_column(Boolean, primary_key=True, default=True)
    checked_at: Mapped[datetime] = mapped_column(INSTANT)
    rows: Mapped[int] = mapped_column(BigInteger)
    findings: Mapped[int] = mapped_column(BigInteger)


async def verify(database: Database) -> ChainVerification:
    """Verify the whole chain and store the result; each finding is logged."""
    result = await CHAIN.verify_and_log(database)
    values = {"checked_at": clock.now(), "rows": result.rows, "findings": len(result.findings)}
    async with database.transaction() as tx:
        await tx.execute(
            insert(AuditCheck)
            .values(only_row=True, **values)
            .on_conflict_do_update(index_elements=[AuditCheck.only_row], set_=values)
        )
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
        findings.set(row.findings)
    height = await tx.scalar(select(AuditBlock.height).order_by(AuditBlock.height.desc()).limit(1))
    if height is not None:
        chain_height.set(height)


async def last(tx: Tx) -> AuditCheck | None:
    """Return the last result of verifying the chain; None: it was never verified."""
    return await tx.scalar(select(AuditCheck))
