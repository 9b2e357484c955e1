"""Metrics of files of accounts and scheduled top-ups, from the database."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from prometheus_client import Gauge
from sqlalchemy import func, select

from carteira.benefits.models import BenefitImport, BenefitScheduledCredit
from carteira.kit.db.one_row import OneRow, ask
from carteira.kit.db.session import Tx
from carteira.kit.values.clock import clock

import_oldest_seconds = Gauge(
    "carteira_benefits_import_oldest_seconds",
    "Age of the oldest unfinished file of accounts; 0 if all are done",
    multiprocess_mode="mostrecent",
)
schedules_overdue = Gauge(
    "carteira_benefits_schedules_overdue",
    "Scheduled top-ups that are due and were not carried out",
    multiprocess_mode="mostrecent",
)
schedules_failed = Gauge(
    "carteira_benefits_schedules_failed",
    "Scheduled top-ups of the last seven days that moved nothing",
    multiprocess_mode="mostrecent",
)


@dataclass(frozen=True, slots=True)
class BulkState:
    """The lateness of bulk work: the oldest unfinished file, due top-ups, and top-ups that moved nothing."""

    oldest_file: datetime | None
    overdue: int
    failed: int

    @property
    def file_seconds(self) -> float:
        """The age of the oldest unfinished file in seconds; 0: there is none."""
        return 0 if self.oldest_file is None else max((clock.now() - self.oldest_file).total_seconds(), 0)


def bulk_state() -> OneRow[BulkState]:
    """Return the query of the oldest unfinished file and of the scheduled top-ups that are overdue or failed."""
    oldest = select(func.min(BenefitImport.created_at)).where(BenefitImport.finished_at.is_(None)).scalar_subquery()
    waits, failed = BenefitScheduledCredit.state == "waiting", BenefitScheduledCredit.state == "failed"
    query = select(
        oldest,
        func.count().filter(waits & (BenefitScheduledCredit.day <= clock.today())),
        func.count().filter(failed & (BenefitScheduledCredit.done_at > clock.now() - timedelta(days=7))),
    ).where(waits | failed)
    return OneRow(query, BulkState)


async def observe(tx: Tx) -> None:
    """Set the metrics."""
    state = await ask(tx, bulk_state())
    assert state is not None, "counts are one row"
    import_oldest_seconds.set(state.file_seconds)
    schedules_overdue.set(state.overdue)
    schedules_failed.set(state.failed)
