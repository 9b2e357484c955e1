"""Top-ups: one account, or many in bulk."""

import asyncio
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, NoReturn
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import select

from carteira import ledger
from carteira.benefits import funding, lifecycle
from carteira.benefits.accounts import find, find_for, gains_of, persons_named
from carteira.benefits.authorizer.explain import category_named
from carteira.benefits.employers import EVERYBODYS, Reach, reach_of
from carteira.benefits.errors import (
    BenefitAccountClosed,
    BenefitAccountNotFound,
    BulkTopUpRejected,
    UnknownCategory,
)
from carteira.benefits.ledger_kinds import LEDGER_KIND, credit_entry
from carteira.benefits.models import (
    BenefitCategory,
)
from carteira.benefits.schemas import (
    BulkCreditIn,
    BulkCreditOut,
    BulkCreditPreview,
    BulkCreditPreviewOut,
    BulkCreditResult,
    CreditIn,
    CreditOut,
)
from carteira.kit.db import outbox
from carteira.kit.db.session import Tx, fetch
from carteira.kit.ops.cooperative import PIECE, pieces
from carteira.kit.security import audit
from carteira.kit.security.approvals import Act, Gains
from carteira.kit.values.actor import Actor
from carteira.kit.values.csv_lines import BulkLines, Column, money_columns, text_column
from carteira.kit.values.ids import uuid7
from carteira.kit.values.money import format_brl
from carteira.kit.values.texts import counted
from carteira.kit.web.csv_bodies import Faults, check_count, check_line
from carteira.kit.web.problems import Problem

MAX_BULK_LINES = 10_000
CSV_COLUMNS = [
    text_column("account", "conta"),
    Column("category", ("category", "categoria"), category_named),
    *money_columns(),
    text_column("description", "descrição", required=False),
]
"""The columns of a file of top-ups."""

CREDITED = "benefits.credited"
CREDITED_ONE, CREDITED_IN_BULK = "benefit_credited", "benefits_credited_in_bulk"
"""The acts of top-ups."""
_RECORDER = ledger.Recorder(outbox.EVENTS)
AccountCategory = tuple[str, str]
"""An account's reference and a category."""


class CreditTarget(NamedTuple):
    """The benefit account and the category of a ledger account."""

    account_id: UUID
    employer_id: UUID
    user_id: UUID | None
    category: str


@dataclass(slots=True)
class _Found:
    """The found accounts: references, employers, and the ledger account of each wanted category."""

    references: set[str] = field(default_factory=set)
    closed: set[str] = field(default_factory=set)
    employers: set[UUID] = field(default_factory=set)
    prefunded: set[UUID] = field(default_factory=set)
    accounts: dict[AccountCategory, UUID] = field(default_factory=dict)
    targets: dict[UUID, CreditTarget] = field(default_factory=dict)

    def refusal_of(self, reference: str) -> Problem:
        """Return why an account cannot be credited in a category."""
        if reference in self.closed:
            return BenefitAccountClosed()
        return UnknownCategory() if reference in self.references else BenefitAccountNotFound()

    @property
    def scope(self) -> UUID | None:
        """The employer, if all accounts have the same one."""
        return next(iter(self.employers)) if len(self.employers) == 1 else None


_FIND = """
    SELECT account.reference, account.id, account.employer_id, account.state = 'closed', account.user_id,
           employer.prefunded
    FROM benefits_accounts account JOIN benefits_employers employer ON employer.id = account.employer_id
    WHERE account.reference = ANY($1::text[]) AND ($2::uuid[] IS NULL OR account.employer_id = ANY($2::uuid[]))
"""


