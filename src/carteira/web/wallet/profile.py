"""My registration: name, contacts and their changes, and the CPF with its proof."""

from typing import Any, Literal

from fastapi import Response

from carteira import identity
from carteira.kit.values.cpf import Cpf, format_cpf
from carteira.kit.values.email import Email
from carteira.kit.values.phone import Phone
from carteira.kit.web.access import acts
from carteira.web.forms import EMPTY, FormBody, read
from carteira.web.page import REFUSALS, SignedPage, WebPage
from carteira.web.routing import pages

router = pages()
_PROFILE, _CONTACT, _CPF = "wallet/profile.html", "wallet/contact.html", "wallet/cpf.html"
_HERE, _UP = "/app/dados/cadastro", "/app/dados"
ContactName = Literal["email", "telefone"]
_KINDS: dict[ContactName, identity.ContactKind] = {"email": "email", "telefone": "phone"}
_CHANGES = acts("user_changed")
_SENT = "Enviamos um link de confirmação. Ele vale por 7 dias."


class ProfileForm(FormBody):
    """Data that a person corrects without a step-up."""

    full_name: identity.FullName
    birth_date: identity.TypedBirthDate


class EmailForm(FormBody):
    """A new e-mail address."""

    email: Email


class PhoneForm(FormBody):
    """A new phone."""

    phone: Phone


class CpfForm(FormBody):
    """The CPF of a person whose account has none."""

    cpf: Cpf


async def _me(page: WebPage) -> identity.PersonView:
    async with page.database.transaction() as tx:
        return await identity.person(tx, page.user_id)


async def _change(page: WebPage, **changes: object) -> None:
    await identity.change_person(page.identity, page.client.address, page.who, page.user_id, changes)


@router.get("/app/dados/cadastro")
async def show_profile(page: SignedPage) -> Response:
    """Show my registration."""
    return page.show(_PROFILE, **await _profile(page))


async def _profile(page: WebPage) -> dict[str, Any]:
    me = await _me(page)
    return {"up": _UP, "me": me, "cpf": format_cpf(me.cpf) if me.cpf else ""}


@router.post("/app/dados/cadastro", dependencies=[_CHANGES])
async def change_profile(page: SignedPage) -> Response:
    """Correct name and birth date."""
    form = await page.form(ProfileForm)
    if form.value is None:
        return page.show(_PROFILE, status=422, form=form, **await _profile(page))
    try:
        await _change(page, full_name=form.value.full_name, birth_date=form.value.birth_date)
    except REFUSALS as error:
        return page.again(_PROFILE, form, error, **await _profile(page))
    return page.go(_HERE, "Cadastro corrigido.")


async def _contact(page: WebPage, name: ContactName) -> dict[str, Any]:
    me = await _me(page)
    hours = page.identity.config.contact_change_hours
    points = [point for point in me.contacts if point.kind == _KINDS[name]]
    return {"up": _HERE, "name": name, "points": points, "hours": hours}


@router.get("/app/dados/contato/{name}")
async def show_contact(name: ContactName, page: SignedPage) -> Response:
    """Ask for a new e-mail address or phone, and explain the change."""
    page.who.require_recent_sign_in()
    return page.show(_CONTACT, **await _contact(page, name))


@router.post("/app/dados/contato/{name}", dependencies=[_CHANGES])
async def change_contact(name: ContactName, page: SignedPage) -> Response:
    """Change a contact: the former one is notified, and may undo it for a while."""
    kind: type[EmailForm | PhoneForm] = EmailForm if name == "email" else PhoneForm
    form = read(kind, await page.typed())
    if form.value is None:
        return page.show(_CONTACT, status=422, form=form, **await _contact(page, name))
    try:
        await _change(page, **form.value.model_dump())
    except identity.EmailTaken as error:
        return page.show(_CONTACT, status=409, form=form.at("email", error.detail), **await _contact(page, name))
    except REFUSALS as error:
        return page.again(_CONTACT, form, error, **await _contact(page, name))
    return page.go(_HERE, "Contato trocado. Enviamos um link para confirmar o novo.")


@router.post("/app/dados/contato/{name}/confirmacao")
async def ask_confirmation(name: ContactName, page: SignedPage) -> Response:
    """Queue the link that confirms a contact point."""
    try:
        await identity.ask_contact_confirmation(page.identity, page.user_id, _KINDS[name])
    except REFUSALS as error:
        return page.again(_PROFILE, EMPTY, error, **await _profile(page))
    return page.go(_HERE, _SENT)


async def _cpf(page: WebPage) -> dict[str, Any]:
    govbr = page.identity.config.govbr
    level = {"silver": "prata ou ouro", "gold": "ouro"}[govbr.level] if govbr else ""
    return {**await _profile(page), "up": _HERE, "level": level}


@router.get("/app/dados/cpf")
async def show_cpf(page: SignedPage) -> Response:
    """Show the state of the account's CPF, what a proof enables, and how to give one."""
    return page.show(_CPF, **await _cpf(page))


@router.post("/app/dados/cpf", dependencies=[_CHANGES])
async def tell_cpf(page: SignedPage) -> Response:
    """Set the CPF of an account without one."""
    form = await page.form(CpfForm)
    if form.value is None:
        return page.show(_CPF, status=422, form=form, **await _cpf(page))
    try:
        await _change(page, cpf=form.value.cpf)
    except REFUSALS as error:
        return page.again(_CPF, form, error, **await _cpf(page))
    return page.go("/app/dados/cpf", "CPF anotado. Falta comprovar.")
