"""Employers' bulk work for the console: files of accounts, and scheduled top-ups.

It also has the verbs of employers, categories and members, and computes the effect that new MCCs of a category would
have had on recent purchases.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

from sqlalchemy import select, text

from carteira.benefits import employers, imports, operations, scheduled
from carteira.benefits.authorizer.rules import CASH
from carteira.benefits.bulk_metrics import bulk_state
from carteira.benefits.catalog import get_category, put_category
from carteira.benefits.desk import WALKED, RuleEffect
from carteira.benefits.employers import MemberView
from carteira.benefits.imports import LINES, ImportLineKey, lines_of
from carteira.benefits.models import BenefitImport
from carteira.benefits.scheduled import cancel, find
from carteira.benefits.schemas import (
    CategoryName,
    CategoryOut,
    EmployerName,
    ImportLineOut,
    ImportOut,
    ImportPreviewOut,
    Mcc,
    ScheduledOut,
)
from carteira.kit.db.keyset import keyset
from carteira.kit.db.session import Tx
from carteira.kit.values.clock import clock
from carteira.kit.values.csv_lines import BulkLines
from carteira.kit.values.ids import first_uuid7
from carteira.kit.web.access import Principal
from carteira.kit.web.approvals import Desk
from carteira.kit.web.csv_bodies import read_csv_body
from carteira.kit.web.idempotency import Answered
from carteira.kit.web.pagination import Page, PageRequest

__all__ = [
    "LINES",
    "CategoryName",
    "CategoryOut",
    "EmployerName",
    "ImportLineKey",
    "ImportLineOut",
    "ImportOut",
    "ImportPreviewOut",
    "ImportSeen",
    "Mcc",
    "MemberView",
    "ScheduledOut",
    "add_employer",
    "bind_member",
    "bulk_state",
    "cancel",
    "change_employer",
    "effect_of_mccs",
    "find",
    "find_employer",
    "find_import",
    "get_category",
    "import_accounts",
    "imports_of",
    "lines_of",
    "members_of",
    "preview_accounts",
    "put_category",
    "read_accounts",
    "schedule",
    "scheduled_of",
    "unbind_member",
]

find_import = imports.find
add_employer, find_employer, change_employer = employers.add, employers.find, employers.change
members_of, bind_member, unbind_member = employers.members, employers.bind, employers.unbind


@dataclass(frozen=True, slots=True)
class ImportSeen:
    """A file of accounts in a list."""

    id: UUID
    created_at: datetime
    lines: int
    finished_at: datetime | None


async def read_accounts(tx: Tx, sent: str) -> BulkLines:
    """Read a file of accounts.

    Raises:
        InvalidInput: it is not CSV, its titles are not those expected, or it has too many lines.
    """
    read = await read_csv_body(sent.encode(), await imports.columns(tx), most=imports.MAX_LINES)
    return BulkLines([imports.folded(line) for line in read.lines], read.numbers, read.wrong, read.titles)


async def preview_accounts(tx: Tx, who: Principal, lines: BulkLines, employer_id: UUID | None) -> ImportPreviewOut:
    """Return the expected outcome of each line of a file, without opening accounts.

    Raises:
        InvalidInput, EmployerNotFound, EmployerRequired.
    """
    return await imports.preview(tx, lines, who.actor, employer_id)


async def import_accounts(  # noqa: PLR0913 - a file and its options
    tx: Tx, desk: Desk, who: Principal, lines: BulkLines, *, employer_id: UUID | None, invite: bool
) -> UUID | None:
    """Queue the opening of a file's accounts. Above the limit it waits for a second person, and None is returned.

    Raises:
        InvalidInput, EmployerNotFound, EmployerRequired, DailyCeilingReached.
    """
    order = operations.ImportOrder(
        lines=lines.lines,
        numbers=lines.numbers,
        wrong=lines.wrong,
        titles=lines.titles,
        employer_id=employer_id,
        invite=invite,
    )
    done = await desk.carry_out(tx, operations.IMPORT, order, who)
    return done.id if isinstance(done, ImportOut) else None


async def imports_of(
    tx: Tx, who: Principal, asked: PageRequest[UUID], *, finished: bool | None = None
) -> Page[ImportSeen]:
    """List the files of the caller's employers, the newest first: finished ones, unfinished ones, or all.

    Raises:
        Forbidden: `benefits:write` is missing.
    """
    who.require("benefits:write")
    query = select(BenefitImport.id, BenefitImport.created_at, BenefitImport.lines, BenefitImport.finished_at)
    reach = await employers.reach_of(tx, who.actor)
    if reach.employers is not None:
        query = query.where(BenefitImport.employer_id.in_(reach.employers))
    if finished is not None:
        query = query.where(BenefitImport.finished_at.is_not(None) if finished else BenefitImport.finished_at.is_(None))
    query = keyset(
        query, BenefitImport.id, after=asked.after, limit=asked.limit + 1, newest_first=True, turned=asked.turned
    )
    return asked.page([ImportSeen(*row) for row in await tx.execute(query)], lambda row: row.id)


async def schedule(  # noqa: PLR0913 - a file, its day and its options
    tx: Tx, desk: Desk, who: Principal, lines: BulkLines, *, day: date, atomic: bool
) -> bool:
    """Schedule a bulk top-up; above the limit it waits for a second person. Return whether it is scheduled now.

    Raises:
        ScheduledDayUnfit, InvalidInput, BulkRejected, DailyCeilingReached.
    """
    order = operations.ScheduleOrder(
        lines=lines.lines, numbers=lines.numbers, wrong=lines.wrong, titles=lines.titles, atomic=atomic, day=day
    )
    return not isinstance(await desk.carry_out(tx, operations.SCHEDULE, order, who), Answered)


async def scheduled_of(
    tx: Tx, who: Principal, asked: PageRequest[UUID], *, state: str | None = None
) -> Page[ScheduledOut]:
    """List the scheduled top-ups of the caller's employers, the newest first: those in `state`, or all."""
    rows = await scheduled.listed(tx, who, limit=asked.limit + 1, after=asked.after, turned=asked.turned, state=state)
    return asked.page(rows, lambda row: row.id)


_OF_MCCS = text("""
    WITH lately AS (
        SELECT mcc, category_tried, rule, amount FROM benefits_decisions
        WHERE id >= :since ORDER BY id DESC LIMIT :walked
    )
    SELECT mcc, category_tried, count(*), CAST(sum(amount) AS bigint) FROM lately
    WHERE category_tried IS NOT NULL AND rule IS DISTINCT FROM 'merchant' AND mcc = ANY(:mccs)
    GROUP BY 1, 2
""")


async def effect_of_mccs(tx: Tx, category: str, now: Collection[str], then: Collection[str]) -> RuleEffect:
    """Return the effect that new MCCs of a category would have had on the newest purchases of the last 30 days."""
    since = first_uuid7((clock.now() - timedelta(days=30)).timestamp())
    changed = sorted(set(now) ^ set(then))
    purchases = amount = 0
    moved: dict[tuple[str, str], int] = {}
    for mcc, tried, many, total in await tx.execute(_OF_MCCS, {"since": since, "walked": WALKED, "mccs": changed}):
        purchases, amount = purchases + many, amount + total
        would = category if mcc in then else CASH
        if would != tried:
            moved[tried, would] = moved.get((tried, would), 0) + many
    return RuleEffect(purchases, amount, moved)
