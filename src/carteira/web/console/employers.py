"""Employers: list, add and change."""

from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from fastapi import Response

from carteira import benefits
from carteira.kit.db.session import Tx
from carteira.kit.values.cnpj import Cnpj
from carteira.kit.web.access import acts, claims, reads
from carteira.kit.web.pagination import BY_ID, Page
from carteira.web.console.acts import ActField, Confirmation, VersionForm, ask, ask_again, version_seen
from carteira.web.console.cells import amount, badge, instant, mono, words
from carteira.web.console.tables import OLDEST, Filter, Table, TableAsked, TableColumn, offer_csv
from carteira.web.forms import FormBody, Reading
from carteira.web.page import REFUSALS, SignedPage, WebPage
from carteira.web.routing import pages

router = pages("benefits")
HOME = "/console/empresas"
READS, WRITES, TOPS_UP, SEES_PEOPLE = "benefits:read", "employers:write", "benefits:write", "users:read"
_PREFUNDED = badge("Antes de creditar", "info")
_COMPANIES = reads("employers, which are no people")


class _Row(NamedTuple):
    """An employer, and its fund's balance in centavos; None: the operator may not see it."""

    employer: benefits.desk.EmployerView
    fund: int | None


TABLE: Table[_Row] = Table(
    HOME,
    "empresas",
    (
        TableColumn("Empresa", lambda row: words(row.employer.name), "full"),
        TableColumn("CNPJ", lambda row: mono(row.employer.cnpj)),
        TableColumn("Depósito", lambda row: _PREFUNDED if row.employer.prefunded else words("depois")),
        TableColumn("No fundo", lambda row: amount(row.fund), "end nowrap"),
        TableColumn("Desde", lambda row: instant(row.employer.created_at), "nowrap", order=OLDEST),
    ),
    key=lambda row: row.employer.id,
    filters=(Filter("busca", "Parte do nome, ou CNPJ", grows=True),),
    empty=("Nenhuma empresa", "Uma empresa abre contas e credita benefícios de quem trabalha nela."),
)


async def _read(page: WebPage, tx: Tx, asked: TableAsked, limit: int) -> Page[_Row]:
    place = asked.page_request(BY_ID, limit)
    found = await benefits.desk.employers_of(
        tx, page.who, limit=limit + 1, after=place.after, turned=place.turned, named=asked.get("busca")
    )
    may = page.holds(TOPS_UP)
    funds = await benefits.desk.fund_balances(tx, [one.id for one in found]) if may else {}
    rows = [_Row(one, funds.get(one.id, 0 if may and one.prefunded else None)) for one in found]
    return place.page(rows, lambda row: row.employer.id)


@router.get(HOME, dependencies=[claims(READS), _COMPANIES])
async def show_employers(page: SignedPage) -> Response:
    """List the employers that the operator may see."""
    to = "operadores" if page.holds(SEES_PEOPLE) else "mudar"
    table = replace(TABLE, opens=(lambda row: f"{HOME}/{row.employer.id}/{to}") if page.holds(WRITES) else None)
    return await table.answer(page, partial(_read, page), template="console/employers.html")


offer_csv(router, TABLE, _read, READS)


class NewEmployerForm(FormBody):
    """An employer's data."""

    cnpj: Cnpj
    name: benefits.bulk_desk.EmployerName
    prefunded: str = ""


class EmployerForm(NewEmployerForm, VersionForm):
    """The changed data of an employer."""


def _asking(one: benefits.desk.EmployerView | None) -> Confirmation:
    return Confirmation(
        title="Cadastrar uma empresa" if one is None else f"Mudar {one.name}",
        says=(
            "Uma empresa que deposita antes credita só o que depositou; as outras pagam depois.",
            "Quem cuida dela é vinculado na lista de operadores dela, e passa a ver só o que é dela.",
        ),
        way_back="Nome, CNPJ e forma de pagar podem ser mudados aqui.",
        button="Cadastrar" if one is None else "Salvar",
        path=f"{HOME}/nova" if one is None else f"{HOME}/{one.id}/mudar",
        back=HOME,
        fields=(
            ActField("name", "Nome", value=one.name if one else ""),
            ActField("cnpj", "CNPJ", value=(one.cnpj or "") if one else ""),
            ActField("prefunded", "Deposita antes de creditar", "check", value="sim" if one and one.prefunded else ""),
        ),
        seen=version_seen(one.version) if one else (),
    )


@router.get(f"{HOME}/nova", dependencies=[claims(READS, WRITES), _COMPANIES])
async def ask_employer(page: SignedPage) -> Response:
    """Show the form of a new employer."""
    return ask(page, _asking(None))


@router.post(f"{HOME}/nova", dependencies=[claims(READS, WRITES), acts("employer_added")])
async def add(page: SignedPage) -> Response:
    """Add an employer; a CNPJ that exists is refused, so that sending a form twice adds one."""
    form: Reading[Any] = await page.form(NewEmployerForm)
    if form.value is None:
        return ask_again(page, _asking(None), form)
    asked = form.value
    try:
        async with page.database.transaction() as tx:
            await benefits.bulk_desk.add_employer(tx, cnpj=asked.cnpj, name=asked.name, prefunded=bool(asked.prefunded))
    except REFUSALS as error:
        return ask_again(page, _asking(None), form, error)
    return page.go(HOME, "Empresa cadastrada.")


async def _one(page: WebPage, employer_id: UUID) -> benefits.desk.EmployerView:
    return await page.read(lambda tx: benefits.bulk_desk.find_employer(tx, page.who, employer_id))


@router.get(HOME + "/{employer_id}/mudar", dependencies=[claims(READS, WRITES), _COMPANIES])
async def ask_change(employer_id: UUID, page: SignedPage) -> Response:
    """Show the form of an employer's data."""
    return ask(page, _asking(await _one(page, employer_id)))


@router.post(HOME + "/{employer_id}/mudar", dependencies=[claims(READS, WRITES), acts("employer_changed")])
async def change(employer_id: UUID, page: SignedPage) -> Response:
    """Change an employer."""
    form: Reading[Any] = await page.form(EmployerForm)
    one = await _one(page, employer_id)
    if form.value is None:
        return ask_again(page, _asking(one), form)
    changes = {"cnpj": form.value.cnpj, "name": form.value.name, "prefunded": bool(form.value.prefunded)}
    try:
        async with page.database.transaction() as tx:
            await benefits.bulk_desk.change_employer(tx, employer_id, changes, form.value.known)
    except REFUSALS as error:
        return ask_again(page, _asking(one), form, error)
    return page.go(HOME, "Empresa mudada.")
