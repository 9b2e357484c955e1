"""Accounts from an HR file: stored line by line, and opened in the background, some lines per transaction.

The whole file is weighed and approved. A job opens its lines in order; after a crash the next worker continues where it
stopped, and nothing is opened twice, since a line and its account share a transaction. When a file is sent again, a CPF
that has an account at this employer gets `exists` and no credit. A line's personal data are erased once it is done.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import func, insert, select

from carteira.benefits import accounts, employers
from carteira.benefits.authorizer.explain import name_category
from carteira.benefits.errors import ImportNotFound
from carteira.benefits.models import BenefitAccount, BenefitCategory, BenefitImport, BenefitImportLine
from carteira.benefits.schemas import (
    AccountIn,
    ImportLine,
    ImportLineOut,
    ImportOut,
    ImportPreview,
    ImportPreviewOut,
)
from carteira.kit.db import jobs
from carteira.kit.db.engine import Database
from carteira.kit.db.keyset import keyset
from carteira.kit.db.session import Tx, locked
from carteira.kit.ops.cooperative import PIECE, pieces
from carteira.kit.security import audit
from carteira.kit.security.approvals import Act, Gains
from carteira.kit.values.actor import Actor
from carteira.kit.values.clock import clock
from carteira.kit.values.csv_lines import BulkLines, Column, cpf_column, money_columns, text_column
from carteira.kit.values.ids import uuid5, uuid7
from carteira.kit.values.money import format_brl
from carteira.kit.values.texts import counted
from carteira.kit.web.access import Principal
from carteira.kit.web.csv_bodies import Faults, check_count, check_line
from carteira.kit.web.pagination import CursorOf, Integer, Page, PageRequest
from carteira.kit.web.problems import Problem

MAX_LINES = 10_000
_LINES_A_TURN = 50


class ImportLineKey(NamedTuple):
    """The sort key of a file's lines."""

    number: Integer


LINES = CursorOf(ImportLineKey)
_shape = TypeAdapter(ImportLine)
_BALANCE = "balances."
"""The field prefix of a file's amount columns, as the model's errors name them."""


async def columns(tx: Tx) -> list[Column]:
    """Return the columns that a file of accounts may have: an amount for each configured category."""
    names = await tx.scalars(select(BenefitCategory.name).order_by(BenefitCategory.name))
    amounts = [
        column
        for name in names
        for column in money_columns(
            _BALANCE + name, (name, name_category(name).partition(" (")[0]), least=0, required=False
        )
    ]
    return [
        cpf_column(),
        text_column("name", "nome", required=False),
        text_column("contact", "contato", "e-mail", "email", "telefone", "celular", required=False),
        text_column("account", "conta", "referência", required=False),
        *amounts,
    ]


def folded(raw: Mapping[str, object]) -> dict[str, object]:
    """Move the amounts of a line's own columns into its balances."""
    amounts = {name.removeprefix(_BALANCE): raw[name] for name in raw if name.startswith(_BALANCE)}
    rest = {name: value for name, value in raw.items() if not name.startswith(_BALANCE)}
    return rest | {"balances": amounts} if amounts else rest


Checked = tuple[int, ImportLine | Faults]
"""A line's number, and its content or its error."""


