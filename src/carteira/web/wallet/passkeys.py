"""One's own passkeys: routes for the pages' script, and forms to rename and delete one."""

from typing import Any
from uuid import UUID

from fastapi import Response
from fastapi.responses import JSONResponse
from pydantic import TypeAdapter, ValidationError

from carteira import identity
from carteira.kit.values.exact_json import parse_strict_json
from carteira.kit.web.problems import InvalidInput
from carteira.web.forms import FormBody
from carteira.web.page import SignedPage, WebPage
from carteira.web.routing import pages

router = pages()
_NEW, _ONE = "wallet/passkey_new.html", "wallet/passkey.html"
_name: TypeAdapter[str] = TypeAdapter(identity.PasskeyName)


class PasskeyForm(FormBody):
    """A passkey's name."""

    name: identity.PasskeyName


async def credential_of(page: WebPage) -> dict[str, Any]:
    """Read the passkey's answer from the script's request.

    Raises:
        InvalidInput: it is not a JSON object with a `credential`.
    """
    try:
        body = parse_strict_json(await page.request.body())
    except ValueError as error:
        raise InvalidInput("O pedido não pôde ser lido.") from error
    if not isinstance(body, dict) or not isinstance(body.get("credential"), dict):
        raise InvalidInput
    return body


@router.get("/app/acesso/chaves/nova")
async def show_new(page: SignedPage) -> Response:
    """Show what a passkey is and offer to make one."""
    page.who.require_recent_sign_in()
    return page.show(_NEW, up="/app/acesso")


@router.post("/app/acesso/chaves/opcoes")
async def options(page: SignedPage, site: identity.SiteDep) -> JSONResponse:
    """Return the browser's options to create a passkey."""
    return JSONResponse(await identity.passkey_registration_options(page.identity, site, page.who))


@router.post("/app/acesso/chaves")
async def add(page: SignedPage, site: identity.SiteDep) -> Response:
    """Store the passkey that the browser created, and return the next page's address to the script."""
    body = await credential_of(page)
    try:
        name = _name.validate_python(body.get("name") or "Chave de acesso")
    except ValidationError as error:
        raise InvalidInput("O nome deve ter de 1 a 60 caracteres visíveis.") from error
    await identity.register_passkey(page.identity, site, page.who, body["credential"], name)
    return page.script_goes("/app/acesso", "Chave de acesso guardada. Avisamos você por e-mail.")


async def _own(page: WebPage, passkey_id: UUID) -> identity.PasskeyView:
    async with page.database.transaction() as tx:
        return await identity.passkey(tx, page.user_id, passkey_id)


@router.get("/app/acesso/chaves/{passkey_id}")
async def show(passkey_id: UUID, page: SignedPage) -> Response:
    """Show a passkey, to rename or delete it."""
    page.who.require_recent_sign_in()
    return page.show(_ONE, up="/app/acesso", passkey=await _own(page, passkey_id))


@router.post("/app/acesso/chaves/{passkey_id}")
async def rename(passkey_id: UUID, page: SignedPage) -> Response:
    """Rename a passkey."""
    form = await page.form(PasskeyForm)
    if form.value is None:
        return page.show(_ONE, status=422, form=form, up="/app/acesso", passkey=await _own(page, passkey_id))
    async with page.database.transaction() as tx:
        await identity.rename_passkey(tx, page.user_id, passkey_id, form.value.name)
    return page.go("/app/acesso", "Nome trocado.")


@router.post("/app/acesso/chaves/{passkey_id}/apagar")
async def remove(passkey_id: UUID, page: SignedPage) -> Response:
    """Delete a passkey."""
    async with page.database.transaction() as tx:
        await identity.remove_passkey(tx, page.who, passkey_id)
    return page.go("/app/acesso", "Chave de acesso apagada.")
