"""Purchases in bulk from CSV: each line with its result, all written in one statement."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from carteira import identity
from carteira.kit.db.session import Tx
from carteira.kit.security import audit
from carteira.kit.values.clock import clock
from carteira.kit.values.csv_lines import BulkLines, cpf_column, day_columns, money_columns, text_column
from carteira.kit.values.ids import uuid7
from carteira.kit.values.money import format_brl
from carteira.kit.web.access import Principal
from carteira.kit.web.csv_bodies import Faults, check_line
from carteira.kit.web.problems import Forbidden, InvalidInput, Problem
from carteira.resellers import configuration, metrics, resellers
from carteira.resellers.errors import BulkPurchasesRejected, MonthClosed, PurchaseCodeTaken, UnknownReseller
from carteira.resellers.models import Purchase, Reseller
from carteira.resellers.proof import UnprovenCpf, earning
from carteira.resellers.resellers import ResellerView
from carteira.resellers.schemas import (
    STATUS,
    BulkPurchaseIn,
    BulkPurchasePreview,
    BulkPurchaseResult,
    BulkPurchasesOut,
    BulkPurchasesPreviewOut,
)
from carteira.resellers.service import APPROVED, PENDING, lock_open, month_of

MAX_LINES = 10_000
CSV_COLUMNS = [
    text_column("code", "código"),
    *money_columns(),
    *day_columns(),
    cpf_column(required=False),
]
"""The columns of a file of purchases."""
_CODE_SHOWN = 64
_shape = TypeAdapter(BulkPurchaseIn)


def _failed(number: int, code: str, problem: Problem) -> BulkPurchaseResult:
    detail = " ".join(f"{item['field']}: {item['message']}" for item in problem.errors) or problem.detail
    column = next((item["field"] for item in problem.errors), None)
    return BulkPurchaseResult(
        line=number, code=code[:_CODE_SHOWN], result="failed", error=problem.code, detail=detail, column=column
    )


def _unread(number: int, raw: Mapping[str, object], faults: Faults) -> BulkPurchaseResult:
    return BulkPurchaseResult(
        line=number,
        code=str(raw.get("code", ""))[:_CODE_SHOWN],
        result="failed",
        error=InvalidInput.code,
        detail=faults.detail,
        column=faults.column or None,
    )


class _Context:
    """Data that all lines share, read once: the named resellers, which of them may earn, and the months."""

    def __init__(
        self,
        who: Principal,
        own: ResellerView | None,
        known: Mapping[str, ResellerView],
        earning: Collection[UUID],
    ) -> None:
        self.who = who
        self.own = own
        self.known = known
        self.earning = earning
        self.months: dict[date, Problem | date] = {}

    def buyer(self, cpf: str | None) -> ResellerView:
        """Return a line's reseller: its CPF's, or the sender.

        Raises:
            UnknownReseller: the CPF is no reseller's, or there is none and the sender is not one.
            Forbidden: it is another's, without `purchases:write`.
            CpfNotProven: it is another's whose CPF is not proven, and the policy refuses it.
        """
        found = self.own if cpf is None else self.known.get(cpf)
        if found is None:
            raise UnknownReseller
        if not self.who.may("purchases:write") and found != self.own:
            raise Forbidden
        if found.user_id not in self.earning and found.user_id != self.who.id:
            raise identity.CpfNotProven
        return found

    async def month(self, tx: Tx, day: date) -> date:
        """Return the open month of a line's day; each day is looked up once.

        Raises:
            InvalidInput, MonthClosed: as in `service.month_of` and `service.lock_open`.
        """
        if day not in self.months:
            try:
                month = await month_of(tx, day)
                await lock_open(tx, month)
                self.months[day] = month
            except (InvalidInput, MonthClosed) as problem:
                self.months[day] = problem
        found = self.months[day]
        if isinstance(found, Problem):
            raise found
        return found


async def register_many(  # noqa: PLR0913 - a file, its sender and options
    tx: Tx,
    policy: UnprovenCpf,
    who: Principal,
    sent: BulkLines,
    *,
    atomic: bool,
    approved_up_to: int | None = None,
) -> BulkPurchasesOut:
    """Register many purchases, each line with its result; with `atomic`, all lines or none.

    As in `service.register`, amounts above `approved_up_to` centavos are not approved automatically.

    Raises:
        Forbidden, NotAReseller: the sender neither is a reseller nor may register for others.
        BulkRejected: `atomic`, and a line is wrong; its `results` say which.
    """
    results, values = await _judge(tx, policy, who, sent, approved_up_to)
    results = await _write(tx, values, results)
    summary = _summary(values, results, atomic=atomic)
    await audit.record(
        tx,
        "purchases_registered_in_bulk",
        registered=summary.registered,
        failed=summary.failed,
        amount=summary.amount,
    )
    return summary


async def preview_many(tx: Tx, policy: UnprovenCpf, who: Principal, sent: BulkLines) -> BulkPurchasesPreviewOut:
    """Return the expected outcome of each line of a bulk registration, with amounts for people. Nothing is registered.

    Raises:
        Forbidden, NotAReseller: the sender neither is a reseller nor may register for others.
    """
    judged, values = await _judge(tx, policy, who, sent, None)
    codes = [value["code"] for value in values]
    taken = set(await tx.scalars(select(Purchase.code).where(Purchase.code.in_(codes))))
    due = iter(values)
    results: list[BulkPurchasePreview] = []
    for result in judged:
        value = next(due) if result.result == "registered" else None
        if value is not None and value["code"] in taken:
            results.append(_previewed(_failed(result.line, result.code, PurchaseCodeTaken()), None))
            continue
        taken |= {value["code"]} if value else set()
        results.append(_previewed(result, value["amount"] if value else None))
    theirs = await tx.scalars(select(Reseller).where(Reseller.id.in_({value["reseller_id"] for value in values})))
    await audit.record_looks(tx, "purchases_previewed", [resellers.view_of(row).person for row in theirs])
    total = sum(item.amount or 0 for item in results)
    ready = sum(item.result == "ready" for item in results)
    return BulkPurchasesPreviewOut(
        ready=ready, failed=len(results) - ready, amount=total, value=format_brl(total), results=results
    )


def _previewed(result: BulkPurchaseResult, amount: int | None) -> BulkPurchasePreview:
    return BulkPurchasePreview(
        line=result.line,
        code=result.code,
        result="failed" if amount is None else "ready",
        amount=amount,
        value=None if amount is None else format_brl(amount),
        error=result.error,
        detail=result.detail,
        column=result.column,
    )


async def _judge(
    tx: Tx, policy: UnprovenCpf, who: Principal, sent: BulkLines, approved_up_to: int | None
) -> tuple[list[BulkPurchaseResult], list[dict[str, Any]]]:
    """Return each line's expected result, and the rows to insert."""
    own = None if who.may("purchases:write") and not await resellers.is_one(tx, who) else await resellers.mine(tx, who)
    lines = [check_line(_shape, sent, number, raw) for number, raw in sent.numbered()]
    cpfs = {line.cpf for line in lines if isinstance(line, BulkPurchaseIn) and line.cpf is not None}
    known = await resellers.by_cpf(tx, sorted(cpfs))
    user_ids = {view.user_id for view in [*known.values(), *([own] if own else [])] if view.user_id is not None}
    context = _Context(who, own, known, await earning(tx, policy, user_ids))
    results: list[BulkPurchaseResult] = []
    values: list[dict[str, Any]] = []
    approvals = await configuration.auto_approved(
        tx, [view.cpf or "" for view in [*context.known.values(), *([own] if own else [])]]
    )
    for (number, raw), line in zip(sent.numbered(), lines, strict=True):
        if isinstance(line, Faults):
            results.append(_unread(number, raw, line))
            continue
        try:
            reseller = context.buyer(line.cpf)
            month = await context.month(tx, line.date)
        except Problem as problem:
            results.append(_failed(number, line.code, problem))
            continue
        approved = (
            (approved_up_to is None or line.amount <= approved_up_to)
            and reseller.user_id in context.earning
            and any(approval.cpf == reseller.cpf and configuration.holds(approval, month) for approval in approvals)
        )
        values.append(_row(line, reseller, month, who, approved=approved))
        results.append(
            BulkPurchaseResult(
                line=number,
                code=line.code,
                result="registered",
                id=values[-1]["id"],
                status=STATUS[values[-1]["status"]],
            )
        )
    return results, values


