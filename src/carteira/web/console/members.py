"""The members of an employer: operators and clients that are bound to it; binding takes effect at once."""

from dataclasses import replace
from functools import partial
from uuid import UUID

from fastapi import Response

from carteira import benefits, identity
from carteira.kit.db.session import Tx
from carteira.kit.security import audit
from carteira.kit.web.access import acts, claims, looks, step_up
from carteira.kit.web.pagination import BY_ID, Page
from carteira.kit.web.problems import NotFound
from carteira.web.console import people
from carteira.web.console.acts import ActField, Confirmation, ask, ask_again
from carteira.web.console.cells import badge, instant, words
from carteira.web.console.employers import HOME, READS, SEES_PEOPLE, WRITES
from carteira.web.console.screens import EXPORT
from carteira.web.console.tables import EXPORTED, ROWS, Filter, Listed, Rows, Table, TableAsked, TableColumn
from carteira.web.forms import FormBody
from carteira.web.page import REFUSALS, SignedPage, WebPage
from carteira.web.routing import pages

router = pages("benefits")
_MEMBERS = HOME + "/{employer_id}/operadores"
_BIND, _UNBIND = _MEMBERS + "/{member_id}/vincular", _MEMBERS + "/{member_id}/desvincular"
_CLAIMS = claims(READS, WRITES, SEES_PEOPLE)
_LOOK = "employer_member_read"
_KINDS = {"person": "Pessoa", "client": "Cliente (máquina)"}
_PAGE, _FOUND_PAGE = "console/members.html", "console/members_found.html"

MemberRow = tuple[benefits.bulk_desk.MemberView, str]
"""A member, and their name."""

TABLE: Table[MemberRow] = Table(
    _MEMBERS,
    "operadores",
    (
        TableColumn("Nome", lambda row: words(row[1] or str(row[0].id)), "full"),
        TableColumn("O que é", lambda row: badge(_KINDS[row[0].kind])),
        TableColumn("Desde", lambda row: instant(row[0].bound_at), "nowrap"),
    ),
    key=lambda row: row[0].id,
    empty=("Ninguém", "Quem não está vinculado a empresa nenhuma alcança as contas de todas."),
)


FOUND: Table[identity.PersonView] = replace(
    people.TABLE,
    path=_MEMBERS,
    filters=(Filter("busca", "Nome, e-mail ou CPF inteiro, ou o id de um cliente", grows=True),),
    exports=False,
)
"""The people whom a search found, as the list of people shows them."""


def _home(employer_id: UUID) -> str:
    return f"{HOME}/{employer_id}/operadores"


async def _read(employer_id: UUID, tx: Tx, asked: TableAsked, limit: int) -> Page[MemberRow]:
    place = asked.page_request(BY_ID, limit)
    rows = await benefits.bulk_desk.members_of(tx, employer_id, limit=limit + 1, after=place.after)
    found = place.page(rows, lambda row: row.id)
    names = await identity.names(tx, [row.id for row in found.items])
    await audit.record_looks(tx, _LOOK, [row.id for row in found.items if row.kind == "person"])
    return found.map(lambda row: (row, names.get(row.id, "")))


async def _employer(page: WebPage, employer_id: UUID) -> benefits.desk.EmployerView:
    return await page.read(lambda tx: benefits.bulk_desk.find_employer(tx, page.who, employer_id))


@router.get(_MEMBERS, dependencies=[_CLAIMS, looks(_LOOK)])
async def show_members(employer_id: UUID, page: SignedPage) -> Response:
    """List an employer's members, and the form to bind one more."""
    one = await _employer(page, employer_id)
    home = _home(employer_id)
    table = replace(TABLE, path=home, opens=lambda row: f"{home}/{row[0].id}/desvincular")
    return await table.answer(
        page, partial(_read, employer_id), template=_PAGE, asked=table.asked(page), employer=one, home=HOME
    )


@router.get(_MEMBERS + ".csv", dependencies=[claims(READS, WRITES, SEES_PEOPLE, EXPORT), step_up(), acts(EXPORTED)])
async def download_members(employer_id: UUID, page: SignedPage) -> Response:
    """Download an employer's members as CSV."""
    one = await _employer(page, employer_id)
    return await replace(TABLE, path=_home(one.id)).download(page, partial(_read, employer_id))


@router.post(_MEMBERS, dependencies=[_CLAIMS, looks("user_listed")])
async def find_member(employer_id: UUID, page: SignedPage) -> Response:
    """List the people who match a form; show what binding does where one person matches, or an id was typed."""
    one, home = await _employer(page, employer_id), _home(employer_id)
    asked = await FOUND.asked_by_form(page)
    if not asked.values and not asked.errors:
        asked = replace(asked, errors={"busca": "Escreva por quem procurar."})
    if (member_id := _id(asked.get("busca") or "")) is not None:
        return ask(page, await _binding(page, employer_id, member_id))
    rows: Rows[identity.PersonView] = Listed(())
    if not asked.errors:
        rows = await page.read(lambda tx: _search(tx, asked, ROWS))
    if len(rows.items) == 1 and not asked.cursor:
        return ask(page, await _binding(page, employer_id, rows.items[0].id))
    table = replace(FOUND, path=home, opens=lambda row: f"{home}/{row.id}/vincular")

    async def found(_tx: Tx, _asked: TableAsked, _limit: int) -> Rows[identity.PersonView]:
        return rows

    return await table.answer(page, found, template=_FOUND_PAGE, asked=asked, employer=one)


