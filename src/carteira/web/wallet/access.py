"""My ways of signing in, and the devices that are signed in: password, second factor, passkeys, linked accounts."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Query, Response
from markupsafe import Markup

from carteira import identity
from carteira.kit.web.problems import NotFound
from carteira.web.formats import device_name
from carteira.web.forms import EMPTY, FormBody
from carteira.web.page import REFUSALS, SignedPage, WebPage
from carteira.web.routing import pages

router = pages()
_ACCESS, _ON, _CODES, _OFF, _UNLINK = (
    "wallet/access.html",
    "wallet/second_factor.html",
    "wallet/recovery_codes.html",
    "wallet/second_factor_off.html",
    "wallet/unlink.html",
)
_HERE = "/app/acesso"
_SESSIONS = 30


class AuthenticatorForm(FormBody):
    """The first code of a new authenticator."""

    code: identity.Code


@router.get("/app/acesso")
async def show_access(page: SignedPage, lacks: Annotated[str, Query(alias="falta", max_length=20)] = "") -> Response:
    """Show the ways in, and the devices that are signed in."""
    async with page.database.transaction() as tx:
        sessions = await identity.list_sessions(tx, page.user_id, limit=_SESSIONS)
        passkeys = await identity.list_passkeys(tx, page.user_id)
        accounts = await identity.linked_accounts(tx, page.user_id)
    sessions.sort(key=lambda session: session.id != page.who.session_id)
    return page.show(
        _ACCESS,
        sessions=[(session, device_name(session.device)) for session in sessions],
        passkeys=passkeys,
        accounts=accounts,
        second_factor=page.who.sign_in is not None and page.who.sign_in.has_authenticator,
        lacks=lacks == "segundo-fator",
    )


@router.post("/app/acesso/aparelhos/{session_id}/sair")
async def end_session(session_id: UUID, page: SignedPage) -> Response:
    """Sign one device out."""
    if session_id != page.who.session_id:
        page.who.require_step_up()
    async with page.database.transaction() as tx:
        await identity.revoke_session(tx, page.identity.access, page.user_id, session_id)
    return page.go(_HERE, "Esse aparelho saiu da sua conta.")


@router.post("/app/acesso/aparelhos/sair")
async def end_all_sessions(page: SignedPage) -> Response:
    """Sign all devices out, this one too."""
    page.who.require_step_up()
    async with page.database.transaction() as tx:
        await identity.sign_out_everywhere(tx, page.identity.access, page.user_id, actor=page.user_id)
    response = page.go("/app/entrar", "Você saiu de todos os aparelhos.")
    page.browser.sign_out(response)
    return response


async def _set_up(page: WebPage, *, anew: bool = False) -> dict[str, Any]:
    """Return the enrolment of the waiting authenticator, a new one if requested; None if none waits."""
    make = identity.enrol_authenticator if anew else identity.waiting_authenticator
    async with page.database.transaction() as tx:
        enrolment = await make(tx, page.identity.sealer, page.user_id)
    # The picture is drawn here, from our own text.
    return {"up": _HERE, "enrolment": enrolment, "qr": Markup(enrolment.qr_svg) if enrolment else ""}  # noqa: S704 - segno's own SVG


@router.get("/app/acesso/duas-etapas")
async def show_second_factor(page: SignedPage) -> Response:
    """Show what a second step is and, where one is on, how to turn it off."""
    page.who.require_recent_sign_in()
    is_on = page.who.sign_in is not None and page.who.sign_in.has_authenticator
    return page.show(_OFF if is_on else _ON, up=_HERE, enrolment=None)


@router.post("/app/acesso/duas-etapas")
async def begin_second_factor(page: SignedPage) -> Response:
    """Show the authenticator's enrolment."""
    page.who.require_recent_sign_in()
    try:
        values = await _set_up(page, anew=True)
    except REFUSALS as error:
        return page.again(_ON, EMPTY, error, up=_HERE, enrolment=None)
    return page.show(_ON, **values)


@router.post("/app/acesso/duas-etapas/ligar")
async def turn_on(page: SignedPage) -> Response:
    """Turn it on by its first code, and show the recovery codes."""
    page.who.require_recent_sign_in()
    form = await page.form(AuthenticatorForm)
    if form.value is None:
        return page.show(_ON, status=422, form=form, **await _set_up(page))
    try:
        async with page.database.transaction() as tx:
            codes = await identity.confirm_authenticator(
                tx, page.identity, page.user_id, page.who.session_id, form.value.code
            )
    except REFUSALS as error:
        return page.again(_ON, form, error, **await _set_up(page))
    return page.show(_CODES, up=_HERE, codes=codes)


@router.post("/app/acesso/duas-etapas/desligar")
async def turn_off(page: SignedPage) -> Response:
    """Turn it off."""
    page.who.require_recent_sign_in()
    async with page.database.transaction() as tx:
        await identity.disable_authenticator(tx, page.identity.access, page.user_id)
    return page.go(_HERE, "Verificação em duas etapas desligada.")


@router.get("/app/acesso/contas/{account_id}")
async def show_unlink(account_id: UUID, page: SignedPage) -> Response:
    """Ask before a provider's account is unlinked."""
    page.who.require_recent_sign_in()
    async with page.database.transaction() as tx:
        accounts = await identity.linked_accounts(tx, page.user_id)
    account = next((one for one in accounts if one.id == account_id), None)
    if account is None:
        raise NotFound
    return page.show(_UNLINK, up=_HERE, account=account)


@router.post("/app/acesso/contas/{account_id}")
async def unlink(account_id: UUID, page: SignedPage) -> Response:
    """Unlink a provider's account."""
    async with page.database.transaction() as tx:
        await identity.unlink_account(tx, page.who, account_id)
    return page.go(_HERE, "Conta desligada: ela não entra mais aqui.")
