"""Top-ups, refunds and reversals in two trips: one read, and one write that compares what was read (`ledger.at_once`).

They handle the plain case: an account of the caller's employers in a known category, and an amount that one operator
moves alone. All other cases, refusals included, are left to `topups` and `returns`. A pre-funded employer's fund is one
more read.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal, NamedTuple
from uuid import UUID

from fastapi import Response

from carteira import ledger
from carteira.benefits.authorizer.answers import Code
from carteira.benefits.ledger_kinds import EMPLOYER_FUND, FUNDING, LEDGER_KIND, SETTLEMENT, credit_entry
from carteira.benefits.returns import REFUNDED, REVERSED, description_of
from carteira.benefits.schemas import BulkCreditOut, CreditIn, CreditOut, ReturnOut
from carteira.benefits.topups import CREDITED, CREDITED_IN_BULK, CREDITED_ONE, CreditTarget, Line, credited, event_of
from carteira.kit.db.insert import Insert
from carteira.kit.db.outbox import EVENTS, as_rows
from carteira.kit.db.session import LeanTx
from carteira.kit.security import audit
from carteira.kit.security.operator_days import COUNT_DAY
from carteira.kit.values.actor import Actor
from carteira.kit.values.clock import clock
from carteira.kit.web.idempotency import RECORDS

MOST_AT_ONCE: Final = 100
"""Bulk top-ups with more lines run in a session's transaction, in batches."""
FindDay = Callable[[int], tuple[object, ...] | None]
"""Returns the daily ceiling of an amount (`operator_days.day_of`); None: one operator may not move it alone."""
Answer = Callable[[object], tuple[Response, tuple[object, ...]]]
"""Returns a result as the response, and the parameters of `RECORDS` that store it."""

_REACHED: Final = """(
    NOT EXISTS (SELECT FROM benefits_employer_members member WHERE member.member_id = $2)
    OR EXISTS (SELECT FROM benefits_employer_members member WHERE member.member_id = $2 AND member.ended_at IS NULL
               AND member.employer_id = {})
)"""
_PREFUNDED: Final = """(
    SELECT employer.prefunded FROM benefits_employers employer WHERE employer.id = holder_row.employer_id
)"""
_ACCOUNTS: Final = ledger.Holders(
    "benefits_accounts",
    name="reference",
    more=(
        "employer_id",
        "user_id",
        "ARRAY(SELECT name FROM benefits_categories)",
        _PREFUNDED,
        f"(state <> 'closed' AND {_REACHED.format('holder_row.employer_id')})",
    ),
)
_FUNDS: Final = ledger.Holders("benefits_employers", name="id")
_DAY: Final = COUNT_DAY.format(*(f"{{{place}}}" for place in range(3, 9)))
_RECORDER: Final = ledger.Recorder(
    RECORDS, EVENTS, audit.ACTS, guard=f"benefits_keep_accounts({{0}}, {{1}}, {{2}}), {_DAY}", guarded=9
)


class _Credits(NamedTuple):
    """The book of some top-ups, with the account of each line, and the funds of pre-funded employers."""

    book: ledger.Book
    targets: Sequence[tuple[UUID, CreditTarget]]
    funds: Mapping[UUID, UUID]

    def post(self, account_id: UUID, employer_id: UUID, amount: int, description: str | None) -> UUID | None:
        """Post a top-up and return the entry's id; None: the employer's fund does not cover it."""
        source = self.funds.get(employer_id, FUNDING)
        entry = credit_entry(account_id, amount, description, source=source)
        try:
            self.book.post(entry)
        except ledger.InsufficientFunds:
            return None
        return entry.id


