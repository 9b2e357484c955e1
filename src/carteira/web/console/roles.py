"""Roles, their claims, and people's roles."""

from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import Response
from pydantic import Field

from carteira import identity
from carteira.kit.db.session import Tx
from carteira.kit.web.access import acts, claims, looks, reads, step_up
from carteira.web.console.acts import ActField, Confirmation, VersionForm, ask, ask_again, version_seen
from carteira.web.console.cells import badge, count, words
from carteira.web.console.claim_words import claim_choice, claim_name, opened_by, opens_of
from carteira.web.console.overview import console_of
from carteira.web.console.people import HOME as PEOPLE
from carteira.web.console.screens import Screen
from carteira.web.console.tables import WORDS, Listed, Table, TableAsked, TableColumn, offer_csv, state_filter
from carteira.web.forms import FormBody
from carteira.web.page import REFUSALS, SignedPage, WebPage
from carteira.web.routing import pages

router = pages()
ROLES = "/console/papeis"
WRITES = "users:write"
_NOBODYS = reads("roles and claims by their names, nobody's")
_MOST = 500

TABLE: Table[identity.desk.WholeRoleView] = Table(
    ROLES,
    "papéis",
    (
        TableColumn("Papel", lambda row: words(row.description)),
        TableColumn("Permissões", lambda row: count(len(row.claims)), "end"),
        TableColumn("O que traz", lambda row: words(", ".join(claim.description for claim in row.claims)), "full"),
        TableColumn("Origem", lambda row: badge("Do produto" if row.built_in else "Desta casa"), "stack-end"),
    ),
    key=lambda row: row.id,
    opens=lambda row: f"{ROLES}/{row.id}",
    whole=True,
    filters=(WORDS, state_filter("Do produto", "Desta casa")),
)


async def _read(_page: WebPage, tx: Tx, _asked: TableAsked, _limit: int) -> Listed[identity.desk.WholeRoleView]:
    return Listed(await identity.desk.list_roles(tx, limit=_MOST))


@router.get(ROLES, dependencies=[claims(WRITES), _NOBODYS])
async def show_roles(page: SignedPage) -> Response:
    """List the roles with their claims."""
    return await TABLE.answer(page, partial(_read, page), template="console/roles.html")


offer_csv(router, TABLE, _read, WRITES)


class RoleForm(FormBody):
    """A new role's name."""

    description: Annotated[str, Field(min_length=1, max_length=100)]


def _adding() -> Confirmation:
    return Confirmation(
        title="Criar um papel",
        says=("O papel nasce sem permissões; na próxima página você escolhe o que ele traz.",),
        way_back="Um papel que ninguém tem pode ser apagado.",
        button="Criar o papel",
        path=f"{ROLES}/novo",
        back=ROLES,
        fields=(ActField("description", "Nome do papel"),),
    )


@router.get(f"{ROLES}/novo", dependencies=[claims(WRITES), step_up(), _NOBODYS])
async def ask_adding(page: SignedPage) -> Response:
    """Ask for a role's name."""
    return ask(page, _adding())


@router.post(f"{ROLES}/novo", dependencies=[claims(WRITES), step_up(), acts("role_added")])
async def add(page: SignedPage) -> Response:
    """Add a role."""
    form = await page.form(RoleForm)
    if form.value is None:
        return ask_again(page, _adding(), form)
    try:
        async with page.database.transaction() as tx:
            role = await identity.desk.add_role(tx, page.who, form.value.description, [])
    except REFUSALS as error:
        return ask_again(page, _adding(), form, error)
    return page.go(f"{ROLES}/{role.id}", "Papel criado.")


@router.get(ROLES + "/{role_id}", dependencies=[claims(WRITES), step_up(), _NOBODYS])
async def show_role(role_id: int, page: SignedPage) -> Response:
    """Show a role's claims, to be changed."""

    async def read(tx: Tx) -> tuple[identity.desk.WholeRoleView, list[identity.desk.ClaimView]]:
        return await identity.desk.role_with_claims(tx, role_id), await identity.desk.list_claims(tx, limit=_MOST)

    role, known = await page.read(read)
    has = {claim.id for claim in role.claims}
    groups = console_of(page).groups
    shown = [
        (claim, claim_name(claim.description), opens_of(groups, claim.description))
        for claim in sorted(known, key=lambda claim: claim.description)
        if claim.active
    ]
    return page.show("console/role.html", role=role, known=shown, has=has, home=ROLES, fixed=identity.desk.FIXED)


