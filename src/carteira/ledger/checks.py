"""The ledger's checks, run by the worker; their last results are stored, for metrics and alerts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import structlog
from prometheus_client import Gauge
from sqlalchemy import BigInteger, Text, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, mapped_column

from carteira.kit.db.base import INSTANT, Base
from carteira.kit.db.engine import Database
from carteira.kit.db.session import Tx
from carteira.kit.values.clock import clock
from carteira.ledger import queries
from carteira.ledger.chain import CHAIN, LedgerBlock
from carteira.ledger.models import LedgerAccount

Check = Literal["reconcile", "verify"]

log = structlog.get_logger(__name__)
checked_at = Gauge(
    "carteira_ledger_checked_timestamp_seconds",
    "When the ledger was last proved: `reconcile` (balances), `verify` (hash chain)",
    ["check"],
    multiprocess_mode="mostrecent",
)
findings = Gauge(
    "carteira_ledger_findings",
    "What the last proof found to be wrong: differences, or entries that are not as they were sealed",
    ["check"],
    multiprocess_mode="mostrecent",
)
chain_height = Gauge(
    "carteira_ledger_chain_height", "Height of the last block of the hash chain", multiprocess_mode="mostrecent"
)
system_balance = Gauge(
    "carteira_ledger_system_balance_centavos",
    "Balance of an account of the operator's own, as of half a minute ago; what customers have is its opposite",
    ["kind"],
    multiprocess_mode="mostrecent",
)
chain_sealed_at = Gauge(
    "carteira_ledger_chain_sealed_timestamp_seconds",
    "When the last block of the hash chain was sealed",
    multiprocess_mode="mostrecent",
)


class LedgerCheck(Base):
    """The last result of a check; `findings` is the number of errors."""

    __tablename__ = "ledger_checks"

    check: Mapped[str] = mapped_column("name", Text, primary_key=True)
    checked_at: Mapped[datetime] = mapped_column(INSTANT)
    entries: Mapped[int] = mapped_column(BigInteger)
    findings: Mapped[int] = mapped_column(BigInteger)


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of a check: entries read, and findings."""

    entries: int
    findings: int


async def reconcile(database: Database) -> CheckResult:
    """Compare every balance with its postings and store the result; each difference is logged."""
    async with database.transaction() as tx:
        found = await queries.reconcile(tx)
    for difference in found.differences:
        log.error("ledger does not reconcile", **difference)
    return await _keep(database, "reconcile", CheckResult(found.entries, len(found.differences)))


async def verify(database: Database) -> CheckResult:
    """Verify the whole hash chain and store the result; each finding is logged."""
    result = await CHAIN.verify_and_log(database)
    return await _keep(database, "verify", CheckResult(result.rows, len(result.findings)))


async def _keep(database: Database, check: Check, result: CheckResult) -> CheckResult:
    values = {"checked_at": clock.now(), "entries": result.entries, "findings": result.findings}
    async with database.transaction() as tx:
        await tx.execute(
            insert(LedgerCheck)
            .values(check=check, **values)
            .on_conflict_do_update(index_elements=[LedgerCheck.check], set_=values)
        )
    return result


async def observe(tx: Tx) -> None:
    """Set the metrics of the last checks, of the chain's head, and of system accounts."""
    accounts = select(LedgerAccount.kind, LedgerAccount.balance).where(LedgerAccount.is_system)
    for kind, balance in await tx.execute(accounts):
        system_balance.labels(kind).set(balance)
    for row in await tx.scalars(select(LedgerCheck)):
        checked_at.labels(row.check).set(row.checked_at.timestamp())
        findings.labels(row.check).set(row.findings)
    head = await tx.execute(
        select(LedgerBlock.height, LedgerBlock.sealed_at).order_by(LedgerBlock.height.desc()).limit(1)
    )
    for block in head:
        chain_height.set(block.height)
        chain_sealed_at.set(block.sealed_at.timestamp())


async def results(tx: Tx) -> Sequence[LedgerCheck]:
    """Return the last result of each check."""
    return (await tx.scalars(select(LedgerCheck).order_by(LedgerCheck.check))).all()
