"""Operators' reads of the authorizer's decisions: lists with filters, one decision explained, totals.

There are many decisions: every filter uses an index, or examines a limited number of the newest ones.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import ColumnElement, Integer, Select, Uuid, any_, bindparam, func, select, text

from carteira.benefits import catalog, finding, operations, queries, topups
from carteira.benefits.accounts import persons
from carteira.benefits.authorizer.answers import Code, Reason
from carteira.benefits.authorizer.explain import explain
from carteira.benefits.authorizer.rules import CASH, Decision, normalise_merchant
from carteira.benefits.catalog import delete_merchant, get_merchant, list_categories, list_merchants, put_merchant
from carteira.benefits.employers import EmployerView
from carteira.benefits.employers import listed as employers_of
from carteira.benefits.errors import BenefitAccountNotFound, CatalogIsEverybodys, MerchantNotFound, TransactionNotFound
from carteira.benefits.funding import balances as fund_balances
from carteira.benefits.invitations import invite, invite_many
from carteira.benefits.lifecycle import block, close, unblock
from carteira.benefits.models import BenefitAccount, BenefitDecision, BenefitReference, BenefitReturn, Employer
from carteira.benefits.schemas import (
    AccountSearchIn,
    BulkCreditPreviewOut,
    ListedAccountOut,
    MerchantOut,
    SimulationOut,
)
from carteira.kit.db.reads import Query, Reads, rows
from carteira.kit.db.session import Tx
from carteira.kit.security import audit
from carteira.kit.values.clock import clock
from carteira.kit.values.csv_lines import BulkLines
from carteira.kit.values.ids import first_uuid7
from carteira.kit.web.access import Principal
from carteira.kit.web.approvals import Desk
from carteira.kit.web.csv_bodies import read_csv_body
from carteira.kit.web.idempotency import Answered
from carteira.kit.web.pagination import Page, PageRequest

__all__ = [
    "AccountSearchIn",
    "AskedPurchase",
    "BlockReason",
    "DecisionFilter",
    "DecisionTotals",
    "DecisionView",
    "EmployerView",
    "ListedAccountOut",
    "LiveDecision",
    "MerchantNotFound",
    "MerchantOut",
    "ReturnView",
    "RuleEffect",
    "WholeDecisionView",
    "account",
    "accounts",
    "block",
    "close",
    "decision",
    "decision_totals",
    "decisions",
    "delete_merchant",
    "effect_of_rule",
    "employers_of",
    "fund_balances",
    "get_merchant",
    "invite",
    "invite_many",
    "list_categories",
    "list_merchants",
    "newest_decisions",
    "preview_top_up",
    "put_merchant",
    "read_top_up",
    "reason_name",
    "refund",
    "require_unbound",
    "reverse",
    "simulate",
    "top_up",
    "unblock",
]

WALKED = 20_000
"""The most decisions that are examined for filters without an index: a merchant's name, a category, a reason."""


BlockReason = Literal["lost_or_stolen", "suspected_fraud", "holder_asked", "court_order"]


@dataclass(frozen=True, slots=True)
class DecisionFilter:
    """An operator's filters of decisions; None: any. `declined`: the declined ones."""

    account: str | None = None
    person: UUID | None = None
    code: str | None = None
    declined: bool = False
    reference: str | None = None
    merchant: str | None = None
    category: str | None = None
    reason: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    oldest_first: bool = False


@dataclass(frozen=True, slots=True)
class DecisionView:
    """A decision as operators see it; amounts in centavos."""

    id: UUID
    reference: str | None
    account: str
    amount: int | None
    mcc: str | None
    merchant: str | None
    fallback: bool
    code: str
    reason: str
    category_tried: str | None
    category_used: str | None
    rule: str | None
    short_by: int | None
    explanation: str
    created_at: datetime

    @property
    def approved(self) -> bool:
        """Whether money moved."""
        return self.code == Code.APPROVED