async def check_lines(tx: Tx, sent: BulkLines) -> list[Checked]:
    """Check each line; an unknown category is an error."""
    names = set(await tx.scalars(select(BenefitCategory.name)))
    checked: list[Checked] = []
    async for piece in pieces(sent.numbered(), PIECE // 2):
        for number, raw in piece:
            line = check_line(_shape, sent, number, raw)
            if isinstance(line, ImportLine) and (unknown := set(line.balances) - names):
                line = Faults(f"balances.{min(unknown)}", f"balances.{min(unknown)}: Categoria desconhecida.")
            checked.append((number, line))
    return checked


def _good(checked: Iterable[Checked]) -> list[ImportLine]:
    return [line for _, line in checked if isinstance(line, ImportLine)]


async def preview(tx: Tx, sent: BulkLines, actor: Actor, employer_id: UUID | None) -> ImportPreviewOut:
    """Return the expected outcome of each line of a file, with amounts for people. Nothing is opened.

    Raises:
        InvalidInput: no line, or more than 10,000.
        EmployerNotFound, EmployerRequired: there is no such employer for the actor, or they have to name one.
    """
    check_count(len(sent.lines), MAX_LINES)
    employer_id = await employers.chosen_for_opening(tx, actor, employer_id)
    checked = await check_lines(tx, sent)
    there = await existing(tx, employer_id, _good(checked))
    await audit.record_looks(tx, "benefit_accounts_previewed", there.values())
    known = set(there)
    results: list[ImportPreview] = []
    for number, line in checked:
        if isinstance(line, Faults):
            results.append(ImportPreview(line=number, status="failed", detail=line.detail, column=line.column or None))
            continue
        status = "exists" if line.cpf in known else "ready"
        known.add(line.cpf)
        amount = sum(line.balances.values()) if status == "ready" else 0
        results.append(ImportPreview(line=number, status=status, amount=amount, value=format_brl(amount)))
    total = sum(item.amount or 0 for item in results)
    by_status = {name: sum(item.status == name for item in results) for name in ("ready", "exists", "failed")}
    return ImportPreviewOut(**by_status, amount=total, value=format_brl(total), results=results)


async def existing(tx: Tx, employer_id: UUID, lines: Sequence[ImportLine]) -> dict[str, UUID]:
    """Return the CPFs among lines that have an account at an employer, with the audit's subjects."""
    found = select(BenefitAccount).where(
        BenefitAccount.employer_id == employer_id, BenefitAccount.cpf.in_({line.cpf for line in lines})
    )
    return {row.cpf: row.user_id or row.id for row in await tx.scalars(found) if row.cpf is not None}


async def begin(tx: Tx, sent: BulkLines, act: Act, *, employer_id: UUID | None, invite: bool) -> ImportOut:
    """Store a file's lines and queue their opening.

    Raises:
        InvalidInput: no line, or more than 10,000.
        EmployerNotFound, EmployerRequired: there is no such employer for the actor, or they have to name one.
        MustWait, DailyCeilingReached: the opening balances together exceed the operator's limit.
    """
    check_count(len(sent.lines), MAX_LINES)
    employer_id = await employers.chosen_for_opening(tx, act.actor, employer_id)
    checked = await check_lines(tx, sent)
    good = _good(checked)
    total = sum(sum(line.balances.values()) for line in good)
    await act.weigh(
        tx,
        amount=total,
        summary=f"Abrir {counted(len(good), 'conta')} de um arquivo, com {format_brl(total)} de saldo inicial no total",
        gains=Gains(frozenset(), frozenset(line.cpf for line in good)),
        scope=employer_id,
    )
    row = BenefitImport(
        id=uuid7(),
        employer_id=employer_id,
        actor_kind=act.actor.kind,
        actor_id=act.actor.id,
        approved_by=act.approved_by,
        invite=invite,
        lines=len(checked),
        created_at=clock.now(),
    )
    tx.add(row)
    await tx.flush()
    async for piece in pieces(checked):
        await tx.execute(insert(BenefitImportLine), [_row_of(row.id, *item) for item in piece])
    await audit.record(
        tx,
        "benefit_accounts_imported",
        actor=act.actor,
        approved_by=act.approved_by,
        subject=row.id,
        employer=str(employer_id),
        lines=len(checked),
        amount=total,
    )
    await _queue_opening(tx, row.id)
    return await _out(tx, row)


async def _queue_opening(tx: Tx, import_id: UUID) -> None:
    """Queue the opening of a file's lines, one job at a time."""
    one = f"benefits.import:{import_id}"
    await jobs.soon(tx, "benefits:import_accounts", one=one, at=clock.now(), import_id=str(import_id))


async def requeue_unfinished(tx: Tx) -> None:
    """Queue unfinished files again, since their job may have failed too often or died."""
    unfinished = select(BenefitImport.id).where(BenefitImport.finished_at.is_(None)).order_by(BenefitImport.id)
    for import_id in (await tx.scalars(unfinished)).all():
        await _queue_opening(tx, import_id)


def _row_of(import_id: UUID, number: int, line: ImportLine | Faults) -> dict[str, Any]:
    """Return a line's row: its content, or its error."""
    row: dict[str, Any] = {"import_id": import_id, "number": number, "content": None, "status": "failed"}
    if isinstance(line, Faults):
        return row | {"code": "invalid_input", "detail": line.detail, "column": line.column or None}
    return row | {
        "content": line.model_dump(mode="json"), "status": "waiting", "code": None, "detail": None, "column": None,
    }  # fmt: skip


async def open_next(database: Database, import_id: UUID) -> bool:
    """Open a file's next lines in one transaction; return whether there may be more. A job calls it."""
    async with database.transaction() as tx:
        row = await locked(tx, BenefitImport, import_id)
        if row is None or row.finished_at is not None:
            return False
        waiting = (
            select(BenefitImportLine)
            .where(BenefitImportLine.import_id == import_id, BenefitImportLine.status == "waiting")
            .order_by(BenefitImportLine.number)
            .limit(_LINES_A_TURN)
        )
        lines = (await tx.scalars(waiting)).all()
        for line in lines:
            await _open(tx, row, line)
        if len(lines) < _LINES_A_TURN:
            row.finished_at = clock.now()
        await tx.flush()
        return row.finished_at is None


async def _open(tx: Tx, row: BenefitImport, line: BenefitImportLine) -> None:
    """Open a line's account, or record why not; erase the line's content."""
    asked = ImportLine.model_validate(line.content)
    there = await tx.scalar(
        select(BenefitAccount.reference).where(
            BenefitAccount.employer_id == row.employer_id, BenefitAccount.cpf == asked.cpf
        )
    )
    line.content = None
    line.account = there or asked.account or str(uuid5(row.employer_id, asked.cpf))
    if there is not None:
        line.status = "exists"
        return
    body = AccountIn(
        account=line.account,
        cpf=asked.cpf,
        name=asked.name,
        contact=asked.contact,
        employer_id=row.employer_id,
        balances=asked.balances,
        invite=row.invite,
    )
    act = Act(Actor(row.actor_kind, row.actor_id), row.approved_by, f"import:{row.id}:{line.number}")
    try:
        async with tx.begin_nested():
            await accounts.open_account(tx, body, act)
    except Problem as problem:
        line.status, line.code, line.detail = "failed", problem.code, problem.detail
    else:
        line.status = "opened"


async def _find(tx: Tx, who: Principal, import_id: UUID) -> BenefitImport:
    row = await tx.get(BenefitImport, import_id)
    if row is None or not (await employers.reach_of(tx, who.actor)).includes(row.employer_id):
        raise ImportNotFound
    return row


async def find(tx: Tx, who: Principal, import_id: UUID) -> ImportOut:
    """Return a file's progress.

    Raises:
        ImportNotFound: there is none, or it is another employer's.
    """
    return await _out(tx, await _find(tx, who, import_id))


async def _out(tx: Tx, row: BenefitImport) -> ImportOut:
    counting = (
        select(BenefitImportLine.status, func.count())
        .where(BenefitImportLine.import_id == row.id)
        .group_by(BenefitImportLine.status)
    )
    counts: Mapping[str, int] = {row[0]: row[1] for row in await tx.execute(counting)}
    return ImportOut(
        id=row.id,
        employer_id=row.employer_id,
        state="running" if row.finished_at is None else "finished",
        lines=row.lines,
        **{name: counts.get(name, 0) for name in ("waiting", "opened", "exists", "failed")},
        created_at=row.created_at,
        finished_at=row.finished_at,
    )


async def lines_of(
    tx: Tx, who: Principal, import_id: UUID, status: str | None, asked: PageRequest[ImportLineKey]
) -> Page[ImportLineOut]:
    """Return the outcomes of a file's lines, in their order.

    Raises:
        ImportNotFound: there is none, or it is another employer's.
    """
    await _find(tx, who, import_id)
    query = select(BenefitImportLine).where(BenefitImportLine.import_id == import_id)
    if status is not None:
        query = query.where(BenefitImportLine.status == status)
    after = None if asked.after is None else asked.after.number
    query = keyset(query, BenefitImportLine.number, after=after, limit=asked.limit + 1, turned=asked.turned)
    page = asked.page((await tx.scalars(query)).all(), lambda row: ImportLineKey(row.number))
    return page.map(ImportLineOut.model_validate)
