"""The configuration of cashback with its validity: tiers, closing days, automatic approvals.

A rule applies to purchases dated from its first month on, until the next rule begins. A closed month's rules never
change.
"""

from collections.abc import Collection, Sequence
from datetime import date
from itertools import groupby
from uuid import UUID

from sqlalchemy import ColumnElement, Select, delete, func, or_, select
from sqlalchemy.dialects.postgresql import insert

from carteira.kit.db.session import Tx
from carteira.kit.security import audit
from carteira.kit.security.approvals import Act
from carteira.kit.values.ids import uuid7
from carteira.kit.web.preconditions import UNCONDITIONAL, Precondition, version_of
from carteira.resellers.cashback import TierStep
from carteira.resellers.errors import (
    AutoApprovalNotFound,
    ClosingDayNotFound,
    FirstRulesStay,
    MonthClosed,
    TiersNotFound,
)
from carteira.resellers.models import AutoApproval, ClosingDay, Month, Reseller, Tier
from carteira.resellers.schemas import (
    AutoApprovalIn,
    AutoApprovalOut,
    ClosingDayOut,
    TierShape,
    TiersOut,
)

_LOCK = 7_246_030
"""Advisory lock: closings share it, changes of the rules take it exclusively."""


async def share_rules(tx: Tx) -> None:
    """Lock the rules against changes until this transaction ends."""
    await tx.execute(select(func.pg_advisory_xact_lock_shared(_LOCK)))


async def _change_rules(tx: Tx, valid_from: date) -> None:
    """Wait for closings that are under way, and refuse to change the rules of closed months.

    Raises:
        MonthClosed: a month of the rules is closed.
    """
    await tx.execute(select(func.pg_advisory_xact_lock(_LOCK)))
    closed = await tx.scalar(select(func.max(Month.month)).where(Month.closed_at.is_not(None)))
    if closed is not None and valid_from <= closed:
        raise MonthClosed(f"O mês {closed:%m/%Y} já foi fechado: as regras só mudam depois dele.")


class TierTables:
    """All tier tables, read at once; `of` returns a month's."""

    def __init__(self, rows: Sequence[Tier]) -> None:
        self.tables: dict[date, list[TierStep]] = {
            valid_from: [TierStep(row.above, row.percentage) for row in group]
            for valid_from, group in groupby(rows, key=lambda row: row.valid_from)
        }

    @property
    def beginning(self) -> date:
        """The first table's first month; before it there is no cashback."""
        return min(self.tables)

    def of(self, month: date) -> list[TierStep]:
        """Return the tiers of a month (its first day), which must not lie before the beginning."""
        return self.tables[max(valid_from for valid_from in self.tables if valid_from <= month)]


async def tier_tables(tx: Tx) -> TierTables:
    """Read the tier tables."""
    rows = await tx.scalars(select(Tier).order_by(Tier.valid_from, Tier.above))
    return TierTables(rows.all())


async def list_tiers(tx: Tx) -> list[TiersOut]:
    """List the tier tables, the newest first."""
    tables = (await tier_tables(tx)).tables
    return [_tiers_out(valid_from, tables[valid_from]) for valid_from in sorted(tables, reverse=True)]


def _tiers_out(valid_from: date, steps: Sequence[TierStep]) -> TiersOut:
    shapes = [TierShape(above=step.above, percentage=step.percentage) for step in steps]
    return TiersOut(valid_from=valid_from, tiers=shapes)


async def get_tiers(tx: Tx, valid_from: date) -> TiersOut:
    """Return the tier table that begins in a month.

    Raises:
        TiersNotFound: none begins in it.
    """
    steps = (await tier_tables(tx)).tables.get(valid_from)
    if steps is None:
        raise TiersNotFound
    return _tiers_out(valid_from, steps)


async def _hold_tiers(tx: Tx, valid_from: date, seen: Precondition) -> None:
    """Compare a table's present version with the one that the caller saw; the rules are locked."""
    if seen.is_named:
        steps = (await tier_tables(tx)).tables.get(valid_from)
        seen.hold(None if steps is None else _tiers_out(valid_from, steps).version)


async def put_tiers(
    tx: Tx, valid_from: date, tiers: Sequence[TierShape], act: Act, seen: Precondition = UNCONDITIONAL
) -> TiersOut:
    """Set the tier table that applies from a month on.

    Raises:
        MonthClosed: a month that it would apply to is closed.
        RecordChanged: the table is no longer what was seen.
    """
    await _change_rules(tx, valid_from)
    await _hold_tiers(tx, valid_from, seen)
    await tx.execute(delete(Tier).where(Tier.valid_from == valid_from))
    await tx.execute(
        insert(Tier),
        [{"valid_from": valid_from, "above": tier.above, "percentage": tier.percentage} for tier in tiers],
    )
    steps = [tier.model_dump(mode="json") for tier in tiers]
    month = valid_from.isoformat()
    await audit.record(
        tx, "cashback_tiers_set", actor=act.actor, approved_by=act.approved_by, valid_from=month, tiers=steps
    )
    return TiersOut(valid_from=valid_from, tiers=list(tiers))