@dataclass(frozen=True, slots=True)
class ReturnView:
    """A refund or reversal of a transaction."""

    id: UUID
    kind: str
    amount: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class WholeDecisionView:
    """A decision with its account's person and its refunds."""

    decision: DecisionView
    user_id: UUID | None
    holder: str | None
    """The worker's name as the employer gave it, if the account is unclaimed."""
    employer: str | None
    returns: Sequence[ReturnView]

    @property
    def left(self) -> int:
        """The amount that may still be refunded."""
        if not self.decision.approved:
            return 0
        return (self.decision.amount or 0) - sum(one.amount for one in self.returns)


@dataclass(frozen=True, slots=True)
class AskedPurchase:
    """A purchase to simulate; the amount in centavos."""

    account: str
    amount: int
    mcc: str
    merchant: str
    fallback: bool


@dataclass(frozen=True, slots=True)
class DecisionTotals:
    """The authorizer's recent answers: counts by code and reason, and since when."""

    since: datetime
    total: int
    by_code: dict[str, int]
    by_reason: dict[str, int]
    by_minute: Sequence[tuple[datetime, int, int]]
    """Approvals and declines per minute."""


def _view(row: Any) -> DecisionView:  # noqa: ANN401 - a row of the table or of a subquery
    decision = Decision(*(getattr(row, name) for name in Decision._fields))
    return DecisionView(
        row.id,
        row.external_id,
        row.account,
        row.amount,
        row.mcc,
        row.merchant,
        row.fallback,
        row.code,
        row.reason,
        row.category_tried,
        row.category_used,
        row.rule,
        row.short_by,
        explain(decision),
        row.created_at,
    )


async def decisions(tx: Tx, who: Principal, filters: DecisionFilter, asked: PageRequest[UUID]) -> Page[DecisionView]:
    """List the decisions of all accounts that a caller may read by claim; the look at each person is recorded.

    Raises:
        Forbidden: the claim is missing.
    """
    who.require("benefits:read")
    found = (await tx.scalars(_query(who, filters, asked))).all()
    page = asked.page(found, lambda row: row.id)
    account_ids = {row.account_id for row in page.items if row.account_id is not None}
    await audit.record_looks(tx, "transactions_listed", await persons(tx, account_ids) if account_ids else ())
    return page.map(_view)


def _query(who: Principal, filters: DecisionFilter, asked: PageRequest[UUID]) -> Select[BenefitDecision]:
    """Build the query: filters with an index first, others within a limited number of the resulting rows."""
    conditions = _indexed(who, filters, asked)
    base = select(BenefitDecision).order_by(_in_order(BenefitDecision.id, filters)).limit(asked.limit + 1)
    if filters.merchant is None and filters.category is None and filters.reason is None:
        return base.where(*conditions)
    columns = [BenefitDecision.id, BenefitDecision.merchant, BenefitDecision.category_tried]
    walked = (
        select(*columns, *([BenefitDecision.reason] if filters.reason is not None else []))
        .where(*conditions)
        .order_by(_in_order(BenefitDecision.id, filters))
        .limit(WALKED)
        .subquery()
    )
    found = select(walked.c.id).order_by(_in_order(walked.c.id, filters)).limit(asked.limit + 1)
    if filters.merchant is not None:
        found = found.where(walked.c.merchant.icontains(filters.merchant, autoescape=True))
    if filters.category is not None:
        found = found.where(walked.c.category_tried == filters.category)
    if filters.reason is not None:
        found = found.where(walked.c.reason == filters.reason)
    return base.where(BenefitDecision.id.in_(found))


def _in_order(column: Any, filters: DecisionFilter) -> Any:  # noqa: ANN401 - a column, and how it is sorted
    return column if filters.oldest_first else column.desc()


