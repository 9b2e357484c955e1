"""Pages that stand before others: showing again who one is, and changing a password that was made for one."""

from typing import Annotated

from fastapi import Query, Response
from pydantic import Field

from carteira import identity
from carteira.web.forms import FormBody
from carteira.web.page import REFUSALS, SignedPage
from carteira.web.routing import pages

router = pages()
_CONFIRM, _CHANGE = "wallet/confirm.html", "wallet/change_password.html"
_LOCAL = 2_000


class ConfirmForm(FormBody):
    """A code of the authenticator, or the password where there is none."""

    code: identity.Code | None = None
    password: identity.Password | None = None
    next: Annotated[str, Field(max_length=_LOCAL, alias="para")] = ""


class ChangePasswordForm(FormBody):
    """The password that it is, and the one that it is to be."""

    current_password: identity.Password
    new_password: identity.Password


@router.get("/app/confirmar")
async def show_confirm(
    page: SignedPage, wanted: Annotated[str, Query(alias="para", max_length=_LOCAL)] = ""
) -> Response:
    """Ask for what shows that the person is there."""
    return page.show(_CONFIRM, next_page=page.next_page(wanted), by_code=_by_code(page))


def _by_code(page: SignedPage) -> bool:
    return page.who.sign_in is not None and page.who.sign_in.has_authenticator


@router.post("/app/confirmar")
async def confirm(page: SignedPage) -> Response:
    """Take it, and go back to where it was asked for."""
    form = await page.form(ConfirmForm)
    by_code = _by_code(page)
    given = None if form.value is None else form.value.code if by_code else form.value.password
    if form.value is None or given is None:
        form = form.at("code" if by_code else "password", "Preencha este campo.")
        return page.show(_CONFIRM, status=422, form=form, next_page=form.text("para"), by_code=by_code)
    try:
        if by_code:
            await identity.confirm_by_code(page.identity, page.who, given)
        else:
            await identity.confirm_by_password(page.identity, page.who, given)
    except REFUSALS as error:
        return page.again(_CONFIRM, form, error, next_page=form.value.next, by_code=by_code)
    return page.go(page.next_page(form.value.next))


@router.get("/app/nova-senha")
async def show_change(page: SignedPage) -> Response:
    """Ask for a new password."""
    return page.show(_CHANGE)


@router.post("/app/nova-senha")
async def change(page: SignedPage) -> Response:
    """Change one's own password; one's other sessions end."""
    form = await page.form(ChangePasswordForm)
    if form.value is None:
        return page.show(_CHANGE, status=422, form=form)
    try:
        await identity.change_password(page.identity, page.who, form.value.current_password, form.value.new_password)
    except REFUSALS as error:
        return page.again(_CHANGE, form, error)
    return page.go("/app", "Senha trocada. Você saiu dos outros aparelhos.")
