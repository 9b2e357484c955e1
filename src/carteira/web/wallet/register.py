"""Creating an account in three short steps: the person, the contacts, the password.

Earlier steps' values travel in hidden fields of the next one: nothing is stored of a person who leaves.
"""

from typing import Any
from uuid import UUID

from fastapi import Response

from carteira import identity
from carteira.kit.db.session import Tx
from carteira.kit.values.cpf import Cpf
from carteira.kit.values.email import Email
from carteira.kit.values.phone import Phone
from carteira.kit.web.access import public
from carteira.kit.web.problems import problem_of
from carteira.web.forms import FormBody, Reading, read
from carteira.web.page import REFUSALS, OpenPage, WebPage
from carteira.web.routing import pages
from carteira.web.wallet.session import cookie_for, led_on

router = pages()
_OPEN = [public("anyone may register")]
_TEMPLATE = "wallet/register.html"
_LAST = 3


class WhoForm(FormBody):
    """The first step."""

    full_name: identity.FullName
    cpf: Cpf | None = None
    birth_date: identity.TypedBirthDate


class ContactForm(FormBody):
    """The second step."""

    email: Email
    phone: Phone


class EntryForm(FormBody):
    """The third step."""

    password: identity.Password


_STEPS: dict[int, type[FormBody]] = {1: WhoForm, 2: ContactForm, 3: EntryForm}


class RegisterForm(WhoForm, ContactForm, EntryForm):
    """All three."""


@router.get("/app/criar-conta", dependencies=_OPEN)
async def show_register(page: OpenPage) -> Response:
    """Show the first step."""
    wanted = page.request.query_params.get("para", "")
    if page.visitor is not None:
        return page.go(page.next_page(wanted))
    return _step(page, 1, Reading(None, {"para": wanted}))


def _step(page: WebPage, step: int, form: Reading[Any], *, status: int = 200, problem: str = "") -> Response:
    return page.show(_TEMPLATE, status=status, step=step, form=form, problem=problem)


@router.post("/app/criar-conta", dependencies=_OPEN)
async def register(page: OpenPage) -> Response:
    """Process a step; the third one creates the account and signs the person in."""
    sent = {name: text for name, text in (await page.request.form()).items() if isinstance(text, str)}
    step = {"1": 1, "2": 2, "3": 3}.get(sent.get("passo", ""), 1)
    if "voltar" in sent:
        return _step(page, max(1, step - 1), Reading(None, sent))
    for number in range(1, step + 1):
        form = read(_STEPS[number], sent)
        if form.value is None:
            return _step(page, number, form, status=422)
    if step < _LAST:
        return _step(page, step + 1, Reading(None, sent))
    return await _finish(page, read(RegisterForm, sent))


async def _finish(page: WebPage, form: Reading[RegisterForm]) -> Response:
    asked = form.value
    assert asked is not None, "each of the steps was read"
    person = identity.NewPerson(asked.full_name, asked.email, asked.cpf, asked.birth_date, asked.phone)

    async def begin(tx: Tx, user_id: UUID) -> tuple[identity.Tokens, str]:
        tokens = await identity.start_session(tx, page.identity, user_id, page.client, methods=("password",))
        return tokens, await cookie_for(tx, page, tokens, keep=False)

    try:
        tokens, cookie = await identity.register_person(
            page.identity, page.client.address, person, asked.password, begin
        )
    except identity.CpfTaken as error:
        return _step(page, 1, form.at("cpf", error.detail), status=409, problem=error.code)
    except identity.EmailTaken as error:
        return _step(page, 2, form.at("email", error.detail), status=409, problem=error.code)
    except REFUSALS as error:
        return _step(page, _LAST, form.failed(problem_of(error)), status=problem_of(error).status)
    return led_on(page, tokens, cookie, keep=False, next_page=page.next_page(form.text("para")))
