"""Acts on a person's data at their request: new contacts, and the erasure of everything (LGPD, art. 18)."""

from typing import Any
from uuid import UUID

from fastapi import Response

from carteira import identity
from carteira.kit.values.email import Email
from carteira.kit.values.phone import Phone
from carteira.kit.web.access import acts, claims, looks, step_up
from carteira.kit.web.idempotency import Answered
from carteira.web.console.acts import ActField, Confirmation, VersionForm, ask, ask_again, version_seen
from carteira.web.console.pendings import desk_of
from carteira.web.console.people import HOME
from carteira.web.forms import FormBody, Reading
from carteira.web.page import REFUSALS, SignedPage, WebPage
from carteira.web.routing import pages

router = pages()
WRITES = "users:write"


class ContactsForm(VersionForm):
    """The contacts that a person asks for; empty fields are unchanged."""

    email: Email | None = None
    phone: Phone | None = None


class ErasureForm(FormBody):
    """The name of the person to erase, typed as confirmation."""

    full_name: str = ""


async def _person(page: WebPage, user_id: UUID) -> identity.PersonView:
    return await page.read(lambda tx: identity.desk.look_at(tx, user_id))


def _contacts(person: identity.PersonView) -> Confirmation:
    return Confirmation(
        title=f"Mudar o contato de {person.full_name}?",
        says=(
            "O contato anterior é avisado, e por ele a troca pode ser desfeita. Em produção, outra pessoa confirma.",
            "Mude só se você viu a pessoa e um documento com foto.",
        ),
        way_back="O contato pode ser mudado de novo.",
        button="Mudar o contato",
        path=f"{HOME}/{person.id}/contatos",
        back=f"{HOME}/{person.id}",
        fields=(
            ActField("email", "Novo e-mail", help="Vazio: fica como está.", required=False),
            ActField("phone", "Novo telefone", help="Vazio: fica como está.", required=False),
        ),
        seen=version_seen(person.version),
    )


@router.get(HOME + "/{user_id}/contatos", dependencies=[claims(WRITES), step_up(), looks("user_read")])
async def ask_contacts(user_id: UUID, page: SignedPage) -> Response:
    """Ask for the new contacts."""
    return ask(page, _contacts(await _person(page, user_id)))


@router.post(HOME + "/{user_id}/contatos", dependencies=[claims(WRITES), step_up(), acts("user_changed")])
async def change_contacts(user_id: UUID, page: SignedPage) -> Response:
    """Change a person's e-mail address or phone; in production it waits for a second operator."""
    form: Reading[Any] = await page.form(ContactsForm)
    person = await _person(page, user_id)
    if form.value is None:
        return ask_again(page, _contacts(person), form)
    changes = form.value.model_dump(exclude_none=True, exclude={"seen"})
    if not changes:
        return ask_again(page, _contacts(person), form.saying("Escreva o e-mail ou o telefone novo."))
    body = identity.desk.UserPatch(**changes)
    try:
        done = await identity.desk.change_user(
            page.identity, desk_of(page), page.client.address, page.who, user_id, body, form.value.known
        )
    except REFUSALS as error:
        return ask_again(page, _contacts(person), form, error)
    waits = isinstance(done, Answered)
    return page.go(f"{HOME}/{user_id}", "Pedido: outra pessoa confirma." if waits else "Contato mudado.")


def _erasing(person: identity.PersonView) -> Confirmation:
    return Confirmation(
        title=f"Apagar tudo sobre {person.full_name}?",
        says=(
            "Nome, CPF, contatos, documentos e conversas somem de todos os módulos. O livro-razão guarda só um código.",
            "Faça isto a pedido da pessoa (LGPD, art. 18). Com saldo ou reserva, ela saca ou usa antes.",
            "Uma cópia dos dados, a pessoa baixa sozinha em “Meus dados”; peça que ela faça antes.",
        ),
        way_back="Não há: o que foi apagado não volta.",
        button="Apagar tudo",
        path=f"{HOME}/{person.id}/apagar",
        back=f"{HOME}/{person.id}",
        danger=True,
        fields=(ActField("full_name", "Escreva o nome completo da pessoa, para ter certeza"),),
    )


@router.get(HOME + "/{user_id}/apagar", dependencies=[claims(WRITES), step_up(), looks("user_read")])
async def ask_erasure(user_id: UUID, page: SignedPage) -> Response:
    """Show what erasing a person does."""
    return ask(page, _erasing(await _person(page, user_id)))


@router.post(HOME + "/{user_id}/apagar", dependencies=[claims(WRITES), step_up(), acts("user_erased")])
async def erase(user_id: UUID, page: SignedPage) -> Response:
    """Erase a person in every module, at their request."""
    form = await page.form(ErasureForm)
    person = await _person(page, user_id)
    if form.value is None:
        return ask_again(page, _erasing(person), form)
    if " ".join(form.value.full_name.split()).casefold() != person.full_name.casefold():
        return ask_again(page, _erasing(person), form.at("full_name", "Não é o nome desta pessoa."))
    try:
        async with page.database.transaction() as tx:
            await identity.desk.erase_user(tx, page.identity, page.who, user_id)
    except REFUSALS as error:
        return ask_again(page, _erasing(person), form, error)
    return page.go(HOME, "Tudo sobre a pessoa foi apagado.")