def _changing(
    page: WebPage, role: identity.desk.WholeRoleView, known: list[identity.desk.ClaimView], wanted: set[int]
) -> Confirmation:
    """Return the claims and the screens that a change adds to and removes from a role."""
    has = {claim.id for claim in role.claims}
    more = [claim.description for claim in known if claim.id in wanted - has]
    less = [claim.description for claim in known if claim.id in has - wanted]
    groups = console_of(page).groups
    before = opened_by(groups, [claim.description for claim in role.claims])
    after = opened_by(groups, [claim.description for claim in known if claim.id in wanted])
    facts = [
        ("Passa a trazer", "; ".join(map(claim_choice, more))),
        ("Passa a abrir", _names(after, before)),
        ("Deixa de trazer", "; ".join(map(claim_choice, less))),
        ("Deixa de abrir", _names(before, after)),
    ]
    facts = [(name, text) for name, text in facts if text]
    return Confirmation(
        title=f"Mudar o papel “{role.description}”?",
        says=("Vale na hora, para todos que têm o papel.",) if facts else ("Nada muda.",),
        way_back="O papel pode ser mudado de novo aqui.",
        button="Mudar o papel",
        path=f"{ROLES}/{role.id}",
        back=f"{ROLES}/{role.id}",
        danger=bool(less),
        facts=facts,
        hidden=[("claim", str(claim_id)) for claim_id in sorted(wanted)],
        seen=version_seen(role.version),
    )


def _names(screens: list[Screen], but: list[Screen]) -> str:
    """Return the names of some screens that are not among others."""
    return ", ".join(screen.name for screen in screens if screen not in but)


class SureForm(VersionForm):
    """Whether an act was confirmed."""

    sure: Annotated[str, Field(alias="certo", max_length=3)] = ""


@router.post(ROLES + "/{role_id}", dependencies=[claims(WRITES), step_up(), acts("role_changed")])
async def change(role_id: int, page: SignedPage) -> Response:
    """Change a role's claims after a confirmation, with immediate effect for all who have it."""
    sent = (await page.request.form()).getlist("claim")
    form = await page.form(SureForm)
    wanted = {int(text) for text in sent if isinstance(text, str) and text.isascii() and text.isdigit()}

    async def read(tx: Tx) -> Confirmation:
        role, known = (
            await identity.desk.role_with_claims(tx, role_id),
            await identity.desk.list_claims(tx, limit=_MOST),
        )
        return _changing(page, role, known, wanted)

    act = await page.read(read)
    if form.value is None:
        return ask_again(page, act, form)
    if not form.value.sure:
        return ask(page, act, form)
    try:
        async with page.database.transaction() as tx:
            await identity.desk.set_claims_of_role(
                tx, page.identity.access, page.who, role_id, sorted(wanted), form.value.known
            )
    except REFUSALS as error:
        return ask_again(page, act, form, error)
    return page.go(ROLES, "O papel mudou, na hora, para todos que o têm.")


class RoleNameForm(VersionForm, RoleForm):
    """A role's new name."""


async def _role(page: WebPage, role_id: int) -> identity.desk.WholeRoleView:
    return await page.read(lambda tx: identity.desk.role_with_claims(tx, role_id))


def _renaming(role: identity.desk.WholeRoleView) -> Confirmation:
    return Confirmation(
        title=f"Mudar o nome do papel “{role.description}”?",
        says=("Só o nome muda: as permissões e quem tem o papel ficam como estão.",),
        way_back="O nome pode ser mudado de novo aqui.",
        button="Mudar o nome",
        path=f"{ROLES}/{role.id}/nome",
        back=f"{ROLES}/{role.id}",
        fields=(ActField("description", "Novo nome", value=role.description),),
        seen=version_seen(role.version),
    )


@router.get(ROLES + "/{role_id}/nome", dependencies=[claims(WRITES), step_up(), _NOBODYS])
async def ask_renaming(role_id: int, page: SignedPage) -> Response:
    """Ask for a role's new name."""
    return ask(page, _renaming(await _role(page, role_id)))


