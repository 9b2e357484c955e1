"""Merchant names that override the MCC: a rule's effect is shown before it is saved."""

from dataclasses import replace
from functools import partial
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Query, Response
from pydantic import Field

from carteira import benefits
from carteira.kit.db.session import Tx
from carteira.kit.web.access import acts, claims, reads
from carteira.kit.web.preconditions import NEW
from carteira.web.console.acts import SEEN, Confirmation, VersionForm, ask, ask_again, told_unseen, version_seen
from carteira.web.console.cells import mono, words
from carteira.web.console.tables import Filter, Listed, Table, TableAsked, TableColumn, offer_csv
from carteira.web.formats import plain_money
from carteira.web.forms import Reading
from carteira.web.page import REFUSALS, SignedPage, WebPage
from carteira.web.routing import pages

router = pages("benefits")
HOME = "/console/estabelecimentos"
CLAIM = "benefits:write"
_PAGE = "console/rule.html"
_NOBODYS = reads("the catalog is nobody's")

TABLE: Table[benefits.desk.MerchantOut] = Table(
    HOME,
    "estabelecimentos",
    (
        TableColumn("Nome", lambda row: words(row.name), "full"),
        TableColumn("MCC que vale", lambda row: mono(row.mcc)),
    ),
    key=lambda row: row.name,
    whole=True,
    filters=(Filter("nome", "Parte do nome", grows=True),),
    empty=("Nenhuma regra por nome", "Sem regra, vale o MCC que a rede manda."),
)


def _rule(row: benefits.desk.MerchantOut) -> str:
    return f"{HOME}/regra?{urlencode({'nome': row.name, 'mcc': row.mcc})}"


async def _read(_page: WebPage, tx: Tx, asked: TableAsked, _limit: int) -> Listed[benefits.desk.MerchantOut]:
    part = (asked.get("nome") or "").casefold()
    return Listed([row for row in await benefits.desk.list_merchants(tx) if part in row.name.casefold()])


@router.get(HOME, dependencies=[claims(CLAIM), _NOBODYS])
async def show_merchants(page: SignedPage) -> Response:
    """List merchants whose name overrides the MCC, and the MCCs of each category."""
    categories = await page.read(benefits.desk.list_categories)
    may_change = page.who.scopes is None
    return await replace(TABLE, opens=_rule if may_change else None).answer(
        page,
        partial(_read, page),
        template="console/merchants.html",
        categories=categories,
        pocket_name=benefits.pocket_name,
        may_change=may_change,
    )


offer_csv(router, TABLE, _read, CLAIM)


class RuleForm(VersionForm):
    """A merchant's name, and its MCC."""

    name: Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$")]
    mcc: Annotated[str, Field(pattern=r"^[0-9]{4}$")]
    sure: Annotated[str, Field(alias="certo", max_length=3)] = ""


class RuleRemovalForm(VersionForm):
    """The name whose rule is deleted."""

    name: Annotated[str, Field(min_length=1, max_length=256)]
    sure: Annotated[str, Field(alias="certo", max_length=3)] = ""


@router.get(f"{HOME}/regra", dependencies=[claims(CLAIM), _NOBODYS])
async def show_rule(
    page: SignedPage,
    name: Annotated[str, Query(alias="nome", max_length=256)] = "",
    mcc: Annotated[str, Query(max_length=4)] = "",
) -> Response:
    """Ask for a rule."""
    benefits.desk.require_unbound(page.who)
    shown = {"name": name, "mcc": mcc, SEEN: mcc or NEW}
    return page.show(_PAGE, form=Reading(None, shown), known=bool(name), home=HOME)


async def _effect(page: WebPage, name: str, mcc: str | None) -> list[tuple[str, str]]:
    """Return a rule's effect on past purchases, line by line."""
    effect = await page.read(lambda tx: benefits.desk.effect_of_rule(tx, name, mcc))
    rows = [("Compras deste nome em 30 dias", f"{effect.purchases}, {plain_money(effect.amount)}")]
    for (now, then), many in effect.moved.items():
        rows.append((f"De {benefits.pocket_name(now)} para {benefits.pocket_name(then)}", f"{many} compras"))
    return rows if effect.moved else [*rows, ("Mudariam de saldo", "nenhuma")]


async def _now(page: WebPage, name: str) -> str | None:
    """Return the version of a name's rule; None: there is none."""
    try:
        return (await page.read(lambda tx: benefits.desk.get_merchant(tx, name))).version
    except benefits.desk.MerchantNotFound:
        return None


async def _saving(page: WebPage, asked: RuleForm, now: str | None) -> Confirmation:
    return Confirmation(
        title=f"Valer o MCC {asked.mcc} para “{asked.name}”?",
        says=("Vale em segundos, para as próximas compras de todas as empresas. O que já passou não muda.",),
        way_back="A regra pode ser mudada ou tirada aqui.",
        button="Salvar a regra",
        path=f"{HOME}/regra",
        back=HOME,
        facts=await _effect(page, asked.name, asked.mcc),
        hidden=(("name", asked.name), ("mcc", asked.mcc)),
        seen=version_seen(now),
    )


@router.post(f"{HOME}/regra", dependencies=[claims(CLAIM), acts("benefit_merchant_set")])
async def save(page: SignedPage) -> Response:
    """Save a rule, after its effect was shown."""
    benefits.desk.require_unbound(page.who)
    form = await page.form(RuleForm)
    if form.value is None:
        return _again(page, form)
    now = await _now(page, form.value.name)
    if form.value.seen == NEW and now is not None:
        return _again(page, form.at("name", "Já há uma regra para este nome. Abra-a na lista para mudá-la."))
    act = await _saving(page, form.value, now)
    if not form.value.sure:
        return ask(page, act, form)
    try:
        async with page.database.transaction() as tx:
            await benefits.desk.put_merchant(tx, form.value.name, form.value.mcc, form.value.known)
    except REFUSALS as error:
        return ask_again(page, act, form, error)
    return page.go(HOME, "Regra salva.")


def _again(page: WebPage, form: Reading[Any]) -> Response:
    return page.show(_PAGE, status=422, form=told_unseen(form), known=False, home=HOME)


@router.post(f"{HOME}/tirar", dependencies=[claims(CLAIM), acts("benefit_merchant_removed")])
async def remove(page: SignedPage) -> Response:
    """Delete a rule, after its effect was shown."""
    benefits.desk.require_unbound(page.who)
    form = await page.form(RuleRemovalForm)
    if form.value is None:
        return _again(page, form)
    name = form.value.name
    act = Confirmation(
        title=f"Tirar a regra de “{name}”?",
        says=("Passa a valer o MCC que a rede manda, em segundos.",),
        way_back="A regra pode ser criada de novo.",
        button="Tirar a regra",
        path=f"{HOME}/tirar",
        back=HOME,
        danger=True,
        facts=await _effect(page, name, None),
        hidden=(("name", name),),
        seen=version_seen(await _now(page, name)),
    )
    if not form.value.sure:
        return ask(page, act, form)
    try:
        async with page.database.transaction() as tx:
            await benefits.desk.delete_merchant(tx, name, form.value.known)
    except REFUSALS as error:
        return ask_again(page, act, form, error)
    return page.go(HOME, "Regra tirada.")