async def _find_accounts(tx: Tx, requested: Collection[AccountCategory], reach: Reach) -> _Found:
    """Find the accounts within reach and the ledger account of each (reference, category), without locks.

    A category that was configured after an account was opened gets its ledger account at its first top-up; in order, so
    that transactions cannot deadlock.
    """
    names = set(await tx.scalars(select(BenefitCategory.name)))
    found = _Found()
    reached = None if reach.employers is None else list(reach.employers)
    missing: list[tuple[AccountCategory, UUID]] = []
    async for piece in pieces(requested):
        rows = await fetch(tx, _FIND, list({reference for reference, _ in piece}), reached)
        found.references.update(row[0] for row in rows)
        found.closed.update(row[0] for row in rows if row[3])
        open_ones = {row[0]: row for row in rows if not row[3]}
        found.employers.update(row[2] for row in rows)
        found.prefunded.update(row[2] for row in rows if row[5])
        held = {
            one: (open_ones[one[0]][1], LEDGER_KIND + one[1])
            for one in piece
            if one[0] in open_ones and one[1] in names
        }
        there = await ledger.find_held(tx, held.values())
        for one, account in held.items():
            if account in there:
                found.accounts[one] = there[account]
                _, account_id, employer_id, _, user_id, _ = open_ones[one[0]]
                found.targets[there[account]] = CreditTarget(account_id, employer_id, user_id, one[1])
        missing += [(one, account[0]) for one, account in held.items() if account not in there]
    for (reference, category), holder_id in sorted(missing):
        view = await find(tx, reference, keep=True)  # its owner must not change meanwhile
        found.accounts[reference, category] = await ledger.open_account(
            tx, LEDGER_KIND + category, holder_id=holder_id, owner_id=view.user_id
        )
        found.targets[found.accounts[reference, category]] = CreditTarget(
            view.id, view.employer_id, view.user_id, category
        )
    return found


async def credit(tx: Tx, reference: str, body: CreditIn, act: Act) -> CreditOut:
    """Top up one category of an account.

    Raises:
        BenefitAccountNotFound: there is no such account.
        BenefitAccountClosed: it is closed.
        UnknownCategory: the category is not configured.
        MustWait, DailyCeilingReached: it exceeds the operator's limit.
        InsufficientFund: the pre-funded employer has paid in less.
    """
    view = await find_for(tx, reference, act.actor)
    await lifecycle.refuse_closed(tx, reference)
    found = await _find_accounts(tx, [(reference, body.category)], EVERYBODYS)
    account_id = found.accounts.get((reference, body.category))
    if account_id is None:
        raise UnknownCategory(errors=[{"field": "category", "message": "Categoria desconhecida."}])
    summary = f"Creditar {format_brl(body.amount)} em {body.category} da conta {reference}"
    gains = Gains.of(view.user_id, view.cpf)
    await act.weigh(tx, amount=body.amount, summary=summary, gains=gains, scope=view.employer_id)
    source = (await funding.sources_of(tx, [view.employer_id], found.prefunded))[view.employer_id]
    await funding.require(tx, {source: body.amount})
    entry = credit_entry(account_id, body.amount, body.description, source=source, key=act.key)
    book = await ledger.lock(tx, [source, account_id])
    book.post(entry)
    events = outbox.as_rows(CREDITED, [event_of(found.targets[account_id], body.amount, entry.id)])
    await ledger.write(tx, book, actor=act.actor, approved_by=act.approved_by, records=_RECORDER.record(*events))
    await audit.record(
        tx,
        CREDITED_ONE,
        actor=act.actor,
        approved_by=act.approved_by,
        subject=view.person,
        entry=entry.id,
        account_id=str(view.id),
        category=body.category,
        amount=body.amount,
    )
    return CreditOut(
        entry_id=entry.id,
        account=reference,
        category=body.category,
        amount=body.amount,
        balance=book.account(account_id).balance,
    )


def event_of(targets: CreditTarget, amount: int, entry_id: UUID) -> dict[str, object]:
    """Return the payload of a top-up's event."""
    return {
        "account_id": str(targets.account_id),
        "employer_id": str(targets.employer_id),
        "user_id": targets.user_id and str(targets.user_id),
        "category": targets.category,
        "amount": amount,
        "entry_id": str(entry_id),
    }


_shape = TypeAdapter(BulkCreditIn)


Line = tuple[str, str, int, str | None]
"""A good line of a bulk top-up: reference, category, centavos, description."""
Credit = tuple[UUID, UUID, int, str | None]
"""Its credit: ledger account, the entry's id, centavos, description. Both are plain tuples: so many models and entries
would keep the garbage collector busy and delay other requests."""


def _check(sent: BulkLines, number: int, raw: object) -> Line | BulkCreditResult:
    """Return a line as its model, or its error."""
    line = check_line(_shape, sent, number, raw)
    if isinstance(line, Faults):
        account = str(raw.get("account", ""))[:64] if isinstance(raw, dict) else ""
        return BulkCreditResult(
            line=number,
            account=account,
            status="failed",
            code="invalid_input",
            detail=line.detail,
            column=line.column or None,
        )
    return line.account, line.category, line.amount, line.description


