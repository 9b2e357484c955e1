"""Metrics of files of accounts and scheduled top-ups, from the database."""

from datetime import timedelta

from prometheus_client import Gauge
from sqlalchemy import func, select

from carteira.benefits.models import BenefitImport, BenefitScheduledCredit
from carteira.kit.db.session import Tx
from carteira.kit.values.clock import clock

import_oldest_seconds = Gauge(
    "carteira_benefits_import_oldest_seconds",
    "For how long the oldest file of accounts is there that is not done; 0 if all are",
    multiprocess_mode="mostrecent",
)
schedules_overdue = Gauge(
    "carteira_benefits_schedules_overdue",
    "Scheduled top-ups whose day has come and that were not carried out",
    multiprocess_mode="mostrecent",
)
schedules_failed = Gauge(
    "carteira_benefits_schedules_failed",
    "Scheduled top-ups of the last seven days that moved nothing",
    multiprocess_mode="mostrecent",
)


async def observe(tx: Tx) -> None:
    """Set the metrics."""
    now = clock.now()
    oldest = await tx.scalar(select(func.min(BenefitImport.created_at)).where(BenefitImport.finished_at.is_(None)))
    import_oldest_seconds.set(0 if oldest is None else max((now - oldest).total_seconds(), 0))
    waits, failed = BenefitScheduledCredit.state == "waiting", BenefitScheduledCredit.state == "failed"
    row = (
        await tx.execute(
            select(
                func.count().filter(waits & (BenefitScheduledCredit.day <= clock.today())),
                func.count().filter(failed & (BenefitScheduledCredit.done_at > now - timedelta(days=7))),
            ).where(waits | failed)
        )
    ).one()
    schedules_overdue.set(row[0])
    schedules_failed.set(row[1])