def _indexed(who: Principal, filters: DecisionFilter, asked: PageRequest[UUID]) -> list[ColumnElement[bool]]:
    conditions = _whose(who, filters)
    if filters.reference is not None:
        known = select(BenefitReference.decision_id).where(BenefitReference.external_id == filters.reference)
        conditions.append(BenefitDecision.id == known.scalar_subquery())
    if filters.code is not None:
        conditions.append(BenefitDecision.code == filters.code)
    is_declined = filters.declined or filters.reason in DECLINES
    if is_declined or (filters.code is not None and filters.code != Code.APPROVED.value):
        conditions.append(BenefitDecision.code != Code.APPROVED.value)
    if filters.since is not None:
        conditions.append(BenefitDecision.id >= first_uuid7(filters.since.timestamp()))
    if filters.until is not None:
        conditions.append(BenefitDecision.id < first_uuid7(filters.until.timestamp()))
    if asked.after is not None:
        further = BenefitDecision.id > asked.after if filters.oldest_first else BenefitDecision.id < asked.after
        conditions.append(further)
    return conditions


def _whose(who: Principal, filters: DecisionFilter) -> list[ColumnElement[bool]]:
    """Return the condition for an account's and a person's decisions, or those of the caller's employers."""
    accounts = select(BenefitAccount.id)
    if who.scopes is not None:
        accounts = accounts.where(BenefitAccount.employer_id.in_(who.scopes))
    if filters.account is not None:
        named = accounts.where(BenefitAccount.reference == filters.account)
        if filters.person is not None:
            named = named.where(BenefitAccount.user_id == filters.person)
        return [BenefitDecision.account_id == named.scalar_subquery()]
    if filters.person is not None:
        owned = accounts.where(BenefitAccount.user_id == filters.person)
        return [BenefitDecision.account_id == any_(func.array(owned.scalar_subquery()))]
    return [] if who.scopes is None else [BenefitDecision.account_id.in_(accounts)]


async def decision(tx: Tx, who: Principal, decision_id: UUID) -> WholeDecisionView:
    """Return one decision with its person and refunds, to a reader of its employer's benefits.

    Raises:
        TransactionNotFound: there is none, or it is another employer's.
    """
    query = (
        select(BenefitDecision, BenefitAccount, Employer.name)
        .outerjoin(BenefitAccount, BenefitAccount.id == BenefitDecision.account_id)
        .outerjoin(Employer, Employer.id == BenefitAccount.employer_id)
        .where(BenefitDecision.id == decision_id)
    )
    found = (await tx.execute(query)).one_or_none()
    who.require("benefits:read", otherwise=TransactionNotFound())
    if found is None:
        raise TransactionNotFound
    row = found[0]
    account: BenefitAccount | None = found[1]
    if who.scopes is not None and (account is None or account.employer_id not in who.scopes):
        raise TransactionNotFound
    returns = await tx.execute(
        select(BenefitReturn.id, BenefitReturn.kind, BenefitReturn.amount, BenefitReturn.created_at)
        .where(BenefitReturn.decision_id == decision_id)
        .order_by(BenefitReturn.id)
    )
    given_back = [ReturnView(*one) for one in returns]
    if account is None:
        await audit.record_looks(tx, "transaction_read", ())
        return WholeDecisionView(_view(row), None, None, None, given_back)
    await audit.record_looks(tx, "transaction_read", [account.user_id or account.id])
    return WholeDecisionView(_view(row), account.user_id, account.name, found[2], given_back)


async def reverse(tx: Tx, desk: Desk, who: Principal, decision_id: UUID) -> bool:
    """Reverse a transaction; above the limit it waits for a second person. Return whether it was done now.

    Raises:
        TransactionNotFound, TransactionNotApproved, AlreadyReturned, DailyCeilingReached.
    """
    order = operations.ReversalOrder(transaction_id=decision_id)
    return not isinstance(await desk.carry_out(tx, operations.REVERSE, order, who), Answered)


async def refund(tx: Tx, desk: Desk, who: Principal, decision_id: UUID, amount: int) -> bool:
    """Refund part of a transaction; above the limit it waits for a second person. Return whether it was done now.

    Raises:
        TransactionNotFound, TransactionNotApproved, AlreadyReturned, DailyCeilingReached.
    """
    order = operations.RefundOrder(transaction_id=decision_id, amount=amount)
    return not isinstance(await desk.carry_out(tx, operations.REFUND, order, who), Answered)


