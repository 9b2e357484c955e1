"""A forgotten password: a code by e-mail or SMS, then a new password. Answers do not say whether a name is known."""

from typing import Annotated, Literal

from fastapi import Response
from pydantic import Field

from carteira import identity
from carteira.kit.web.access import public
from carteira.web.forms import FormBody
from carteira.web.page import REFUSALS, OpenPage
from carteira.web.routing import pages

router = pages()
_OPEN = [public("who forgot the password cannot sign in")]
_ASK, _CODE, _NEW = "wallet/recover.html", "wallet/recover_code.html", "wallet/recover_new.html"


class AskForm(FormBody):
    """The login name, and the channel of the code."""

    name: Annotated[str, Field(max_length=254)]
    channel: Literal["email", "sms"] = "email"


class RecoveryCodeForm(AskForm):
    """The received code."""

    code: identity.Code


class NewPasswordForm(FormBody):
    """The new password."""

    reset_token: identity.Token
    new_password: identity.Password


@router.get("/app/senha", dependencies=_OPEN)
async def show_recovery(page: OpenPage) -> Response:
    """Ask for the login name."""
    return page.show(_ASK)


@router.post("/app/senha", dependencies=_OPEN)
async def ask(page: OpenPage) -> Response:
    """Send a code, if the name is known."""
    form = await page.form(AskForm)
    if form.value is None:
        return page.show(_ASK, status=422, form=form)
    try:
        await identity.ask_recovery(page.identity, form.value.name, form.value.channel, page.client)
    except REFUSALS as error:
        return page.again(_ASK, form, error)
    return page.show(_CODE, name=form.value.name, channel=form.value.channel)


@router.post("/app/senha/codigo", dependencies=_OPEN)
async def verify(page: OpenPage) -> Response:
    """Verify the code and ask for the new password."""
    form = await page.form(RecoveryCodeForm)
    name, channel = form.text("name"), form.text("channel", "email")
    if form.value is None:
        return page.show(_CODE, status=422, form=form, name=name, channel=channel)
    try:
        token = await identity.verify_recovery(page.identity, form.value.name, form.value.code, page.client)
    except REFUSALS as error:
        return page.again(_CODE, form, error, name=name, channel=channel)
    return page.show(_NEW, reset_token=token)


@router.post("/app/senha/nova", dependencies=_OPEN)
async def reset(page: OpenPage) -> Response:
    """Set the new password; all sessions end, and the person signs in with it."""
    form = await page.form(NewPasswordForm)
    token = form.typed.get("reset_token", "")
    if form.value is None:
        return page.show(_NEW, status=422, form=form, reset_token=token)
    try:
        await identity.reset_password(page.identity, token, form.value.new_password, page.client)
    except REFUSALS as error:
        return page.again(_NEW, form, error, reset_token=token)
    return page.go("/app/entrar", "Senha trocada. Entre com a nova.")
