"""Scheduled top-ups: weighed and approved at the request, carried out once on their day or after it.

A job looks for due orders every ten minutes. Each is carried out in one transaction with its row, so that it happens
once, however often the job runs, and even if the worker was away for days. It is not carried out if its maker may no
longer ask for it. Only weighed lines are credited: a line that was wrong at the request (there was no such account) is
not credited later.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Uuid, and_, func, or_, select, type_coerce
from sqlalchemy.dialects.postgresql import ARRAY

from carteira import identity
from carteira.benefits import employers, topups
from carteira.benefits.errors import ScheduledDayUnfit, ScheduledNotFound, ScheduledOver, UnknownCategory
from carteira.benefits.models import BenefitScheduledCredit
from carteira.benefits.schemas import ScheduledOut
from carteira.kit.db.engine import Database
from carteira.kit.db.keyset import keyset
from carteira.kit.db.session import Tx, locked
from carteira.kit.security import audit
from carteira.kit.security.approvals import Act, FindGains, Gains, OperationChanged
from carteira.kit.values.actor import Actor
from carteira.kit.values.clock import clock
from carteira.kit.values.csv_lines import BulkLines, Wrong
from carteira.kit.values.ids import uuid7
from carteira.kit.values.money import format_brl
from carteira.kit.web.access import Principal
from carteira.kit.web.approvals import MakerGone
from carteira.kit.web.problems import Problem, problem_of

WRITES = "benefits:write"
FURTHEST = timedelta(days=366)
State = Literal["waiting", "done", "failed", "cancelled"]
StillMay = Callable[[Tx, Actor, str], Awaitable[bool]]
STILL_MAY: StillMay = identity.still_may([employers.BINDINGS])


def require_day(day: date) -> None:
    """Require that top-ups can be scheduled for a day.

    Raises:
        ScheduledDayUnfit: it is not in the future, or is more than a year ahead.
    """
    today = clock.today()
    if not today < day <= today + FURTHEST:
        raise ScheduledDayUnfit


async def schedule(tx: Tx, sent: BulkLines, act: Act, *, day: date, atomic: bool) -> ScheduledOut:
    """Schedule a bulk top-up for a day of São Paulo.

    Raises:
        ScheduledDayUnfit: the day is not in the future, or is more than a year ahead.
        InvalidInput: no line, or more than 10,000.
        BulkRejected: `atomic`, and a line is wrong.
        MustWait, DailyCeilingReached: its good lines together exceed the operator's limit.
    """
    require_day(day)
    weighed = await topups.weigh_many(tx, sent, act, atomic=atomic, when=f" em {day:%d/%m/%Y}")
    row = BenefitScheduledCredit(
        id=uuid7(),
        employer_ids=sorted(weighed.employers),
        day=day,
        actor_kind=act.actor.kind,
        actor_id=act.actor.id,
        approved_by=act.approved_by,
        content={
            "lines": sent.lines,
            "numbers": sent.numbers,
            "wrong": _wrong_for_good(sent, weighed),
            "titles": sent.titles,
        },
        atomic=atomic,
        lines=weighed.good,
        amount=weighed.amount,
        state="waiting",
        created_at=clock.now(),
    )
    tx.add(row)
    await tx.flush()
    await audit.record(
        tx,
        "benefit_credits_scheduled",
        actor=act.actor,
        approved_by=act.approved_by,
        subject=row.id,
        day=day.isoformat(),
        lines=weighed.good,
        amount=weighed.amount,
    )
    return _out(row)


def _wrong_for_good(sent: BulkLines, weighed: topups.Weighed) -> dict[str, list[Wrong]]:
    """Return the errors of lines by number: unreadable ones, and those that were not weighed."""
    wrong = {str(number): faults for number, faults in sent.wrong.items()}
    for result in weighed.results:
        if result.status == "failed" and result.code != "invalid_input":  # the run detects the other errors again
            name = "category" if result.code == UnknownCategory.code else "account"
            wrong[str(result.line)] = [Wrong(sent.titles.get(name, name), result.detail or "", name)]
    return wrong


@dataclass(slots=True)
class _WeighedAct(Act):
    """The act of the maker and the checker, limited to the weighed amount, in centavos."""

    most: int = field(kw_only=True)

    async def weigh(
        self,
        tx: Tx,  # noqa: ARG002 - the signature of `Act.weigh`
        *,
        amount: int | None,
        summary: str,  # noqa: ARG002 - the checker has read one
        gains: Gains | FindGains,  # noqa: ARG002 - they were compared at the approval
        scope: UUID | None = None,  # noqa: ARG002 - it was checked at the approval
    ) -> None:
        """Compare the present amount with the weighed one."""
        if amount is None or amount > self.most:
            raise OperationChanged


def _out(row: BenefitScheduledCredit) -> ScheduledOut:
    return ScheduledOut(
        id=row.id,
        day=row.day,
        state=row.state,
        lines=row.lines,
        amount=row.amount,
        value=format_brl(row.amount),
        code=row.code,
        detail=row.detail,
        outcome=row.outcome,
        created_at=row.created_at,
        done_at=row.done_at,
    )


async def _may_see(tx: Tx, who: Principal, row: BenefitScheduledCredit) -> bool:
    reach = await employers.reach_of(tx, who.actor)
    if reach.employers is None or (row.actor_kind, row.actor_id) == (who.actor.kind, who.actor.id):
        return True
    return bool(row.employer_ids) and set(row.employer_ids) <= reach.employers


async def find(tx: Tx, who: Principal, scheduled_id: UUID) -> ScheduledOut:
    """Return a scheduled top-up and its outcome.

    Raises:
        ScheduledNotFound: there is none, or it is another employer's.
    """
    row = await tx.get(BenefitScheduledCredit, scheduled_id)
    if row is None or not await _may_see(tx, who, row):
        raise ScheduledNotFound
    return _out(row)


async def listed(  # noqa: PLR0913 - filters and the place in the list
    tx: Tx, who: Principal, *, limit: int, after: UUID | None, turned: bool = False, state: str | None = None
) -> list[ScheduledOut]:
    """List scheduled top-ups of the caller's employers, the newest first, without outcomes by line."""
    reach = await employers.reach_of(tx, who.actor)
    query = select(BenefitScheduledCredit)
    if state is not None:
        query = query.where(BenefitScheduledCredit.state == state)
    if reach.employers is not None:
        own = and_(BenefitScheduledCredit.actor_kind == who.actor.kind, BenefitScheduledCredit.actor_id == who.actor.id)
        named = type_coerce(BenefitScheduledCredit.employer_ids, ARRAY(Uuid))
        query = query.where(or_(own, and_(func.cardinality(named) > 0, named.contained_by(list(reach.employers)))))
    query = keyset(query, BenefitScheduledCredit.id, after=after, limit=limit, newest_first=True, turned=turned)
    return [_out(row).model_copy(update={"outcome": None}) for row in await tx.scalars(query)]


