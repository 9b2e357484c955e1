"""Signing in by CPF or e-mail and password, with a second factor where one is on; by passkey; and signing out."""

from typing import Annotated, Literal

from fastapi import Query, Response
from fastapi.responses import JSONResponse, RedirectResponse
from pydantic import Field

from carteira import identity
from carteira.kit.web.access import public
from carteira.kit.web.problems import InvalidInput, problem_of
from carteira.web.forms import FormBody, Reading
from carteira.web.page import REFUSALS, OpenPage, WebPage
from carteira.web.routing import pages
from carteira.web.wallet.passkeys import credential_of
from carteira.web.wallet.session import signed_in

router = pages()
_OPEN = [public("signing in")]
_FORM, _CODE = "wallet/sign_in.html", "wallet/sign_in_code.html"
_LOCAL = 2_000
_WRONG = "CPF ou senha inválidos. Confira os números e tente de novo. Esqueceu a senha?"


class SignInForm(FormBody):
    """A sign-in; `keep` stays signed in on this device."""

    username: Annotated[str, Field(max_length=254)]
    password: identity.Password
    keep: Literal["sim"] | None = None
    next: Annotated[str, Field(max_length=_LOCAL, alias="para")] = ""


class SecondFactorForm(FormBody):
    """A code of the authenticator or of the recovery list."""

    mfa_token: identity.Token
    code: identity.Code
    keep: Literal["sim"] | None = None
    next: Annotated[str, Field(max_length=_LOCAL, alias="para")] = ""


@router.get("/app/entrar", dependencies=_OPEN)
async def show_sign_in(
    page: OpenPage,
    wanted: Annotated[str, Query(alias="para", max_length=_LOCAL)] = "",
    left: Annotated[str, Query(alias="saiu", max_length=10)] = "",
) -> Response:
    """Show the sign-in form; signed-in people are redirected."""
    if page.visitor is not None:
        return page.go(page.next_page(wanted))
    return page.show(_FORM, next_page=page.next_page(wanted, ""), left=left)


@router.post("/app/entrar", dependencies=_OPEN)
async def sign_in(page: OpenPage) -> Response:
    """Sign in, or ask for the second factor."""
    form = await page.form(SignInForm)
    if form.value is None:
        return page.show(_FORM, status=422, form=form, next_page=form.text("para"), left="")
    asked = form.value
    try:
        answer = await identity.sign_in(page.identity, asked.username, asked.password, page.client)
    except REFUSALS as error:
        return page.again(_FORM, form, _in_page_words(error), next_page=asked.next, left="")
    if isinstance(answer, identity.Challenge):
        return page.show(_CODE, mfa_token=answer.mfa_token, keep=asked.keep, next_page=asked.next)
    return await signed_in(page, answer, keep=bool(asked.keep), next_page=asked.next)


def _in_page_words(error: Exception) -> Exception:
    """Return in the page's words why a sign-in failed; the next step is beside it."""
    if isinstance(error, identity.WrongCredentials):
        return InvalidInput(_WRONG)
    problem = problem_of(error)
    seconds = problem.headers.get("Retry-After")
    if problem.status == 429 and seconds is not None:  # noqa: PLR2004 - HTTP's own
        minutes = max(1, round(int(seconds) / 60))
        wait = "1 minuto" if minutes == 1 else f"{minutes} minutos"
        problem.detail = f"Muitas tentativas. Espere {wait} ou crie outra senha agora:"
    return problem


@router.post("/app/entrar/codigo", dependencies=_OPEN)
async def second_factor(page: OpenPage) -> Response:
    """Finish a sign-in by the second factor."""
    form = await page.form(SecondFactorForm)
    if form.value is None:
        return _ask_code(page, form)
    asked = form.value
    try:
        tokens = await identity.finish_sign_in(page.identity, asked.mfa_token, asked.code, page.client)
    except REFUSALS as error:
        return page.again(_CODE, form, error, mfa_token=asked.mfa_token, keep=asked.keep, next_page=asked.next)
    return await signed_in(page, tokens, keep=bool(asked.keep), next_page=asked.next)


def _ask_code(page: WebPage, form: Reading[SecondFactorForm]) -> Response:
    token = form.typed.get("mfa_token", "")
    return page.show(
        _CODE, status=422, form=form, mfa_token=token, keep=form.typed.get("keep"), next_page=form.text("para")
    )


@router.post("/app/entrar/chave/opcoes", dependencies=_OPEN)
async def passkey_options(page: OpenPage, site: identity.SiteDep) -> JSONResponse:
    """Return the browser's options to ask for a passkey."""
    return JSONResponse(await identity.passkey_sign_in_options(page.identity, site, page.client))


@router.post("/app/entrar/chave", dependencies=_OPEN)
async def sign_in_by_passkey(page: OpenPage, site: identity.SiteDep) -> Response:
    """Sign in by a passkey's answer, and return the next page's address to the script."""
    answer = await credential_of(page)
    tokens = await identity.passkey_sign_in(page.identity, site, answer["credential"], page.client)
    keep, wanted = answer.get("keep") is True, answer.get("para")
    redirect = await signed_in(page, tokens, keep=keep, next_page=wanted if isinstance(wanted, str) else "")
    response = JSONResponse({"go": redirect.headers["location"]})
    for name, value in redirect.raw_headers:
        if name == b"set-cookie":
            response.raw_headers.append((name, value))
    return response


@router.get("/app/sair", dependencies=[public("it leads to the page with the button")])
async def show_sign_out(page: OpenPage) -> RedirectResponse:
    """Show the sign-out button: a link alone signs nobody out."""
    return RedirectResponse(page.renderer.config.root_path + "/app/menu", 303)


@router.post("/app/sair", dependencies=[public("whoever has a session's cookie ends it")])
async def sign_out(page: OpenPage) -> Response:
    """End the session and delete everything of it in the browser."""
    if page.browser.session:
        async with page.database.transaction() as tx:
            await identity.sign_browser_out(tx, page.identity.access, page.browser.session)
    response = page.go("/app/entrar", "Você saiu.")
    page.browser.sign_out(response)
    return response
