"""The verbs of benefits: open accounts, top them up (one and in bulk), reverse and refund transactions, claim."""

import asyncio
import csv
import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn
from uuid import UUID

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from carteira import ledger
from carteira.benefits import batch
from carteira.benefits.authorization import Code
from carteira.benefits.batch import LEDGER_KIND, SETTLEMENT
from carteira.benefits.errors import (
    AlreadyReturned,
    BenefitAccountExists,
    BenefitAccountNotFound,
    BulkRejected,
    ReturnNotReversible,
    TransactionNotApproved,
    TransactionNotFound,
    UnknownCategory,
)
from carteira.benefits.models import (
    BenefitAccount,
    BenefitCategory,
    BenefitDecision,
    BenefitReturn,
)
from carteira.benefits.schemas import (
    AccountIn,
    AccountOut,
    BulkCreditIn,
    BulkCreditOut,
    BulkCreditResult,
    CreditIn,
    CreditOut,
    ReturnOut,
)
from carteira.kit.db.session import Tx
from carteira.kit.ops.cooperative import PIECE, pieces
from carteira.kit.values.clock import clock
from carteira.kit.values.ids import uuid7
from carteira.kit.values.money import format_brl
from carteira.kit.web.access import Principal
from carteira.kit.web.problems import InvalidInput, Problem
from carteira.kit.web.validation import describe

FUNDING = ledger.system_account("benefits.funding")
"""Where top-ups come from: what employers paid in."""

MAX_BULK_LINES = 10_000


@dataclass(frozen=True, slots=True)
class AccountView:
    """A benefit account as its callers see it."""

    id: UUID
    reference: str
    user_id: UUID | None
    cpf: str | None
    contact: str | None


async def find(tx: Tx, reference: str, *, keep: bool = False) -> AccountView:
    """Give an account by the processor's reference; with `keep` it stays as it is until the transaction ends.

    Raises:
        BenefitAccountNotFound: there is none.
    """
    query = select(BenefitAccount).where(BenefitAccount.reference == reference)
    query = query.execution_options(populate_existing=True)
    row = await tx.scalar(query.with_for_update(read=True) if keep else query)
    if row is None:
        raise BenefitAccountNotFound
    return AccountView(row.id, row.reference, row.user_id, row.cpf, row.contact)


async def visible(tx: Tx, reference: str, who: Principal) -> AccountView:
    """Give an account to its owner or to who may read benefits; to others it is not there.

    Raises:
        BenefitAccountNotFound: there is none, or it is another person's.
    """
    account = await find(tx, reference)
    if not who.may("benefits:read") and (account.user_id is None or account.user_id != who.user_id):
        raise BenefitAccountNotFound
    return account


async def balances(tx: Tx, account_id: UUID) -> dict[str, int]:
    """Give an account's balances in centavos by category; configured categories without money are zero."""
    names = await tx.scalars(select(BenefitCategory.name).order_by(BenefitCategory.name))
    known = {
        view.kind.removeprefix(LEDGER_KIND): view.balance for view in await ledger.accounts_of_holder(tx, account_id)
    }
    return {name: known.get(name, 0) for name in names}


async def open_account(tx: Tx, body: AccountIn) -> AccountOut:
    """Open an account with a ledger account for each category, and credit what it begins with.

    Raises:
        BenefitAccountExists: the reference is taken.
        UnknownCategory: a balance names a category that is not configured.
    """
    names = list(await tx.scalars(select(BenefitCategory.name).order_by(BenefitCategory.name)))
    unknown = sorted(set(body.balances) - set(names))
    if unknown:
        errors = [{"field": f"balances.{name}", "message": "Categoria desconhecida."} for name in unknown]
        raise UnknownCategory(errors=errors)
    opened = await tx.scalar(
        insert(BenefitAccount)
        .values(id=uuid7(), reference=body.account, cpf=body.cpf, user_id=body.user_id, contact=body.contact)
        .on_conflict_do_nothing(index_elements=["reference"])
        .returning(BenefitAccount.id)
    )
    if opened is None:
        raise BenefitAccountExists
    for name in names:
        account_id = await ledger.open_account(tx, LEDGER_KIND + name, holder_id=opened, owner_id=body.user_id)
        if amount := body.balances.get(name, 0):
            await ledger.post(tx, _credit(account_id, amount, "Saldo inicial"))
    return AccountOut(account=body.account, balances=await balances(tx, opened))