def _id(said: str) -> UUID | None:
    try:
        return UUID(said)
    except ValueError:
        return None


async def _search(tx: Tx, asked: TableAsked, limit: int) -> Page[identity.PersonView]:
    wanted = identity.desk.Filters(asked.get("busca"), None, None, None)
    return await identity.desk.search_people(tx, wanted, asked.page_request(BY_ID, limit))


async def _named(page: WebPage, member_id: UUID) -> str:
    """Return the name of a person or a client; the look at a person is recorded.

    Raises:
        NotFound: there is none.
    """

    async def look(tx: Tx) -> str | None:
        is_person = await identity.kind_of(tx, member_id) == "person"
        await audit.record_looks(tx, _LOOK, [member_id] if is_person else [])
        return (await identity.names(tx, [member_id])).get(member_id)

    name = await page.read(look)
    if name is None:
        raise NotFound
    return name


async def _binding(page: WebPage, employer_id: UUID, member_id: UUID) -> Confirmation:
    employer, name = await _employer(page, employer_id), await _named(page, member_id)
    return Confirmation(
        title=f"Vincular {name} a {employer.name}?",
        says=(
            f"{name} passa a ver e a mudar só o que é das empresas a que está vinculado, na hora.",
            "As permissões que vão além disso deixam de valer enquanto houver vínculo.",
        ),
        way_back="O vínculo pode ser encerrado aqui; se foi engano, esquecido.",
        button="Vincular",
        path=f"{_home(employer_id)}/{member_id}/vincular",
        back=_home(employer_id),
        danger=True,
    )


@router.get(_BIND, dependencies=[_CLAIMS, looks(_LOOK)])
async def ask_binding(employer_id: UUID, member_id: UUID, page: SignedPage) -> Response:
    """Show what binding somebody does."""
    return ask(page, await _binding(page, employer_id, member_id))


@router.post(_BIND, dependencies=[_CLAIMS, step_up(), acts("employer_member_bound")])
async def bind(employer_id: UUID, member_id: UUID, page: SignedPage) -> Response:
    """Bind an operator or a client to an employer; repeating it changes nothing."""
    form = await page.form(FormBody)
    act = await _binding(page, employer_id, member_id)
    try:
        async with page.database.transaction() as tx:
            await benefits.bulk_desk.bind_member(tx, page.identity.access, page.who, employer_id, member_id)
    except REFUSALS as error:
        return ask_again(page, act, form, error)
    return page.go(_home(employer_id), "Vínculo feito.")


class UnbindForm(FormBody):
    """Whether a binding was a mistake."""

    release: str = ""


async def _unbinding(page: WebPage, employer_id: UUID, member_id: UUID) -> Confirmation:
    employer, name = await _employer(page, employer_id), await _named(page, member_id)
    return Confirmation(
        title=f"Encerrar o vínculo de {name} com {employer.name}?",
        says=("Vale na hora. Quem fica sem empresa não vê nenhuma, até ser vinculado de novo.",),
        way_back="A pessoa, ou o cliente, pode ser vinculado de novo.",
        button="Encerrar o vínculo",
        path=f"{_home(employer_id)}/{member_id}/desvincular",
        back=_home(employer_id),
        danger=True,
        fields=(
            ActField(
                "release",
                "Foi vinculado por engano",
                "check",
                help="O vínculo é esquecido: sem outro, volta a alcançar as contas de todas as empresas.",
                required=False,
            ),
        ),
    )


@router.get(_UNBIND, dependencies=[_CLAIMS, looks(_LOOK)])
async def ask_unbinding(employer_id: UUID, member_id: UUID, page: SignedPage) -> Response:
    """Show what ending a binding does."""
    return ask(page, await _unbinding(page, employer_id, member_id))


@router.post(_UNBIND, dependencies=[_CLAIMS, step_up(), acts("employer_member_unbound")])
async def unbind(employer_id: UUID, member_id: UUID, page: SignedPage) -> Response:
    """End a binding, or forget one that was a mistake."""
    form = await page.form(UnbindForm)
    act = await _unbinding(page, employer_id, member_id)
    release = form.value is not None and bool(form.value.release)
    try:
        async with page.database.transaction() as tx:
            access = page.identity.access
            await benefits.bulk_desk.unbind_member(tx, access, page.who, employer_id, member_id, release=release)
    except REFUSALS as error:
        return ask_again(page, act, form, error)
    return page.go(_home(employer_id), "Vínculo encerrado.")
