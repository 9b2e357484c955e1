"""Resellers' background work: months are closed on the configured day."""

import structlog
from procrastinate import Blueprint, JobContext

from carteira.kit.db.engine import Database
from carteira.kit.db.session import Tx
from carteira.kit.values.actor import Actor
from carteira.resellers import metrics, months
from carteira.resellers.errors import MonthHasPending
from carteira.resellers.schemas import write_month

log = structlog.get_logger(__name__)
blueprint = Blueprint()
CLOSER = Actor("job", "resellers.close_due_months")


@blueprint.periodic(cron="20 * * * *")
@blueprint.task(name="close_due_months", queueing_lock="resellers.close_due_months", pass_context=True)
async def close_due_months(context: JobContext, timestamp: int) -> None:
    """Close every due month, each in its own transaction; months with pending purchases wait, and are reported."""
    await close_all_due(context.additional_context["database"])


async def close_all_due(database: Database) -> int:
    """Close due months, and return how many still wait for a decision."""
    async with database.transaction() as tx:
        due = await months.due(tx)
    overdue = 0
    for month in due:
        try:
            async with database.transaction() as tx:
                closed = await months.close(tx, month, actor=CLOSER)
        except MonthHasPending as waiting:
            overdue += 1
            log.warning("month not closed", month=write_month(month), pending=waiting.extra["pending"])
        else:
            log.info("month closed", month=write_month(month), resellers=closed.resellers)
    return overdue


async def observe(tx: Tx) -> None:
    """Set the metric of the months that wait for a decision."""
    metrics.overdue_months.set(await months.count_overdue(tx))