def _credit(account_id: UUID, amount: int, description: str | None, entry_id: UUID | None = None) -> ledger.NewEntry:
    return ledger.transfer(
        "benefits.credit",
        source=FUNDING,
        target=account_id,
        amount=amount,
        description=description,
        entry_id=entry_id,
    )


Wanted = tuple[str, str]
"""An account's reference and a category."""


async def _find_wanted(tx: Tx, wanted: Collection[Wanted]) -> tuple[set[str], dict[Wanted, UUID]]:
    """Find the references that exist and the ledger account of each (reference, category), and lock none of them.

    A category that was configured after an account was opened gets its ledger account at its first top-up; in order, so
    that no two transactions wait for each other.
    """
    names = set(await tx.scalars(select(BenefitCategory.name)))
    known: set[str] = set()
    accounts: dict[Wanted, UUID] = {}
    missing: list[tuple[Wanted, UUID]] = []
    async for piece in pieces(wanted):
        ids = await batch.find_accounts(tx, list({reference for reference, _ in piece}))
        known.update(ids)
        held = {one: (ids[one[0]], LEDGER_KIND + one[1]) for one in piece if one[0] in ids and one[1] in names}
        found = await ledger.find_held(tx, held.values())
        accounts |= {one: found[account] for one, account in held.items() if account in found}
        missing += [(one, account[0]) for one, account in held.items() if account not in found]
    for (reference, category), holder_id in sorted(missing):
        view = await find(tx, reference, keep=True)  # its owner must not change meanwhile
        accounts[reference, category] = await ledger.open_account(
            tx, LEDGER_KIND + category, holder_id=holder_id, owner_id=view.user_id
        )
    return known, accounts


async def credit(tx: Tx, reference: str, body: CreditIn) -> CreditOut:
    """Top up one category of an account.

    Raises:
        BenefitAccountNotFound: there is no such account.
        UnknownCategory: the category is not configured.
    """
    await find(tx, reference)
    _, accounts = await _find_wanted(tx, [(reference, body.category)])
    account_id = accounts.get((reference, body.category))
    if account_id is None:
        raise UnknownCategory(errors=[{"field": "category", "message": "Categoria desconhecida."}])
    entry = _credit(account_id, body.amount, body.description)
    book = await ledger.lock(tx, [account_id])
    book.post(entry)
    await ledger.write(tx, book)
    return CreditOut(
        entry_id=entry.id,
        account=reference,
        category=body.category,
        amount=body.amount,
        balance=book.account(account_id).balance,
    )


_lines = TypeAdapter(BulkCreditIn)


async def parse_csv(text: str) -> list[dict[str, object]]:
    """Read `account,category,amount[,description]` (comma or semicolon, amounts in centavos) into raw lines.

    Raises:
        InvalidInput: no header with these names, or not CSV.
    """
    text = text.removeprefix("\ufeff")
    head = text.partition("\n")[0]
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=";" if ";" in head else ",", strict=True)
    names = [name.strip().lower() for name in reader.fieldnames or []]
    if not {"account", "category", "amount"} <= set(names) <= {"account", "category", "amount", "description"}:
        raise InvalidInput(errors=[{"field": "body", "message": "O CSV deve começar por account,category,amount."}])
    reader.fieldnames = names
    try:
        return [line async for piece in pieces(map(_raw_line, reader)) for line in piece]
    except csv.Error as error:
        raise InvalidInput(errors=[{"field": "body", "message": "O CSV não pôde ser lido."}]) from error


def _raw_line(row: Mapping[str, str | list[str] | None]) -> dict[str, object]:
    """Leave out what is blank. csv puts what has no header under the name None: an unknown field, refused as one."""
    line: dict[str, object] = {}
    for name, value in row.items():
        if value:
            line[name or "extra"] = value.strip() if isinstance(value, str) else value
    amount = line.get("amount")
    if isinstance(amount, str) and amount.isascii() and amount.isdigit() and len(amount) <= 13:  # noqa: PLR2004 - 10^12
        line["amount"] = int(amount)
    return line


