"""Resellers: searched by POST, each with their months."""

from functools import partial
from typing import Any
from uuid import UUID

from fastapi import Response

from carteira import identity, resellers
from carteira.kit.db.session import Tx
from carteira.kit.values.cpf import InvalidCpf, mask_cpf, parse_cpf
from carteira.kit.web.access import claims, looks
from carteira.kit.web.pagination import BY_ID, Page
from carteira.web.console.cells import amount, day, mono, words
from carteira.web.console.purchases import DECIDES, READS
from carteira.web.console.tables import NEWEST, PERSON, Filter, Table, TableAsked, TableColumn, offer_csv
from carteira.web.page import SignedPage, WebPage
from carteira.web.routing import pages

router = pages("resellers")
HOME = "/console/revendedores"
_MONTHS = 12

SellerRow = tuple[resellers.desk.ResellerSeen, str]
"""A reseller, and their name."""

TABLE: Table[SellerRow] = Table(
    HOME,
    "revendedores",
    (
        TableColumn("Nome", lambda row: words(row[1]), "full"),
        TableColumn("CPF", lambda row: mono(mask_cpf(row[0].cpf) if row[0].cpf else "")),
        TableColumn("Cashback a usar", lambda row: amount(row[0].balance), "end nowrap"),
        TableColumn("Desde", lambda row: day(row[0].created_at.date()), "nowrap", order=NEWEST),
    ),
    key=lambda row: row[0].id,
    filters=(Filter("cpf", "CPF inteiro", grows=True), PERSON),
    opens=lambda row: f"{HOME}/{row[0].id}",
    empty=("Nenhum revendedor", "Uma pessoa aparece aqui quando se cadastra para vender."),
)


async def _read(page: WebPage, tx: Tx, asked: TableAsked, limit: int) -> Page[SellerRow]:
    cpf = asked.get("cpf")
    found = await resellers.desk.resellers(
        tx, page.who, parse_cpf(cpf) if cpf else None, asked.page_request(BY_ID, limit), asked.id("pessoa")
    )
    names = await identity.names(tx, {row.user_id for row in found.items if row.user_id is not None})
    return found.map(lambda row: (row, names.get(row.user_id, "") if row.user_id else ""))


async def _list(page: WebPage, asked: TableAsked) -> Response:
    return await TABLE.answer(page, partial(_read, page), asked=asked, template="console/sellers.html")


@router.get(HOME, dependencies=[claims(READS), looks("resellers_listed")])
async def show_sellers(page: SignedPage) -> Response:
    """List the resellers, the newest first; personal search terms never appear in an address."""
    return await _list(page, TABLE.asked_openly(page, "pessoa"))


@router.post(HOME, dependencies=[claims(READS), looks("resellers_listed")])
async def search(page: SignedPage) -> Response:
    """List the resellers who match a form."""
    return await _list(page, await _asked(page))


async def _asked(page: WebPage) -> TableAsked:
    """Parse a search by form."""
    asked = await TABLE.asked_by_form(page)
    try:
        parse_cpf(asked.get("cpf") or "52998224725")
    except InvalidCpf as error:
        asked = TableAsked(asked.values, asked.typed, {"cpf": str(error)}, private=True)
    return asked


offer_csv(router, TABLE, _read, READS, asked_by_form=_asked)


@router.get(HOME + "/{reseller_id}", dependencies=[claims(READS), looks("reseller_read")])
async def show_seller(reseller_id: UUID, page: SignedPage) -> Response:
    """Show a reseller with their last months."""

    async def read(tx: Tx) -> dict[str, Any]:
        found, months = await resellers.desk.reseller(tx, page.who, reseller_id, months=_MONTHS)
        names = await identity.names(tx, [found.user_id] if found.user_id else [])
        name = names.get(found.user_id, "") if found.user_id else ""
        adjustments = await resellers.desk.adjustments_of(tx, reseller_id)
        return {"one": found, "months": months, "name": name or "Sem nome", "adjustments": adjustments}

    values = await page.read(read)
    cpf = values["one"].cpf
    may_adjust = page.holds(DECIDES) and values["one"].user_id is not None
    return page.show(
        "console/seller.html", home=HOME, cpf=mask_cpf(cpf) if cpf else "", may_adjust=may_adjust, **values
    )
