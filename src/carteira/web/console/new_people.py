"""Adds people: one with a password that is shown once, or many from a file."""

from typing import Annotated, Any

from fastapi import Response
from pydantic import Field

from carteira import identity
from carteira.kit.security import audit
from carteira.kit.values.cpf import Cpf
from carteira.kit.values.email import Email
from carteira.kit.values.phone import Phone
from carteira.kit.web.access import acts, claims, looks, reads, step_up
from carteira.web.console.acts import ActField, Confirmation, ask, ask_again, show_once
from carteira.web.console.people import HOME
from carteira.web.forms import FormBody, Reading
from carteira.web.page import REFUSALS, SignedPage, WebPage
from carteira.web.routing import pages

router = pages()
PATH, MANY = f"{HOME}/nova", f"{HOME}/importar"
_MANY_PAGE = "console/people_import.html"
_LONGEST = 200_000
WRITES = "users:write"
_NOBODYS = reads("a form with the roles' names, without anybody's data")


class NewPersonForm(FormBody):
    """A person to add, and their role."""

    full_name: identity.desk.FullName
    email: Email
    role_id: Annotated[int, Field(ge=1, le=2**31 - 1)]
    cpf: Cpf | None = None
    phone: Phone | None = None


async def _adding(page: WebPage) -> Confirmation:
    roles = await page.read(lambda tx: identity.desk.list_roles(tx, limit=500))
    return Confirmation(
        title="Criar uma pessoa",
        says=(
            "Uma senha forte é criada e aparece uma única vez, na próxima página. Quem entra com ela escolhe outra.",
            "Você só pode dar um papel cujas permissões também tem.",
        ),
        way_back="O acesso de uma pessoa pode ser suspenso, e o papel, mudado.",
        button="Criar a pessoa",
        path=PATH,
        back=HOME,
        fields=(
            ActField("full_name", "Nome completo"),
            ActField("email", "E-mail"),
            ActField("role_id", "Papel", "choice", choices=tuple((str(role.id), role.description) for role in roles)),
            ActField("cpf", "CPF", required=False),
            ActField("phone", "Telefone", required=False),
        ),
    )


@router.get(PATH, dependencies=[claims(WRITES), step_up(), _NOBODYS])
async def ask_person(page: SignedPage) -> Response:
    """Show the form of a new person."""
    return ask(page, await _adding(page))


@router.post(PATH, dependencies=[claims(WRITES), step_up(), acts("user_added")])
async def add(page: SignedPage) -> Response:
    """Add a person; an e-mail address that exists is refused, so that sending a form twice adds one."""
    form: Reading[Any] = await page.form(NewPersonForm)
    if form.value is None:
        return ask_again(page, await _adding(page), form)
    body = identity.desk.NewUserIn(**form.value.model_dump())
    try:
        person, password = await identity.desk.add_user(page.identity, page.who, body)
    except REFUSALS as error:
        return ask_again(page, await _adding(page), form, error)
    says = f"Entregue a {person.full_name}, que entra com ela por poucos dias e escolhe outra."
    back = f"{HOME}/{person.id}" if page.holds("users:read") else HOME
    return show_once(page, "A senha provisória", password or "", back, says=says)


class PeopleForm(FormBody):
    """A file of people, as text."""

    lines: Annotated[str, Field(max_length=_LONGEST)]


@router.get(MANY, dependencies=[claims(WRITES), step_up(), _NOBODYS])
async def show_import(page: SignedPage) -> Response:
    """Ask for a file of people."""
    return page.show(_MANY_PAGE, path_of_form=MANY, results=None, done=False)


def _wrong(page: WebPage, form: Reading[Any], error: Exception | None = None) -> Response:
    wrong = getattr(error, "errors", None)
    if error is not None and not wrong:
        return page.again(_MANY_PAGE, form, error, path_of_form=MANY, results=None, done=False)
    again = form.at("lines", wrong[0]["message"]) if wrong else form
    return page.show(_MANY_PAGE, status=422, form=again, path_of_form=MANY, results=None, done=False)


@router.post(f"{MANY}/conferir", dependencies=[claims(WRITES), step_up(), looks("users_previewed")])
async def check_import(page: SignedPage) -> Response:
    """Show line by line who could be added, without adding them."""
    form: Reading[Any] = await page.form(PeopleForm)
    if form.value is None:
        return _wrong(page, form)
    try:
        lines = await identity.desk.read_people(form.value.lines.encode())
        results = await page.read(lambda tx: identity.desk.preview_people(tx, page.who, lines))
    except REFUSALS as error:
        return _wrong(page, form, error)
    return page.show(_MANY_PAGE, form=form, path_of_form=MANY, results=results, done=False)


@router.post(f"{MANY}/enviar", dependencies=[claims(WRITES), step_up(), acts("user_added", each=True)])
async def add_many(page: SignedPage) -> Response:
    """Add a file's people, each by themselves; existing ones are reported, so that sending it twice is harmless."""
    form: Reading[Any] = await page.form(PeopleForm)
    if form.value is None:
        return _wrong(page, form)
    try:
        lines = await identity.desk.read_people(form.value.lines.encode())
        results = await identity.desk.add_people(page.database, page.who, lines)
    except REFUSALS as error:
        return _wrong(page, form, error)
    if not any(one.status == "added" for one in results):
        audit.nothing_done()
    return page.show(_MANY_PAGE, form=form, path_of_form=MANY, results=results, done=True)
