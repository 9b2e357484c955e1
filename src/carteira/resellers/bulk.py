"""Purchases in bulk from CSV: each line with its result, all written in one statement."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy.dialects.postgresql import insert

from carteira import identity
from carteira.kit.db.session import Tx
from carteira.kit.security import audit
from carteira.kit.values.clock import clock
from carteira.kit.values.csv_lines import UnexpectedColumns, UnreadableCsv, read_csv_lines
from carteira.kit.values.ids import uuid7
from carteira.kit.web.access import Principal
from carteira.kit.web.problems import Forbidden, InvalidInput, Problem
from carteira.kit.web.validation import describe
from carteira.resellers import configuration, metrics, resellers
from carteira.resellers.errors import BulkPurchasesRejected, MonthClosed, PurchaseCodeTaken, UnknownReseller
from carteira.resellers.models import Purchase
from carteira.resellers.proof import UnprovenCpf, earning
from carteira.resellers.resellers import ResellerView
from carteira.resellers.schemas import STATUS, BulkPurchaseIn, BulkPurchaseResult, BulkPurchasesOut
from carteira.resellers.service import APPROVED, PENDING, keep_open, month_of

MAX_LINES = 10_000
_CODE_SHOWN = 64


def parse_csv(body: bytes) -> list[dict[str, object]]:
    """Read `code,amount,date[,cpf]` (comma or semicolon, UTF-8, amounts in centavos) into raw lines.

    Raises:
        InvalidInput: not UTF-8, no header with these names, not CSV, no line or more than 10,000.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise _unreadable("O CSV deve estar em UTF-8.") from error
    try:
        lines = list(read_csv_lines(text, required=("code", "amount", "date"), optional=("cpf",)))
    except UnexpectedColumns as error:
        raise _unreadable("O CSV deve começar por code,amount,date,cpf.") from error
    except UnreadableCsv as error:
        raise _unreadable("O CSV não pôde ser lido.") from error
    if not 0 < len(lines) <= MAX_LINES:
        raise _unreadable(f"Envie de 1 a {MAX_LINES} linhas.")
    return lines


def _unreadable(message: str) -> InvalidInput:
    return InvalidInput(errors=[{"field": "body", "message": message}])


def _failed(number: int, code: str, problem: Problem) -> BulkPurchaseResult:
    detail = " ".join(f"{item['field']}: {item['message']}" for item in problem.errors) or problem.detail
    return BulkPurchaseResult(line=number, code=code[:_CODE_SHOWN], result="failed", error=problem.code, detail=detail)


def _parse(raw: Mapping[str, object]) -> BulkPurchaseIn:
    """Give a line in its shape.

    Raises:
        InvalidInput: a field is missing, unknown or wrong.
    """
    try:
        return BulkPurchaseIn.model_validate(raw)
    except ValidationError as error:
        raise InvalidInput(errors=[describe({**item}) for item in error.errors()]) from error


class _Context:
    """What all lines share, read once: the resellers named and which of them may earn, the months asked about."""

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
        """Give a line's reseller: its CPF's, or whoever sends the file.

        Raises:
            UnknownReseller: the CPF is no reseller's, or there is none and the sender is not one.
            Forbidden: it is another's, without `purchases:write`.
            CpfNotProven: it is another's whose CPF is not proven, and such are refused.
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
        """Give the open month of a line's day; each day is asked about once.

        Raises:
            InvalidInput, MonthClosed: as in `service.month_of` and `service.keep_open`.
        """
        if day not in self.months:
            try:
                month = await month_of(tx, day)
                await keep_open(tx, month)
                self.months[day] = month
            except (InvalidInput, MonthClosed) as problem:
                self.months[day] = problem
        found = self.months[day]
        if isinstance(found, Problem):
            raise found
        return found


async def register_many(  # noqa: PLR0913 - who sends what, and what holds for it
    tx: Tx,
    policy: UnprovenCpf,
    who: Principal,
    raw_lines: Sequence[Mapping[str, object]],
    *,
    atomic: bool,
    approved_up_to: int | None = None,
) -> BulkPurchasesOut:
    """Register many purchases, each line with its result; with `atomic`, all lines or none.

    As for `service.register`, what is above `approved_up_to` centavos is not approved automatically.

    Raises:
        Forbidden, NotAReseller: the sender neither is a reseller nor may register for others.
        BulkRejected: `atomic`, and a line is wrong; its `results` say which.
    """
    own = None if who.may("purchases:write") and not await resellers.is_one(tx, who) else await resellers.mine(tx, who)
    cpfs = sorted({str(raw["cpf"]) for raw in raw_lines if "cpf" in raw})
    known = await resellers.by_cpf(tx, [_digits(cpf) for cpf in cpfs])
    user_ids = {view.user_id for view in [*known.values(), *([own] if own else [])] if view.user_id is not None}
    context = _Context(who, own, known, await earning(tx, policy, user_ids))
    results: list[BulkPurchaseResult] = []
    values: list[dict[str, Any]] = []
    approvals = await configuration.auto_approved(
        tx, [view.cpf or "" for view in [*context.known.values(), *([own] if own else [])]]
    )
    for number, raw in enumerate(raw_lines, 1):
        try:
            line = _parse(raw)
            reseller = context.buyer(line.cpf)
            month = await context.month(tx, line.date)
        except Problem as problem:
            results.append(_failed(number, str(raw.get("code", "")), problem))
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


def _digits(cpf: str) -> str:
    return "".join(character for character in cpf if character.isdigit())[:11]


async def _write(
    tx: Tx, values: Sequence[dict[str, Any]], results: Sequence[BulkPurchaseResult]
) -> list[BulkPurchaseResult]:
    """Insert what is not there yet; a code that is taken, by an earlier line or before, fails its line.

    Codes go in sorted, so that two files with the same codes wait for each other in one order and never in a circle.
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
