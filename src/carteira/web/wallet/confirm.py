"""Pages before others: the step-up, and the change of a generated password."""

from typing import Annotated, Any, Literal

from fastapi import Query, Response
from fastapi.responses import JSONResponse
from pydantic import Field

from carteira import identity
from carteira.web.forms import FormBody
from carteira.web.page import REFUSALS, SignedPage, WebPage
from carteira.web.routing import pages
from carteira.web.wallet.passkeys import credential_of

router = pages()
_CONFIRM, _CHANGE = "wallet/confirm.html", "wallet/change_password.html"
_LOCAL = 2_000
_AGAIN = "Confirmado. Agora repita o que você pediu."


class ConfirmForm(FormBody):
    """A code of the authenticator, or the password where there is none."""

    code: identity.Code | None = None
    password: identity.Password | None = None
    next: Annotated[str, Field(max_length=_LOCAL, alias="para")] = ""
    again: Annotated[str, Field(max_length=10, alias="repetir")] = ""


class ChangePasswordForm(FormBody):
    """The present and the new password."""

    current_password: identity.Password
    new_password: identity.Password


def _ways(page: WebPage) -> dict[str, Any]:
    """Return the ways in which this session's person can verify themselves.

    A passkey always serves. Beside it: a code where an authenticator is on; else the password, unless the session has
    or needs a second factor, which a password does not renew.
    """
    shown = page.who.sign_in
    by: Literal["code", "password", ""] = "password"
    if shown is not None and shown.has_authenticator:
        by = "code"
    elif shown is not None and (shown.second_factor_at is not None or (page.who.withheld and shown.has_passkey)):
        by = ""
    return {"by": by, "by_passkey": shown is not None and shown.has_passkey}


@router.get("/app/confirmar")
async def show_confirm(
    page: SignedPage,
    wanted: Annotated[str, Query(alias="para", max_length=_LOCAL)] = "",
    again: Annotated[str, Query(alias="repetir", max_length=10)] = "",
) -> Response:
    """Ask the person to verify themselves."""
    return page.show(_CONFIRM, next_page=page.next_page(wanted), again=again, **_ways(page))


@router.post("/app/confirmar")
async def confirm(page: SignedPage) -> Response:
    """Verify the factor, and return to the page that asked for it."""
    form = await page.form(ConfirmForm)
    ways = _ways(page)
    values = {"next_page": page.next_page(form.text("para")), "again": form.text("repetir"), **ways}
    given = None if form.value is None else form.value.code if ways["by"] == "code" else form.value.password
    if form.value is None or given is None:
        return page.show(_CONFIRM, status=422, form=form.at(ways["by"] or "password", "Preencha este campo."), **values)
    try:
        if ways["by"] == "code":
            await identity.confirm_by_code(page.identity, page.who, given)
        else:
            await identity.confirm_by_password(page.identity, page.who, given)
    except REFUSALS as error:
        return page.again(_CONFIRM, form, error, **values)
    return page.go(values["next_page"], _AGAIN if values["again"] else "")


@router.post("/app/confirmar/chave/opcoes")
async def passkey_options(page: SignedPage, site: identity.SiteDep) -> JSONResponse:
    """Return the browser's options to ask for a passkey."""
    return JSONResponse(await identity.passkey_sign_in_options(page.identity, site, page.client))


@router.post("/app/confirmar/chave")
async def confirm_by_passkey(page: SignedPage, site: identity.SiteDep) -> Response:
    """Verify a passkey's answer, and return the next page's address to the script."""
    answer = await credential_of(page)
    await identity.confirm_by_passkey(page.identity, site, page.who, answer["credential"])
    wanted = answer.get("para")
    return page.script_goes(
        page.next_page(wanted if isinstance(wanted, str) else ""), _AGAIN if answer.get("repetir") else ""
    )


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