async def simulate(tx: Tx, who: Principal, asked: "AskedPurchase") -> SimulationOut:
    """Return what the authorizer would answer to a purchase, and why; nothing moves.

    Raises:
        BenefitAccountNotFound: there is no such account for the caller.
    """
    reais = f"{asked.amount // 100}.{asked.amount % 100:02d}"
    fields = {"account": asked.account, "mcc": asked.mcc, "merchant": asked.merchant}
    body = json.dumps(fields)[:-1] + f', "totalAmount": {reais}}}'
    return await queries.simulate(tx, body.encode(), b"" if asked.fallback else b"fallback=false", who)


_REASONS = {
    Reason.INSUFFICIENT_FUNDS: "Faltou saldo",
    Reason.UNKNOWN_ACCOUNT: "Conta que não existe",
    Reason.ACCOUNT_BLOCKED: "Conta bloqueada",
    Reason.TRANSACTION_ID_REUSED: "Identificador já usado",
    Reason.INVALID_MCC: "MCC sem quatro números",
    Reason.INVALID_AMOUNT: "Valor inválido",
    Reason.INVALID_MERCHANT: "Estabelecimento inválido",
    Reason.REVERSED_BEFORE: "Estornada antes de chegar",
    Reason.INVALID_ACCOUNT: "Conta inválida",
    Reason.INVALID_ID: "Identificador inválido",
    Reason.INVALID_FALLBACK: "fallback inválido",
    Reason.MALFORMED: "Pedido que não pôde ser lido",
}
DECLINES = frozenset(reason.value for reason in _REASONS)
"""The reasons of declined decisions, by which they can be listed."""


def reason_name(reason: str) -> str:
    """Return a reason's short name for lists."""
    return _REASONS.get(Reason(reason), _REASONS[Reason.MALFORMED])


_TOTALS = text("""
    WITH lately AS (
        SELECT code, reason, created_at FROM benefits_decisions WHERE id >= :since ORDER BY id DESC LIMIT :walked
    )
    SELECT code, reason, date_trunc('minute', created_at), count(*) FROM lately GROUP BY 1, 2, 3 ORDER BY 3
""")


async def decision_totals(tx: Tx, *, minutes: int) -> DecisionTotals:
    """Count the newest decisions of some minutes, of all employers, up to a number that keeps the cost low."""
    now = clock.now()
    since = now - timedelta(minutes=minutes)
    counted = (await tx.execute(_TOTALS, {"since": first_uuid7(since.timestamp()), "walked": WALKED})).all()
    by_code: dict[str, int] = {}
    by_reason: dict[str, int] = {}
    passed: dict[datetime, list[int]] = {}
    for code, reason, minute, count in counted:
        by_code[code] = by_code.get(code, 0) + count
        if code != Code.APPROVED.value:
            by_reason[reason] = by_reason.get(reason, 0) + count
        passed.setdefault(minute, [0, 0])[code != Code.APPROVED.value] += count
    total = sum(by_code.values())
    if total >= WALKED and passed:
        since = max(since, min(passed))
    by_minute = [(minute, good, bad) for minute, (good, bad) in sorted(passed.items())]
    return DecisionTotals(since, total, by_code, by_reason, by_minute)


@dataclass(frozen=True, slots=True)
class LiveDecision:
    """A live decision, which does not identify its person."""

    id: UUID
    employer_id: UUID | None
    account: str
    """The reference, masked."""
    view: DecisionView


_SHOWN_SIGNS = 3
_NEWEST = Query(
    select(BenefitDecision.__table__, BenefitAccount.employer_id)
    .outerjoin(BenefitAccount, BenefitAccount.id == BenefitDecision.account_id)
    .where(BenefitDecision.id > bindparam("since", type_=Uuid))
    .order_by(BenefitDecision.id.desc())
    .limit(bindparam("most", type_=Integer))
)


async def newest_decisions(via: Reads, *, since: datetime, most: int) -> list[LiveDecision]:
    """Return at most so many decisions since an instant, the newest first, in one trip."""
    found = await rows(via, _NEWEST, since=first_uuid7(since.timestamp()), most=most)
    return [
        LiveDecision(row["id"], row["employer_id"], row["account"][:_SHOWN_SIGNS] + "•••", _view(_Named(row)))
        for row in found
    ]


