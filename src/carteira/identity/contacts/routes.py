"""Contact points over HTTP: their confirmation, and the links of the messages about them."""

from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import HTMLResponse

from carteira.identity.contacts import service as contacts
from carteira.identity.contacts.links import MAX_TOKEN
from carteira.identity.contacts.points import Kind
from carteira.identity.contacts.schemas import ContactActOut
from carteira.identity.errors import ContactLinkRefused
from carteira.identity.pages import DONE, Act, answer_page, ask_page, page_response
from carteira.identity.runtime import IdentityDep
from carteira.kit.web.access import Who, public
from carteira.kit.web.json_route import JsonRoute

router = APIRouter(route_class=JsonRoute, tags=["identity"])

_LINK = "/auth/contacts"
_linked = public("the sealed link is the proof: only the message holds it")
_ANSWERS: dict[int | str, dict[str, Any]] = {200: {"model": ContactActOut, "content": {"text/html": {}}}}
Token = Annotated[str, Query(min_length=1, max_length=MAX_TOKEN)]
FormToken = Annotated[str, Form(min_length=1, max_length=MAX_TOKEN)]


@router.post(
    "/users/me/contacts/{kind}/confirmation", status_code=202, summary="Pedir o link que confirma o meu contato"
)
async def ask_confirmation(kind: Kind, who: Who, identity: IdentityDep) -> dict[str, str]:
    """Envia um link ao e-mail ou telefone atual; abrir e confirmar prova que ele é da pessoa."""
    await contacts.ask_confirmation(identity, who.user_id, kind)
    return {"detail": "Enviamos um link de confirmação. Ele vale por 7 dias."}


@router.get(
    f"{_LINK}/confirm", summary="Abrir o link de confirmação", response_class=HTMLResponse, dependencies=[_linked]
)
async def confirm_page(token: Token, request: Request) -> HTMLResponse:
    """Mostra uma página que pede a confirmação; por si só nada faz."""
    return page_response(request, ask_page("confirm", token))


@router.get(f"{_LINK}/undo", summary="Abrir o link “não fui eu”", response_class=HTMLResponse, dependencies=[_linked])
async def undo_page(token: Token, request: Request) -> HTMLResponse:
    """Mostra uma página que pergunta antes de desfazer; por si só nada faz."""
    return page_response(request, ask_page("undo", token))


async def _act(request: Request, identity: IdentityDep, act: Act, token: str) -> ContactActOut | HTMLResponse:
    in_browser = "text/html" in request.headers.get("accept", "")
    verb = contacts.confirm if act == "confirm" else contacts.undo
    try:
        async with identity.database.transaction() as tx:
            await verb(tx, identity, token)
    except ContactLinkRefused as refused:
        if in_browser:
            return page_response(request, answer_page(act, refused.detail), refused.status)
        raise
    return page_response(request, answer_page(act, DONE[act])) if in_browser else ContactActOut(detail=DONE[act])


@router.post(
    f"{_LINK}/confirm",
    operation_id="confirm_contact",
    summary="Confirmar um contato pelo link",
    response_model=None,
    responses=_ANSWERS,
    dependencies=[_linked],
)
async def confirm(token: FormToken, request: Request, identity: IdentityDep) -> ContactActOut | HTMLResponse:
    """Confirma o e-mail ou telefone a que o link foi enviado. Em um navegador, responde uma página."""
    return await _act(request, identity, "confirm", token)


@router.post(
    f"{_LINK}/undo",
    operation_id="undo_contact_change",
    summary="Desfazer a troca de um contato",
    response_model=None,
    responses=_ANSWERS,
    dependencies=[_linked],
)
async def undo(token: FormToken, request: Request, identity: IdentityDep) -> ContactActOut | HTMLResponse:
    """Desfaz a troca, enquanto o prazo dura, e encerra todas as sessões. Em um navegador, responde uma página."""
    return await _act(request, identity, "undo", token)