async def delete_tiers(tx: Tx, valid_from: date, act: Act, seen: Precondition = UNCONDITIONAL) -> None:
    """Delete a tier table; the one before it continues to apply.

    Raises:
        TiersNotFound: none begins in this month.
        FirstRulesStay: it is the first.
        MonthClosed: a month that it applies to is closed.
        RecordChanged: the table is no longer what was seen.
    """
    tables = await tier_tables(tx)
    if valid_from not in tables.tables:
        raise TiersNotFound
    if valid_from == tables.beginning:
        raise FirstRulesStay
    await _change_rules(tx, valid_from)
    await _hold_tiers(tx, valid_from, seen)
    await tx.execute(delete(Tier).where(Tier.valid_from == valid_from))
    month = valid_from.isoformat()
    await audit.record(tx, "cashback_tiers_removed", actor=act.actor, approved_by=act.approved_by, valid_from=month)


async def closing_days(tx: Tx) -> list[ClosingDayOut]:
    """List the closing days, the newest first."""
    rows = await tx.execute(select(ClosingDay.valid_from, ClosingDay.day).order_by(ClosingDay.valid_from.desc()))
    return [ClosingDayOut(valid_from=row.valid_from, day=row.day) for row in rows]


def closing_day_of(days: Sequence[ClosingDayOut], month: date) -> date:
    """Return the day on which the worker closes a month: a day of the month after it."""
    first = min(days, key=lambda known: known.valid_from)
    holding = max(
        (known for known in days if known.valid_from <= month), key=lambda known: known.valid_from, default=first
    )
    return next_month(month).replace(day=holding.day)


def next_month(month: date) -> date:
    """Return the first day of the month after."""
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)


def version_of_days(days: Sequence[ClosingDayOut]) -> str:
    """Return the version of all closing days, for a page that shows them together."""
    return version_of([(one.valid_from, one.day) for one in days])


async def get_closing_day(tx: Tx, valid_from: date) -> ClosingDayOut:
    """Return the closing day that begins in a month.

    Raises:
        ClosingDayNotFound: none does.
    """
    found = next((one for one in await closing_days(tx) if one.valid_from == valid_from), None)
    if found is None:
        raise ClosingDayNotFound
    return found


async def _hold_day(tx: Tx, valid_from: date, seen: Precondition, of_all: Precondition) -> None:
    if not (seen.is_named or of_all.is_named):
        return
    days = await closing_days(tx)
    of_all.hold(version_of_days(days))
    found = next((one for one in days if one.valid_from == valid_from), None)
    seen.hold(None if found is None else found.version)


async def put_closing_day(
    tx: Tx, valid_from: date, day: int, seen: Precondition = UNCONDITIONAL, *, of_all: Precondition = UNCONDITIONAL
) -> ClosingDayOut:
    """Set the day of the following month on which months from one on are closed.

    Raises:
        MonthClosed: a month that it would apply to is closed.
        RecordChanged: the month's day, or any of them, is no longer what was seen.
    """
    await _change_rules(tx, valid_from)
    await _hold_day(tx, valid_from, seen, of_all)
    await tx.execute(
        insert(ClosingDay)
        .values(valid_from=valid_from, day=day)
        .on_conflict_do_update(index_elements=["valid_from"], set_={"day": day})
    )
    await audit.record(tx, "cashback_closing_day_set", valid_from=valid_from.isoformat(), day=day)
    return ClosingDayOut(valid_from=valid_from, day=day)


async def delete_closing_day(tx: Tx, valid_from: date, seen: Precondition = UNCONDITIONAL) -> None:
    """Delete a closing day; the one before it continues to apply.

    Raises:
        ClosingDayNotFound: none begins in this month.
        FirstRulesStay: it is the first.
        MonthClosed: a month that it applies to is closed.
        RecordChanged: it is no longer what was seen.
    """
    days = await closing_days(tx)
    if valid_from not in {known.valid_from for known in days}:
        raise ClosingDayNotFound
    if valid_from == days[-1].valid_from:
        raise FirstRulesStay
    await _change_rules(tx, valid_from)
    await _hold_day(tx, valid_from, seen, UNCONDITIONAL)
    await tx.execute(delete(ClosingDay).where(ClosingDay.valid_from == valid_from))
    await audit.record(tx, "cashback_closing_day_removed", valid_from=valid_from.isoformat())


