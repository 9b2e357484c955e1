"""Signing in with gov.br, Google or Meta, and what follows if the account is not linked yet."""

from typing import Annotated
from urllib.parse import quote, unquote

from fastapi import Query, Response
from fastapi.responses import RedirectResponse
from pydantic import Field

from carteira import identity
from carteira.kit.values.cpf import Cpf
from carteira.kit.values.email import Email
from carteira.kit.values.phone import Phone
from carteira.kit.web.access import RecentSignInRequired, SecondFactorRequired, public
from carteira.web.forms import FormBody, Reading, read
from carteira.web.page import REFUSALS, OpenPage, SignedPage, WebPage
from carteira.web.routing import pages
from carteira.web.wallet.session import signed_in

router = pages()
_OPEN = [public("signing in")]
_HOLDER = [public("the holder of a registration_token")]
_MINE = "wallet/social_mine.html"
_SIGN_UP, _LINK, _LINK_CODE = "wallet/social_sign_up.html", "wallet/social_link.html", "wallet/social_link_code.html"
_LOCAL = 2_000


class SocialSignUpForm(FormBody):
    """Data that the provider lacks, or that the person changes."""

    registration_token: identity.Token
    full_name: identity.FullName | None = None
    email: Email | None = None
    cpf: Cpf | None = None
    birth_date: identity.TypedBirthDate
    phone: Phone


class SocialMineForm(FormBody):
    """The signed-in person links the provider's account."""

    registration_token: identity.Token
    next: Annotated[str, Field(max_length=_LOCAL, alias="para")] = ""


class SocialLinkForm(FormBody):
    """The login name of an existing account."""

    registration_token: identity.Token
    name: Annotated[str, Field(max_length=254)]


class SocialLinkCodeForm(FormBody):
    """The received code."""

    registration_token: identity.Token
    code: identity.Code


@router.get("/app/entrar/com/{provider}", dependencies=_OPEN)
async def leave(
    provider: identity.ProviderName,
    page: OpenPage,
    base: identity.BaseDep,
    wanted: Annotated[str, Query(alias="para", max_length=_LOCAL)] = "",
) -> Response:
    """Redirect the browser to a provider; signed-in people link its account, after a step-up.

    After it they return to their page, since a form's answer may not redirect to another host.
    """
    if page.visitor is not None:
        try:
            page.visitor.require_recent_sign_in()
        except (RecentSignInRequired, SecondFactorRequired):
            return page.go(f"/app/confirmar?para={quote(page.next_page(wanted))}&repetir=sim")
    departure = await identity.begin_social(page.identity, base, provider, page.client)
    response = RedirectResponse(departure.url, 303, {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})
    https = page.renderer.config.https
    identity.SOCIAL_COOKIE.set(response, departure.browser, https=https)
    identity.SOCIAL_PAGE_COOKIE.set(response, quote(page.next_page(wanted), safe=""), https=https)
    return response


@router.get("/app/entrar/com/{provider}/volta", dependencies=_OPEN)
async def come_back(  # noqa: PLR0913, PLR0917 - the parameters of a provider's answer
    provider: identity.ProviderName,
    page: OpenPage,
    base: identity.BaseDep,
    state: Annotated[str, Query(max_length=200)] = "",
    code: Annotated[str | None, Query(max_length=4000)] = None,
    error: Annotated[str | None, Query(max_length=200)] = None,
) -> Response:
    """Handle the browser's return: sign in, ask for the second factor, or ask who it is."""
    https = page.renderer.config.https
    browser = identity.SOCIAL_COOKIE.read(page.request, https=https)
    wanted = page.next_page(unquote(identity.SOCIAL_PAGE_COOKIE.read(page.request, https=https)), "")
    arrival = identity.SocialArrival(state=state, browser=browser, code=code, error=error)
    try:
        answer = await identity.end_social(page.identity, base, provider, arrival, page.client)
    except REFUSALS as refusal:
        response: Response = page.again("wallet/sign_in.html", Reading(), refusal, next_page=wanted, left="")
    else:
        response = await _finish(page, answer, wanted)
    identity.SOCIAL_COOKIE.delete(response, https=https)
    identity.SOCIAL_PAGE_COOKIE.delete(response, https=https)
    return response