async def _read(tx: LeanTx, lines: Sequence[Line], who: UUID) -> _Credits | None:
    """Read the accounts of lines; None: one does not exist, or is not plain."""
    targets: dict[tuple[str, str], tuple[UUID, CreditTarget]] = {}
    accounts: dict[UUID, ledger.Account] = {}
    prefunded: set[UUID] = set()
    wanted = {line[:2] for line in lines}
    for reference, holder, account in await ledger.accounts_held(tx, _ACCOUNTS, {line[0] for line in lines}, who):
        account_id, employer_id, user_id, categories, is_prefunded, is_plain = holder
        category = account.kind.removeprefix(LEDGER_KIND) if account is not None else ""
        if account is None or not is_plain or (reference, category) not in wanted or category not in categories:
            continue
        targets[reference, category] = (account.id, CreditTarget(account_id, employer_id, user_id, category))
        accounts[account.id] = account
        if is_prefunded:
            prefunded.add(employer_id)
    if len(targets) < len(wanted):
        return None
    funds = {}
    for employer_id, _, fund in await ledger.accounts_held(tx, _FUNDS, prefunded) if prefunded else ():
        if fund is None or fund.kind != EMPLOYER_FUND:
            return None
        funds[employer_id] = fund.id
        accounts[fund.id] = fund
    return _Credits(ledger.Book(accounts.values()), [targets[line[:2]] for line in lines], funds)


async def credit(  # noqa: PLR0913 - a top-up's parts
    tx: LeanTx, reference: str, body: CreditIn, *, actor: Actor, who: UUID, day: FindDay, answer: Answer
) -> Response | None:
    """Top up one account as `topups.credit` does; None: call that instead.

    Raises:
        StaleBook, PostgresError: as `ledger.at_once` knows them; nothing was written.
    """
    counted = day(body.amount)
    found = await _read(tx, [(reference, body.category, body.amount, body.description)], who) if counted else None
    if counted is None or found is None:
        return None
    ((account_id, target),) = found.targets
    entry_id = found.post(account_id, target.employer_id, body.amount, body.description)
    if entry_id is None:
        return None
    result = CreditOut(
        entry_id=entry_id,
        account=reference,
        category=body.category,
        amount=body.amount,
        balance=found.book.account(account_id).balance,
    )
    act = audit.acts_of(
        CREDITED_ONE,
        subject=target.user_id or target.account_id,
        entry=entry_id,
        account_id=str(target.account_id),
        category=body.category,
        amount=body.amount,
    )
    response, record = answer(result)
    events = [event_of(target, body.amount, entry_id)]
    await _write(tx, found, actor, (*counted, *record, *as_rows(CREDITED, events), act))
    audit.done(CREDITED_ONE)
    return response


async def credit_many(  # noqa: PLR0913 - a bulk top-up's parts
    tx: LeanTx, numbered: Sequence[tuple[int, Line]], *, actor: Actor, who: UUID, day: FindDay, answer: Answer
) -> Response | None:
    """Top up accounts as `topups.credit_many` does; None: call that instead.

    Raises:
        StaleBook, PostgresError: as `ledger.at_once` knows them; nothing was written.
    """
    lines = [line for _, line in numbered]
    total = sum(line[2] for line in lines)
    counted = day(total)
    found = await _read(tx, lines, who) if counted else None
    if counted is None or found is None:
        return None
    results, events = [], []
    for (number, (reference, _, amount, description)), (account_id, target) in zip(
        numbered, found.targets, strict=True
    ):
        entry_id = found.post(account_id, target.employer_id, amount, description)
        if entry_id is None:
            return None
        results.append(credited(number, reference, entry_id))
        events.append(event_of(target, amount, entry_id))
    out = BulkCreditOut(credited=len(results), failed=0, amount=total, results=results)
    act = audit.acts_of(CREDITED_IN_BULK, credited=len(results), failed=0, amount=total)
    response, record = answer(await out.written())
    await _write(tx, found, actor, (*counted, *record, *as_rows(CREDITED, events), act))
    audit.done(CREDITED_IN_BULK)
    return response


async def _write(tx: LeanTx, found: _Credits, actor: Actor, rows: tuple[object, ...]) -> None:
    kept = {target.account_id: target for _, target in found.targets}
    employers, people = [one.employer_id for one in kept.values()], [one.user_id for one in kept.values()]
    await ledger.write(tx, found.book, actor=actor, records=_RECORDER.record(list(kept), employers, people, *rows))