def checked(sent: BulkLines, numbered: Iterable[tuple[int, object]]) -> list[tuple[int, Line | BulkCreditResult]]:
    """Return numbered lines, each parsed to its model or its error."""
    return [(number, _check(sent, number, raw)) for number, raw in numbered]


@dataclass(slots=True)
class Weighed:
    """A weighed bulk top-up: each line's result, the credits to post, and their accounts' people."""

    results: list[BulkCreditResult]
    due: list[Credit]
    found: _Found
    amount: int

    @property
    def employers(self) -> set[UUID]:
        """The employers of the good lines' accounts."""
        return self.found.employers

    @property
    def good(self) -> int:
        """The number of lines that have a credit to post."""
        return len(self.due)


def plain_lines(sent: BulkLines, *, most: int) -> list[tuple[int, Line]] | None:
    """Return the lines of a bulk top-up with their numbers; None: there are none or too many, or one is wrong."""
    if not 0 < len(sent.lines) <= most:
        return None
    lines = checked(sent, sent.numbered())
    good = [(number, line) for number, line in lines if isinstance(line, tuple)]
    return good if len(good) == len(lines) else None


async def weigh_many(tx: Tx, sent: BulkLines, act: Act, *, atomic: bool, when: str = "") -> Weighed:
    """Check a bulk top-up and weigh its good lines; nothing moves. `when` is shown to the checker.

    Raises:
        As `credit_many`.
    """
    check_count(len(sent.lines), MAX_BULK_LINES)
    results, due, found = await _judge(tx, sent, await reach_of(tx, act.actor))
    if atomic and len(due) < len(results):
        await _reject(results)
    total = sum(credit[2] for credit in due)
    await act.weigh(
        tx,
        amount=total,
        summary=f"Creditar {counted(len(due), 'linha')} de um lote{when}, {format_brl(total)} no total",
        gains=lambda: gains_of(tx, {result.account for result in results if result.status == "credited"}),
        scope=found.scope,
    )
    return Weighed(results, due, found, total)


async def credit_many(tx: Tx, sent: BulkLines, act: Act, *, atomic: bool) -> BulkCreditOut:
    """Top up many accounts at once, each line with its result; with `atomic`, all lines or none.

    The work is done in pieces that yield to the event loop. Nothing is locked before the credits are known.

    Raises:
        InvalidInput: no line, or more than 10,000.
        BulkRejected: `atomic`, and a line is wrong; its `results` say which.
        MustWait, DailyCeilingReached: its good lines add up to more than one operator does alone, or in a day.
        InsufficientFund: its pre-funded employer has paid in less than their sum.
    """
    weighed = await weigh_many(tx, sent, act, atomic=atomic)
    await _lock_open(tx, weighed)
    results, due, total = weighed.results, weighed.due, weighed.amount
    if atomic and len(due) < len(results):
        await _reject(results)
    await _post(tx, due, weighed.found, act)
    failed = len(results) - len(due)
    await audit.record(
        tx,
        CREDITED_IN_BULK,
        actor=act.actor,
        approved_by=act.approved_by,
        credited=len(due),
        failed=failed,
        amount=total,
    )
    return BulkCreditOut(credited=len(due), failed=failed, amount=total, results=results)


async def preview_many(tx: Tx, sent: BulkLines, actor: Actor) -> BulkCreditPreviewOut:
    """Return the expected outcome of each line of a bulk top-up, with amounts for people. Nothing moves.

    Raises:
        InvalidInput: no line, or more than 10,000.
    """
    check_count(len(sent.lines), MAX_BULK_LINES)
    results, due, _ = await _judge(tx, sent, await reach_of(tx, actor))
    good = iter(due)
    lines = [_previewed(result, good) async for piece in pieces(results) for result in piece]
    named = {result.account for result in results if result.status == "credited"}
    await audit.record_looks(tx, "benefit_credits_previewed", await persons_named(tx, named))
    total = sum(credit[2] for credit in due)
    return BulkCreditPreviewOut(
        ready=len(due), failed=len(results) - len(due), amount=total, value=format_brl(total), results=lines
    )


def _previewed(result: BulkCreditResult, good: Iterator[Credit]) -> BulkCreditPreview:
    shown = result.model_dump(include={"line", "account", "code", "detail", "column"})
    if result.status == "failed":
        return BulkCreditPreview(status="failed", **shown)
    amount = next(good)[2]
    return BulkCreditPreview(status="ready", amount=amount, value=format_brl(amount), **shown)