async def auto_approved(tx: Tx, cpfs: Sequence[str]) -> list[AutoApprovalOut]:
    """Return the automatic approvals of some CPFs; `holds` checks them for a month."""
    return [_auto_approval(row) for row in await tx.scalars(select(AutoApproval).where(AutoApproval.cpf.in_(cpfs)))]


def holds(approval: AutoApprovalOut, month: date) -> bool:
    """Return whether an automatic approval applies to a month."""
    return approval.valid_from <= month and (approval.valid_until is None or month <= approval.valid_until)


async def is_auto_approved(tx: Tx, cpf: str, month: date) -> bool:
    """Return whether a CPF's purchases of a month start approved."""
    found = await tx.scalar(
        select(AutoApproval.id)
        .where(
            AutoApproval.cpf == cpf,
            AutoApproval.valid_from <= month,
            or_(AutoApproval.valid_until.is_(None), AutoApproval.valid_until >= month),
        )
        .limit(1)
    )
    return found is not None


async def list_auto_approvals(tx: Tx) -> list[AutoApprovalOut]:
    """List automatic approvals; the look at each person is recorded."""
    query = select(AutoApproval, _person_of_approval()).order_by(AutoApproval.cpf, AutoApproval.valid_from)
    rows = (await tx.execute(query)).all()
    await audit.record_looks(tx, "auto_approvals_listed", [person for _, person in rows])
    return [_auto_approval(row) for row, _ in rows]


def _person_of_approval() -> ColumnElement[UUID]:
    """Return the audit's subject of an automatic approval: its CPF's reseller, or itself while there is none."""
    reseller = select(func.coalesce(Reseller.user_id, Reseller.id)).where(Reseller.cpf == AutoApproval.cpf)
    return func.coalesce(reseller.correlate(AutoApproval).scalar_subquery(), AutoApproval.id)


def _auto_approval(row: AutoApproval) -> AutoApprovalOut:
    return AutoApprovalOut(id=row.id, cpf=row.cpf, valid_from=row.valid_from, valid_until=row.valid_until)


async def put_auto_approval(tx: Tx, body: AutoApprovalIn, act: Act) -> AutoApprovalOut:
    """Add an automatic approval of a CPF from a month on; repeating it with the same month changes its end."""
    identifier = await tx.scalar(
        insert(AutoApproval)
        .values(id=uuid7(), cpf=body.cpf, valid_from=body.valid_from, valid_until=body.valid_until)
        .on_conflict_do_update(index_elements=["cpf", "valid_from"], set_={"valid_until": body.valid_until})
        .returning(AutoApproval.id)
    )
    assert identifier is not None, "an upsert gives its row"
    subject = await tx.scalar(select(_person_of_approval()).where(AutoApproval.id == identifier))
    await audit.record(
        tx,
        "auto_approval_set",
        actor=act.actor,
        approved_by=act.approved_by,
        subject=subject,
        approval_id=str(identifier),
        valid_from=body.valid_from.isoformat(),
        valid_until=body.valid_until.isoformat() if body.valid_until else None,
    )
    return AutoApprovalOut(id=identifier, cpf=body.cpf, valid_from=body.valid_from, valid_until=body.valid_until)


async def delete_auto_approval(tx: Tx, approval_id: UUID) -> None:
    """Delete an automatic approval; purchases that it approved stay approved.

    Raises:
        AutoApprovalNotFound: there is none.
    """
    subject = await tx.scalar(select(_person_of_approval()).where(AutoApproval.id == approval_id))
    found = await tx.scalar(delete(AutoApproval).where(AutoApproval.id == approval_id).returning(AutoApproval.id))
    if found is None:
        raise AutoApprovalNotFound
    await audit.record(tx, "auto_approval_removed", subject=subject, approval_id=str(approval_id))


def ids_of_cpf(cpf: str) -> Select[UUID]:
    """Return the query of the ids of a CPF's automatic approvals."""
    return select(AutoApproval.id).where(AutoApproval.cpf == cpf)


async def forget(tx: Tx, ids: Collection[UUID]) -> None:
    """Erase parts of the configuration by their ids."""
    await tx.execute(delete(AutoApproval).where(AutoApproval.id.in_(ids)))


async def forget_cpf(tx: Tx, cpf: str) -> None:
    """Erase a CPF from the configuration."""
    await tx.execute(delete(AutoApproval).where(AutoApproval.cpf == cpf))