Line = tuple[str, str, int, str | None]
"""A good line of a bulk top-up: reference, category, centavos, description."""
Credit = tuple[UUID, UUID, int, str | None]
"""What becomes of it: ledger account, the entry's id, centavos, description. Both are plain tuples: what so many models
and entries cost the garbage collector would be felt by whoever is served meanwhile."""


def _check(number: int, raw: object) -> Line | BulkCreditResult:
    """Give a line in its shape, or what is wrong with it."""
    try:
        line = _lines.validate_python(raw)
    except ValidationError as error:
        described = [describe({**item}) for item in error.errors()]
        detail = " ".join(f"{item['field']}: {item['message']}" for item in described)
        account = str(raw.get("account", ""))[:64] if isinstance(raw, dict) else ""
        return BulkCreditResult(line=number, account=account, status="failed", code="invalid_input", detail=detail)
    return line.account, line.category, line.amount, line.description


async def credit_many(tx: Tx, raw_lines: Sequence[object], *, atomic: bool) -> BulkCreditOut:
    """Top up many accounts at once, each line with its result; with `atomic`, all lines or none.

    The work is done in pieces, so that others are served meanwhile. Nothing is locked before it is known what to post.

    Raises:
        InvalidInput: no line, or more than 10,000.
        BulkRejected: `atomic`, and a line is wrong; its `results` say which.
    """
    if not 0 < len(raw_lines) <= MAX_BULK_LINES:
        message = f"Envie de 1 a {MAX_BULK_LINES} linhas."
        raise InvalidInput(errors=[{"field": "body", "message": message}])
    results, due = await _judge(tx, raw_lines)
    if atomic and len(due) < len(results):
        await _reject(results)
    await _post(tx, due)
    total = sum(amount for _, _, amount, _ in due)
    failed = len(results) - len(due)
    return BulkCreditOut(credited=len(due), failed=failed, amount=total, results=results)