@router.post(ROLES + "/{role_id}/nome", dependencies=[claims(WRITES), step_up(), acts("role_renamed")])
async def rename(role_id: int, page: SignedPage) -> Response:
    """Rename a role."""
    form = await page.form(RoleNameForm)
    act = _renaming(await _role(page, role_id))
    if form.value is None:
        return ask_again(page, act, form)
    try:
        async with page.database.transaction() as tx:
            await identity.desk.rename_role(tx, page.who, role_id, form.value.description, form.value.known)
    except REFUSALS as error:
        return ask_again(page, act, form, error)
    return page.go(f"{ROLES}/{role_id}", "O nome mudou.")


def _deleting(role: identity.desk.WholeRoleView) -> Confirmation:
    brought = "; ".join(claim_choice(claim.description) for claim in role.claims)
    return Confirmation(
        title=f"Apagar o papel “{role.description}”?",
        says=("Só um papel que ninguém tem pode ser apagado. Ninguém perde nada.",),
        way_back="Um papel igual pode ser criado de novo, com outro número.",
        button="Apagar o papel",
        path=f"{ROLES}/{role.id}/apagar",
        back=f"{ROLES}/{role.id}",
        danger=True,
        facts=[("Traz", brought or "nenhuma permissão")],
    )


@router.get(ROLES + "/{role_id}/apagar", dependencies=[claims(WRITES), step_up(), _NOBODYS])
async def ask_deleting(role_id: int, page: SignedPage) -> Response:
    """Show what deleting a role does."""
    return ask(page, _deleting(await _role(page, role_id)))


@router.post(ROLES + "/{role_id}/apagar", dependencies=[claims(WRITES), step_up(), acts("role_deleted")])
async def delete(role_id: int, page: SignedPage) -> Response:
    """Delete a role that nobody has."""
    form = await page.form(FormBody)
    role = await _role(page, role_id)
    try:
        async with page.database.transaction() as tx:
            await identity.desk.delete_role(tx, page.who, role_id)
    except REFUSALS as error:
        return ask_again(page, _deleting(role), form, error)
    return page.go(ROLES, f"O papel “{role.description}” foi apagado.")


class GivenRoleForm(VersionForm):
    """The role to give a person."""

    role: Annotated[int, Field(ge=1, le=2**31 - 1)]


async def _giving(page: WebPage, user_id: UUID) -> Confirmation:
    async def read(tx: Tx) -> Confirmation:
        person = await identity.desk.look_at(tx, user_id)
        roles = await identity.desk.list_roles(tx, limit=_MOST)
        return Confirmation(
            title=f"Mudar o papel de {person.full_name}?",
            says=(
                f"O papel agora é “{person.role}”. As permissões dele saem e as do novo entram, na hora.",
                "Você só pode dar um papel cujas permissões também tem.",
            ),
            way_back="O papel pode ser mudado de novo aqui.",
            button="Mudar o papel",
            path=f"{PEOPLE}/{user_id}/papel",
            back=f"{PEOPLE}/{user_id}",
            fields=(
                ActField(
                    "role",
                    "Novo papel",
                    "choice",
                    choices=tuple((str(role.id), role.description) for role in roles),
                    value=str(person.role_id),
                ),
            ),
            seen=version_seen(str(person.role_id)),
        )

    return await page.read(read)


@router.get(PEOPLE + "/{user_id}/papel", dependencies=[claims(WRITES), step_up(), looks("user_read")])
async def ask_role(user_id: UUID, page: SignedPage) -> Response:
    """Ask for a person's role."""
    return ask(page, await _giving(page, user_id))


@router.post(PEOPLE + "/{user_id}/papel", dependencies=[claims(WRITES), step_up(), acts("role_given")])
async def give_role(user_id: UUID, page: SignedPage) -> Response:
    """Give a person a role."""
    form = await page.form(GivenRoleForm)
    act = await _giving(page, user_id)
    if form.value is None:
        return ask_again(page, act, form)
    try:
        async with page.database.transaction() as tx:
            await identity.desk.give_role(
                tx, page.identity.access, page.who, user_id, form.value.role, form.value.known
            )
    except REFUSALS as error:
        return ask_again(page, act, form, error)
    return page.go(f"{PEOPLE}/{user_id}", "O papel mudou.")