class _Named:
    """A driver's row with attributes, like a mapped one."""

    def __init__(self, row: Mapping[str, Any]) -> None:
        self._row = row

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - a column
        return self._row[name]


async def accounts(
    tx: Tx, who: Principal, filters: AccountSearchIn, asked: PageRequest[UUID]
) -> Page[ListedAccountOut]:
    """List the accounts that a caller may read, oldest first; the look at each person is recorded."""
    who.require("benefits:read")
    found = await finding.search(tx, who, filters, limit=asked.limit + 1, after=asked.after, turned=asked.turned)
    page = asked.page(found, lambda pair: pair[0])
    return page.map(lambda pair: pair[1])


async def account(tx: Tx, who: Principal, reference: str) -> ListedAccountOut:
    """Return one account with its balances; the look at its person is recorded.

    Raises:
        BenefitAccountNotFound: there is none, or it is another employer's.
    """
    page = await accounts(tx, who, AccountSearchIn(account=reference), PageRequest(1))
    if not page.items:
        raise BenefitAccountNotFound
    return page.items[0]


async def read_top_up(text: str) -> BulkLines:
    """Read a file of top-ups.

    Raises:
        InvalidInput: it is not CSV, its titles are not those expected, or it has too many lines.
    """
    return await read_csv_body(text.encode(), topups.CSV_COLUMNS, most=topups.MAX_BULK_LINES)


async def preview_top_up(tx: Tx, who: Principal, lines: BulkLines) -> BulkCreditPreviewOut:
    """Return the expected outcome of each line of a bulk top-up; nothing moves."""
    return await topups.preview_many(tx, lines, who.actor)


async def top_up(tx: Tx, desk: Desk, who: Principal, lines: BulkLines, *, atomic: bool) -> bytes | None:
    """Credit many accounts at once; above the limit the whole waits for a second person (None).

    Raises:
        BulkTopUpRejected: a line is wrong, and the request was atomic.
        DailyCeilingReached: it exceeds what is left of the operator's daily ceiling.
    """
    done = await desk.carry_out(tx, operations.CREDIT_MANY, operations.BulkCreditOrder.of(lines, atomic=atomic), who)
    return done if isinstance(done, bytes) else None


@dataclass(frozen=True, slots=True)
class RuleEffect:
    """The effect that a merchant rule would have had on a month's newest purchases."""

    purchases: int
    amount: int
    """In centavos."""
    moved: dict[tuple[str, str], int]
    """The number of purchases that would have changed category."""


_OF_MERCHANT = text("""
    WITH lately AS (
        SELECT merchant, mcc, category_tried, amount FROM benefits_decisions
        WHERE id >= :since ORDER BY id DESC LIMIT :walked
    )
    SELECT mcc, category_tried, count(*), CAST(sum(amount) AS bigint) FROM lately
    WHERE category_tried IS NOT NULL AND lower(regexp_replace(btrim(merchant), '\\s+', ' ', 'g')) = :merchant
    GROUP BY 1, 2
""")


async def effect_of_rule(tx: Tx, merchant: str, mcc: str | None) -> RuleEffect:
    """Return the effect that a rule would have had; without an MCC, the effect of deleting it."""
    known = await catalog.load(tx)
    since = first_uuid7((clock.now() - timedelta(days=30)).timestamp())
    asked = {"since": since, "walked": WALKED, "merchant": normalise_merchant(merchant)}
    purchases = amount = 0
    moved: dict[tuple[str, str], int] = {}
    for own_mcc, tried, many, total in await tx.execute(_OF_MERCHANT, asked):
        purchases, amount = purchases + many, amount + total
        then = known.by_mcc.get(mcc or own_mcc, CASH)
        if then != tried:
            moved[tried, then] = moved.get((tried, then), 0) + many
    return RuleEffect(purchases, amount, moved)


def require_unbound(who: Principal) -> None:
    """Refuse callers who are bound to an employer: this belongs to all employers.

    Raises:
        CatalogIsEverybodys: the caller is bound.
    """
    if who.scopes is not None:
        raise CatalogIsEverybodys
