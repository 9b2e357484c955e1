"""The lines of long orders for their checkers: what each would do now, for whom, and the balance before and after."""

from collections.abc import Collection, Iterable, Sequence
from datetime import date
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select

from carteira import ledger
from carteira.benefits import employers, funding, imports, topups
from carteira.benefits.employers import Reach
from carteira.benefits.errors import BenefitAccountClosed, BenefitAccountNotFound, UnknownCategory
from carteira.benefits.ledger_kinds import LEDGER_KIND
from carteira.benefits.models import BenefitAccount, BenefitCategory, Employer
from carteira.benefits.schemas import BulkCreditResult, ImportLine
from carteira.kit.db.session import Tx
from carteira.kit.ops.cooperative import PIECE, pieces
from carteira.kit.values.actor import Actor
from carteira.kit.values.cpf import mask_cpf
from carteira.kit.values.csv_lines import BulkLines
from carteira.kit.values.money import format_brl
from carteira.kit.values.texts import counted
from carteira.kit.web.approvals import LongOrder, OrderLine

_EXISTS = "Já tem conta nesta empresa: nada muda."


class _Target(NamedTuple):
    """A benefit account that a line names."""

    account_id: UUID
    employer_id: UUID
    employer: str
    prefunded: bool
    state: str


async def credit_order(tx: Tx, sent: BulkLines, maker: Actor, *, atomic: bool, day: date | None = None) -> LongOrder:
    """Return a bulk top-up's lines with the result that each would have now, within its maker's employers.

    It is refused whole for one wrong line with `atomic`, and for a fund that does not cover it; a scheduled one (`day`)
    takes from the fund on its day only.
    """
    checked = [one async for piece in pieces(sent.numbered(), PIECE // 2) for one in topups.checked(sent, piece)]
    named = {line[0] for _, line in checked if isinstance(line, tuple)}
    targets = await _targets(tx, named, await employers.reach_of(tx, maker))
    known = set(await tx.scalars(select(BenefitCategory.name)))
    earlier: dict[tuple[str, str], int] = {}
    found: list[OrderLine] = []
    async for piece in pieces(checked):
        for number, line in piece:
            if isinstance(line, BulkCreditResult):
                found.append(OrderLine(number, line.account, state="wrong", detail=line.detail or ""))
                continue
            account, category, amount, _ = line
            target = targets.get(account)
            parts, fault = {category: amount}, _fault(target, category, known)
            if target is None or fault:
                group = target.employer if target else ""
                found.append(OrderLine(number, account, group, parts, "wrong", fault))
                continue
            before = earlier.get((account, category), 0)
            earlier[account, category] = before + amount
            holder = target.account_id
            found.append(OrderLine(number, account, target.employer, parts, holder=holder, earlier=before))
    wrong = sum(line.state == "wrong" for line in found)
    if atomic and wrong:
        return LongOrder(found, f"{counted(wrong, 'linha')} com erro, e o pedido é tudo ou nada.", day)
    refusal = await _fund_lacking(tx, [line for line in found if line.state == "done"], targets) if day is None else ""
    return LongOrder(found, refusal, day)


async def _fund_lacking(tx: Tx, lines: Iterable[OrderLine], targets: dict[str, _Target]) -> str:
    """Return which pre-funded employer has paid in less than its lines take; empty: none."""
    needed: dict[UUID, int] = {}
    names: dict[UUID, str] = {}
    for line in lines:
        target = targets[line.subject]
        if target.prefunded:
            needed[target.employer_id] = needed.get(target.employer_id, 0) + line.amount
            names[target.employer_id] = target.employer
    there = await funding.balances(tx, sorted(needed)) if needed else {}
    for employer_id, amount in needed.items():
        balance = there.get(employer_id, 0)
        if balance < amount:
            lacks = f"é pré-paga e tem {format_brl(balance)}: faltam {format_brl(amount - balance)}."
            return f"A empresa {names[employer_id]} {lacks}"
    return ""


def _fault(target: _Target | None, category: str, known: Collection[str]) -> str:
    if target is None:
        return BenefitAccountNotFound.detail
    if target.state == "closed":
        return BenefitAccountClosed.detail
    return "" if category in known else UnknownCategory.detail


async def _targets(tx: Tx, references: Collection[str], reach: Reach) -> dict[str, _Target]:
    """Return the accounts within reach, by reference."""
    found: dict[str, _Target] = {}
    columns = (BenefitAccount.id, Employer.id, Employer.name, Employer.prefunded, BenefitAccount.state)
    query = select(BenefitAccount.reference, *columns).join(Employer, Employer.id == BenefitAccount.employer_id)
    if reach.employers is not None:
        query = query.where(BenefitAccount.employer_id.in_(reach.employers))
    async for piece in pieces(sorted(references)):
        rows = await tx.execute(query.where(BenefitAccount.reference.in_(piece)))
        found.update({row[0]: _Target(*row[1:]) for row in rows})
    return found


async def credit_balances(tx: Tx, lines: Sequence[OrderLine]) -> list[tuple[int, int] | None]:
    """Return each line's balance before and after it, with the lines before it."""
    holders = {line.holder for line in lines if line.holder is not None}
    held = await ledger.accounts_of_holders(tx, sorted(holders)) if holders else {}
    now = {(holder, view.kind): view.balance for holder, views in held.items() for view in views}
    found: list[tuple[int, int] | None] = []
    for line in lines:
        if line.holder is None:
            found.append(None)
            continue
        (category,) = line.parts
        before = now.get((line.holder, LEDGER_KIND + category), 0) + line.earlier
        found.append((before, before + line.amount))
    return found


async def import_order(tx: Tx, sent: BulkLines, maker: Actor, employer_id: UUID | None) -> LongOrder:
    """Return the lines of a file of accounts, with masked CPFs.

    Raises:
        EmployerNotFound, EmployerRequired: its maker no longer reaches the employer.
    """
    chosen = await employers.chosen_for_opening(tx, maker, employer_id)
    name = await tx.scalar(select(Employer.name).where(Employer.id == chosen)) or ""
    checked = await imports.check_lines(tx, sent)
    known = set(await imports.existing(tx, chosen, [line for _, line in checked if isinstance(line, ImportLine)]))
    found: list[OrderLine] = []
    async for piece in pieces(checked):
        for number, line in piece:
            if not isinstance(line, ImportLine):
                found.append(OrderLine(number, "", name, state="wrong", detail=line.detail))
                continue
            subject = line.account or mask_cpf(line.cpf)
            if line.cpf in known:
                found.append(OrderLine(number, subject, name, line.balances, "unchanged", _EXISTS))
                continue
            known.add(line.cpf)
            found.append(OrderLine(number, subject, name, line.balances))
    return LongOrder(found)


async def opening_balances(_tx: Tx, lines: Sequence[OrderLine]) -> list[tuple[int, int] | None]:
    """Return the balances of accounts that a file opens: nothing before, the opening balance after."""
    return [(0, line.amount) if line.state == "done" else None for line in lines]