_OF_ACCOUNT: Final = "(SELECT account.{} FROM benefits_accounts account WHERE account.id = holder_row.account_id)"
_DECISIONS: Final = ledger.Holders(
    "(SELECT * FROM benefits_decisions WHERE id = ($1::uuid[])[1])",  # one, so that one partition is read
    name="id",
    holder_id="account_id",
    more=(
        "code",
        "amount",
        "category_used",
        "merchant",
        _OF_ACCOUNT.format("user_id"),
        "(SELECT coalesce(sum(amount), 0)::bigint FROM benefits_returns WHERE decision_id = holder_row.id)",
        _REACHED.format(_OF_ACCOUNT.format("employer_id")),
    ),
)
_RETURNS: Final = Insert(
    (
        "benefits_returns (id, decision_id, kind, amount, created_at)",
        "SELECT {0}::uuid, {1}::uuid, {2}::text, {3}::bigint, {4}::timestamptz",
    ),
    parameters=5,
)
_RETURN_DAY: Final = COUNT_DAY.format(*(f"{{{place}}}" for place in range(2, 8)))
_RETURNER: Final = ledger.Recorder(
    RECORDS, audit.ACTS, _RETURNS, guard=f"benefits_keep_returned({{0}}, {{1}}), {_RETURN_DAY}", guarded=8
)


class WantedReturn(NamedTuple):
    """An order to return a purchase: all of it (`reversal`), or an amount, or the rest (`refund`)."""

    decision_id: UUID
    kind: Literal["reversal", "refund"]
    amount: int | None = None

    def of(self, paid: int, returned: int) -> int:
        """Return the centavos to return, by the paid and the returned ones; 0: impossible."""
        if self.kind == "reversal":
            return 0 if returned else paid
        wanted = paid - returned if self.amount is None else self.amount
        return wanted if 0 < wanted <= paid - returned else 0


async def give_back(  # noqa: PLR0913 - a return's parts
    tx: LeanTx, back: WantedReturn, *, actor: Actor, who: UUID, day: FindDay, answer: Answer
) -> Response | None:
    """Return a purchase's money as `returns` does; None: call that instead.

    Raises:
        StaleBook, PostgresError: as `ledger.at_once` knows them; nothing was written.
    """
    rows = await ledger.accounts_held(tx, _DECISIONS, [back.decision_id], who)
    found = {account.kind: (holder, account) for _, holder, account in rows if account is not None}
    if not found:
        return None
    (account_id, code, paid, category, merchant, user_id, returned, is_reached), _ = next(iter(found.values()))
    payer = LEDGER_KIND + (category or "")
    if payer not in found or code != Code.APPROVED or not is_reached:
        return None
    wanted = back.of(paid, returned)
    counted = day(wanted) if wanted else None
    if counted is None:
        return None
    _, account = found[payer]
    entry = ledger.transfer(
        f"benefits.{back.kind}",
        source=SETTLEMENT,
        target=account.id,
        amount=wanted,
        description=description_of(back.kind, merchant),
    )
    book = ledger.Book([account])
    book.post(entry)
    result = ReturnOut(
        id=entry.id,
        transaction_id=back.decision_id,
        kind=back.kind,
        amount=wanted,
        entry_id=entry.id,
        category=category,
    )
    transaction_id, action = str(back.decision_id), REVERSED if back.kind == "reversal" else REFUNDED
    act = audit.acts_of(
        action, subject=user_id or account_id, entry=entry.id, transaction_id=transaction_id, amount=wanted
    )
    response, record = answer(result)
    row = entry.id, back.decision_id, back.kind, wanted, clock.now()
    records = _RETURNER.record(back.decision_id, returned, *counted, *record, act, *row)
    await ledger.write(tx, book, actor=actor, records=records)
    audit.done(action)
    return response