async def _judge(tx: Tx, sent: BulkLines, reach: Reach) -> tuple[list[BulkCreditResult], list[Credit], _Found]:
    """Return each line's expected result, the credits to post, and the found accounts."""
    numbered = pieces(sent.numbered(), PIECE // 2)  # describing a wrong line takes time
    lines = [one async for piece in numbered for one in checked(sent, piece)]
    found = await _find_accounts(tx, {line[:2] for _, line in lines if isinstance(line, tuple)}, reach)
    results: list[BulkCreditResult] = []
    due: list[Credit] = []
    async for piece in pieces(lines):
        for number, line in piece:
            if isinstance(line, BulkCreditResult):
                results.append(line)
            elif account_id := found.accounts.get(line[:2]):
                due.append((account_id, entry_id := uuid7(), line[2], line[3]))
                results.append(credited(number, line[0], entry_id))
            else:
                results.append(_failed(number, line[0], found.refusal_of(line[0])))
    return results, due, found


_KEEP = "SELECT id, state FROM benefits_accounts WHERE id = ANY($1::uuid[]) ORDER BY id FOR SHARE"


async def _lock_open(tx: Tx, weighed: Weighed) -> None:
    """Lock the accounts against closing; a line whose account was closed has failed.

    They are locked in the order of their ids, over all pieces, so that transactions cannot deadlock.
    """
    targets = weighed.found.targets
    ids = sorted({targets[credit[0]].account_id for credit in weighed.due}, key=lambda one: one.int)
    closed: set[UUID] = set()
    async for piece in pieces(ids):
        closed.update(row[0] for row in await fetch(tx, _KEEP, list(piece)) if row[1] == "closed")
    if not closed:
        return
    gone = {credit[1] for credit in weighed.due if targets[credit[0]].account_id in closed}
    weighed.due = [credit for credit in weighed.due if credit[1] not in gone]
    weighed.amount = sum(credit[2] for credit in weighed.due)
    weighed.results = [
        _failed(result.line, result.account, BenefitAccountClosed()) if result.entry_id in gone else result
        for result in weighed.results
    ]


async def _post(tx: Tx, due: list[Credit], found: _Found, act: Act) -> None:
    """Lock, post and write one piece at a time.

    The order is that of the accounts' ids, over all pieces, so that transactions cannot deadlock; an account's credits
    keep the order of their lines. Funds are locked before all accounts.

    Raises:
        InsufficientFund: a fund does not cover its credits.
    """
    needed: dict[UUID, int] = {}
    for account_id, _, amount, _ in due:
        employer_id = found.targets[account_id].employer_id
        needed[employer_id] = needed.get(employer_id, 0) + amount
    sources = await funding.sources_of(tx, needed, found.prefunded)
    await funding.require(tx, {sources[one]: amount for one, amount in needed.items()})
    await asyncio.sleep(0)  # sorting takes some milliseconds, and so does freeing the checked lines
    due.sort(key=lambda credit: credit[0].int)
    async for piece in pieces(enumerate(due, 1)):
        book = await ledger.lock(tx, [*sources.values(), *(credit[0] for _, credit in piece)])
        for number, (account_id, entry_id, amount, description) in piece:
            source, key = sources[found.targets[account_id].employer_id], act.key_of(number)
            entry = credit_entry(account_id, amount, description, source=source, entry_id=entry_id, key=key)
            book.post(entry)
        events = [
            event_of(found.targets[account_id], amount, entry_id) for _, (account_id, entry_id, amount, _) in piece
        ]
        records = _RECORDER.record(*outbox.as_rows(CREDITED, events))
        await ledger.write(tx, book, actor=act.actor, approved_by=act.approved_by, records=records)


def credited(number: int, account: str, entry_id: UUID) -> BulkCreditResult:
    """Return the result of a line that was credited."""
    return BulkCreditResult(line=number, account=account, status="credited", entry_id=entry_id)


def _failed(number: int, account: str, problem: Problem) -> BulkCreditResult:
    return BulkCreditResult(line=number, account=account, status="failed", code=problem.code, detail=problem.detail)


async def _reject(results: Sequence[BulkCreditResult]) -> NoReturn:
    raise BulkTopUpRejected(results=[_not_credited(result) async for piece in pieces(results) for result in piece])


def _not_credited(result: BulkCreditResult) -> dict[str, object]:
    if result.status != "failed":
        result = result.model_copy(update={"status": "not_credited", "entry_id": None})
    return result.model_dump(mode="json")