async def cancel(tx: Tx, who: Principal, scheduled_id: UUID) -> None:
    """Cancel a scheduled top-up.

    Raises:
        ScheduledNotFound: there is none, or it is another employer's.
        ScheduledOver: it was carried out or cancelled.
    """
    row = await locked(tx, BenefitScheduledCredit, scheduled_id)
    if row is None or not await _may_see(tx, who, row):
        raise ScheduledNotFound
    if row.state != "waiting":
        raise ScheduledOver
    row.state, row.done_at = "cancelled", clock.now()
    await tx.flush()
    await audit.record(tx, "benefit_credits_unscheduled", actor=who.actor, subject=row.id)


_DUE = select(BenefitScheduledCredit.id).where(BenefitScheduledCredit.state == "waiting")


async def carry_out_due(database: Database, still_may: StillMay = STILL_MAY) -> int:
    """Carry out due top-ups, each in a transaction of its own; return how many. A job calls it."""
    async with database.transaction() as tx:
        due = _DUE.where(BenefitScheduledCredit.day <= clock.today()).order_by(
            BenefitScheduledCredit.day, BenefitScheduledCredit.id
        )
        ids = (await tx.scalars(due)).all()
    for scheduled_id in ids:
        async with database.transaction() as tx:
            row = await locked(tx, BenefitScheduledCredit, scheduled_id)
            if row is not None and row.state == "waiting":
                await _carry_out(tx, row, still_may)
    return len(ids)


async def _carry_out(tx: Tx, row: BenefitScheduledCredit, still_may: StillMay) -> None:
    actor = Actor(row.actor_kind, row.actor_id)
    act = _WeighedAct(actor, row.approved_by, f"scheduled:{row.id}", most=row.amount)
    sent = read_content(row.content)
    try:
        if not await still_may(tx, actor, WRITES):
            raise MakerGone
        async with tx.begin_nested():
            done = await topups.credit_many(tx, sent, act, atomic=row.atomic)
    except (Problem, OperationChanged) as error:
        problem = problem_of(error)
        row.state, row.code, row.detail = "failed", problem.code, problem.detail
    else:
        row.state = "done"
        row.outcome = done.model_dump(mode="json")
    row.content, row.done_at = {}, clock.now()
    await tx.flush()


def read_content(content: Any) -> BulkLines:  # noqa: ANN401 - JSON as it was written
    """Return the stored lines of a row."""
    wrong = {int(number): [Wrong(*item) for item in items] for number, items in content["wrong"].items()}
    return BulkLines(content["lines"], content["numbers"], wrong, content.get("titles", {}))