async def _judge(tx: Tx, raw_lines: Sequence[object]) -> tuple[list[BulkCreditResult], list[Credit]]:
    """Give each line's result, if it comes to that, and what there is to post."""
    numbered = pieces(enumerate(raw_lines, 1), PIECE // 2)  # a bad line takes its time to describe
    checked = [_check(number, raw) async for piece in numbered for number, raw in piece]
    known, accounts = await _find_wanted(tx, {line[:2] for line in checked if isinstance(line, tuple)})
    results: list[BulkCreditResult] = []
    due: list[Credit] = []
    async for piece in pieces(checked):
        for line in piece:
            if isinstance(line, BulkCreditResult):
                results.append(line)
            elif account_id := accounts.get(line[:2]):
                due.append((account_id, entry_id := uuid7(), line[2], line[3]))
                results.append(_credited(len(results) + 1, line[0], entry_id))
            else:
                problem = UnknownCategory() if line[0] in known else BenefitAccountNotFound()
                results.append(_failed(len(results) + 1, line[0], problem))
    return results, due


async def _post(tx: Tx, due: list[Credit]) -> None:
    """Lock, post and write a piece at a time.

    In the order of the accounts' ids, over all pieces, so that no two transactions wait for each other; an account's
    credits stay in the order of their lines.
    """
    await asyncio.sleep(0)  # to sort is some milliseconds' work, and so was to throw away what was judged by
    due.sort(key=lambda credit: credit[0].int)
    async for piece in pieces(due):
        book = await ledger.lock(tx, [account_id for account_id, *_ in piece])
        for account_id, entry_id, amount, description in piece:
            book.post(_credit(account_id, amount, description, entry_id))
        await ledger.write(tx, book)


def _credited(number: int, account: str, entry_id: UUID) -> BulkCreditResult:
    return BulkCreditResult(line=number, account=account, status="credited", entry_id=entry_id)


def _failed(number: int, account: str, problem: Problem) -> BulkCreditResult:
    return BulkCreditResult(line=number, account=account, status="failed", code=problem.code, detail=problem.detail)


async def _reject(results: Sequence[BulkCreditResult]) -> NoReturn:
    raise BulkRejected(results=[_not_credited(result) async for piece in pieces(results) for result in piece])


def _not_credited(result: BulkCreditResult) -> dict[str, object]:
    if result.status != "failed":
        result = result.model_copy(update={"status": "not_credited", "entry_id": None})
    return result.model_dump(mode="json")


async def _approved(tx: Tx, transaction_id: UUID) -> BenefitDecision:
    """Lock an approved transaction for giving money back.

    Raises:
        TransactionNotFound: there is none.
        TransactionNotApproved: it moved nothing.
        AlreadyReturned: its entry was reversed in the ledger.
    """
    decision = await tx.get(BenefitDecision, transaction_id)
    if decision is None:
        raise TransactionNotFound
    if decision.code != Code.APPROVED:
        raise TransactionNotApproved
    await ledger.lock_entry(tx, transaction_id)
    if await ledger.is_reversed(tx, transaction_id):
        raise AlreadyReturned
    return decision


RETURNS = ("benefits.reversal", "benefits.refund")
"""The kinds of entry that give money back of a purchase."""


async def _give_back(tx: Tx, decision: BenefitDecision, kind: str, amount: int) -> ReturnOut:
    """Post the money from what merchants are owed back to the category that paid."""
    assert decision.account_id is not None, "an approved transaction has an account"
    assert decision.category_used is not None, "and a category that paid"
    holder = await ledger.accounts_of_holder(tx, decision.account_id)
    target = next(view.id for view in holder if view.kind == LEDGER_KIND + decision.category_used)
    description = f"{'Estorno' if kind == 'reversal' else 'Devolução'}: {decision.merchant}"
    entry = ledger.transfer(
        f"benefits.{kind}", source=SETTLEMENT, target=target, amount=amount, description=description
    )
    await ledger.post(tx, entry)
    await _record_return(tx, entry.id, decision.id, kind, amount)
    return ReturnOut(
        id=entry.id,
        transaction_id=decision.id,
        kind="reversal" if kind == "reversal" else "refund",
        amount=amount,
        entry_id=entry.id,
        category=decision.category_used,
    )


async def _record_return(tx: Tx, entry_id: UUID, decision_id: UUID, kind: str, amount: int) -> None:
    tx.add(BenefitReturn(id=entry_id, decision_id=decision_id, kind=kind, amount=amount, created_at=clock.now()))
    await tx.flush()


async def _returned(tx: Tx, transaction_id: UUID) -> int:
    """Give how many centavos of a transaction were given back."""
    total = await tx.scalar(select(func.sum(BenefitReturn.amount)).where(BenefitReturn.decision_id == transaction_id))
    return int(total or 0)


async def reverse(tx: Tx, transaction_id: UUID) -> ReturnOut:
    """Undo an approved transaction whole.

    Raises:
        AlreadyReturned: it was reversed, or a part of it refunded.
    """
    decision = await _approved(tx, transaction_id)
    if await _returned(tx, transaction_id):
        raise AlreadyReturned
    return await _give_back(tx, decision, "reversal", decision.amount or 0)


async def refund(tx: Tx, transaction_id: UUID, amount: int | None) -> ReturnOut:
    """Give a part of an approved transaction back, or all that is left of it, to the category that paid.

    Raises:
        AlreadyReturned: less is left than is asked for.
    """
    decision = await _approved(tx, transaction_id)
    left = (decision.amount or 0) - await _returned(tx, transaction_id)
    wanted = left if amount is None else amount
    if not 0 < wanted <= left:
        raise AlreadyReturned(f"Restam {format_brl(left)} a devolver desta transação." if left else None)
    return await _give_back(tx, decision, "refund", wanted)


async def record_reversed(tx: Tx, reversal: ledger.NewEntry) -> None:
    """Take part in the ledger's reversal of a purchase: it is given back whole, and so not once more.

    Raises:
        AlreadyReturned: it was reversed, or a part of it refunded.
    """
    assert reversal.reverses_id is not None, "a reversal names what it undoes"
    if await _returned(tx, reversal.reverses_id):
        raise AlreadyReturned
    amount = sum(posting.amount for posting in reversal.postings if posting.amount > 0)
    await _record_return(tx, reversal.id, reversal.reverses_id, "reversal", amount)


async def refuse_return_reversed(_tx: Tx, _reversal: ledger.NewEntry) -> None:
    """Keep the ledger from reversing what was given back of a purchase.

    Raises:
        ReturnNotReversible: always.
    """
    raise ReturnNotReversible