def _row(
    line: BulkPurchaseIn, reseller: ResellerView, month: date, who: Principal, *, approved: bool
) -> dict[str, Any]:
    now = clock.now()
    return {
        "id": uuid7(),
        "reseller_id": reseller.id,
        "code": line.code,
        "amount": line.amount,
        "purchased_on": line.date,
        "month": month,
        "status": APPROVED if approved else PENDING,
        "created_by": who.id,
        "created_at": now,
        "decided_at": now if approved else None,
    }


async def _write(
    tx: Tx, values: Sequence[dict[str, Any]], results: Sequence[BulkPurchaseResult]
) -> list[BulkPurchaseResult]:
    """Insert new purchases; a taken code, by an earlier line or before, fails its line.

    Codes are inserted in order, so that two files with the same codes cannot deadlock.
    """
    first: dict[str, dict[str, Any]] = {}
    for value in values:
        first.setdefault(value["code"], value)
    written: set[UUID] = set()
    if first:
        statement = insert(Purchase).on_conflict_do_nothing(index_elements=["code"]).returning(Purchase.id)
        written = set(await tx.scalars(statement, [first[code] for code in sorted(first)]))
    return [
        _failed(result.line, result.code, PurchaseCodeTaken())
        if result.result == "registered" and result.id not in written
        else result
        for result in results
    ]


def _summary(
    values: Sequence[Mapping[str, Any]], results: Sequence[BulkPurchaseResult], *, atomic: bool
) -> BulkPurchasesOut:
    failed = sum(result.result == "failed" for result in results)
    if atomic and failed:
        undone = {"result": "not_registered", "id": None, "status": None}
        raise BulkPurchasesRejected(
            results=[
                (result if result.result == "failed" else result.model_copy(update=undone)).model_dump(mode="json")
                for result in results
            ]
        )
    registered = {result.id: result for result in results if result.result == "registered"}
    for result in registered.values():
        metrics.purchases_total.labels(PENDING if result.status == STATUS[PENDING] else APPROVED).inc()
    total = sum(value["amount"] for value in values if value["id"] in registered)
    return BulkPurchasesOut(registered=len(registered), failed=failed, amount=total, results=list(results))