async def _finish(
    page: WebPage, answer: identity.Tokens | identity.Challenge | identity.SocialOffer, wanted: str
) -> Response:
    if isinstance(answer, identity.Challenge):
        return page.show("wallet/sign_in_code.html", mfa_token=answer.mfa_token, keep=None, next_page=wanted)
    if isinstance(answer, identity.SocialOffer):
        said = {"full_name": answer.full_name, "email": answer.email, "cpf": answer.cpf}
        typed = {name: text for name, text in said.items() if text}
        if page.visitor is not None:
            return page.show(_MINE, form=Reading(None, typed), registration_token=answer.token, next_page=wanted)
        return page.show(_SIGN_UP, form=Reading(None, typed), registration_token=answer.token, held=answer.cpf_held)
    return await signed_in(page, answer, keep=False, next_page=wanted)


@router.post("/app/entrar/com/minha")
async def link_mine(page: SignedPage) -> Response:
    """Link the provider's account to the signed-in person; gov.br's proves the CPF."""
    form = await page.form(SocialMineForm)
    token, wanted = form.typed.get("registration_token", ""), page.next_page(form.text("para"), "")
    try:
        async with page.database.transaction() as tx:
            await identity.link_social(tx, page.identity, page.who, token)
    except REFUSALS as error:
        return page.again(_MINE, form, error, registration_token="", next_page=wanted)
    return page.go(wanted or "/app", "Conta ligada. Avisamos você por e-mail.")


@router.post("/app/entrar/com/cadastro", dependencies=_HOLDER)
async def sign_up(page: OpenPage) -> Response:
    """Finish the sign-up: create the account and sign its person in."""
    sent = {name: text for name, text in (await page.request.form()).items() if isinstance(text, str)}
    form = read(SocialSignUpForm, sent)
    token = form.typed.get("registration_token", "")
    if form.value is None:
        return page.show(_SIGN_UP, status=422, form=form, registration_token=token, held=None)
    asked = form.value
    additions = identity.SocialSignUp(asked.cpf, asked.birth_date, asked.phone, asked.full_name, asked.email)
    try:
        tokens = await identity.register_social(page.identity, asked.registration_token, additions, page.client)
    except REFUSALS as error:
        return page.again(_SIGN_UP, form, error, registration_token=token, held=None)
    return await signed_in(page, tokens, keep=False, next_page="/app")


@router.post("/app/entrar/com/ligar", dependencies=_HOLDER)
async def ask_link(page: OpenPage) -> Response:
    """Ask for an existing account's login name, and send a code."""
    form = await page.form(SocialLinkForm)
    token = form.typed.get("registration_token", "")
    if form.value is None:
        first = "name" not in form.typed
        form = Reading() if first else form
        return page.show(_LINK, status=200 if first else 422, form=form, registration_token=token)
    try:
        await identity.ask_social_link(page.identity, token, form.value.name, page.client)
    except REFUSALS as error:
        return page.again(_LINK, form, error, registration_token=token)
    return page.show(_LINK_CODE, registration_token=token)


@router.post("/app/entrar/com/ligar/codigo", dependencies=_HOLDER)
async def link(page: OpenPage) -> Response:
    """Link the provider's account by the code, and sign in."""
    form = await page.form(SocialLinkCodeForm)
    token = form.typed.get("registration_token", "")
    if form.value is None:
        return page.show(_LINK_CODE, status=422, form=form, registration_token=token)
    try:
        answer = await identity.verify_social_link(page.identity, token, form.value.code, page.client)
    except REFUSALS as error:
        return page.again(_LINK_CODE, form, error, registration_token=token)
    return await _finish(page, answer, "/app")
