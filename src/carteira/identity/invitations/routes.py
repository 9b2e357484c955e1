"""Invitations over HTTP: opened and accepted by the holder of the link, in a browser or by a program."""

from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import HTMLResponse

from carteira.identity.errors import InvalidCode, InvitationOver, WeakPassword
from carteira.identity.invitations import pages, service
from carteira.identity.invitations.schemas import InvitationAcceptedOut, InvitationOut
from carteira.identity.pages import page_response
from carteira.identity.runtime import IdentityDep
from carteira.kit.web.access import public
from carteira.kit.web.json_route import JsonRoute

router = APIRouter(route_class=JsonRoute, prefix="/auth/invitation", tags=["identity"])

_linked = public("the holder of an invitation's link")
_BROWSER: dict[str, Any] = {"text/html": {}}
_LENGTH = 200
FormToken = Annotated[str, Form(min_length=1, max_length=_LENGTH)]


def _in_browser(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")


@router.get(
    "",
    operation_id="open_invitation",
    summary="Abrir o link de um convite",
    response_class=HTMLResponse,
    dependencies=[_linked],
)
async def begin(token: Annotated[str, Query(min_length=1, max_length=_LENGTH)], request: Request) -> HTMLResponse:
    """Mostra uma página que pergunta antes de começar; por si só nada faz."""
    return page_response(request, pages.begin_page(token))


@router.post(
    "/start",
    operation_id="start_invitation",
    summary="Começar a aceitar um convite",
    response_model=None,
    responses={200: {"model": InvitationOut, "content": _BROWSER}},
    dependencies=[_linked],
)
async def start(token: FormToken, request: Request, identity: IdentityDep) -> InvitationOut | HTMLResponse:
    """Mostra o que ativa o autenticador. Em um navegador, responde uma página."""
    try:
        async with identity.database.transaction() as tx:
            opened = await service.open_invitation(tx, identity, token)
    except InvitationOver as over:
        if _in_browser(request):
            return page_response(request, pages.over_page(over.detail), over.status)
        raise
    if _in_browser(request):
        return page_response(request, pages.accept_page(token, opened))
    enrolment = opened.enrolment
    return InvitationOut(
        full_name=opened.full_name,
        email=opened.email,
        secret=enrolment.secret if enrolment else None,
        otpauth_uri=enrolment.otpauth_uri if enrolment else None,
        qr_svg=enrolment.qr_svg if enrolment else None,
    )


@router.post(
    "/accept",
    operation_id="accept_account_invitation",
    summary="Aceitar um convite",
    response_model=None,
    responses={200: {"model": InvitationAcceptedOut, "content": _BROWSER}},
    dependencies=[_linked],
)
async def accept(
    token: FormToken,
    password: Annotated[str, Form(min_length=1, max_length=1000, json_schema_extra={"format": "password"})],
    code: Annotated[str, Form(min_length=1, max_length=40)],
    request: Request,
    identity: IdentityDep,
) -> InvitationAcceptedOut | HTMLResponse:
    """Define a senha, ativa o autenticador com um código dele e dá o papel de administrador. Vale uma vez."""
    try:
        codes = await service.accept(identity, token, password, code)
    except (InvalidCode, InvitationOver, WeakPassword) as problem:
        if not _in_browser(request):
            raise
        message = " ".join(error["message"] for error in problem.errors) or problem.detail
        over = isinstance(problem, InvitationOver)
        return page_response(
            request,
            pages.over_page(message) if over else pages.again_page(token, message),
            problem.status,
        )
    return (
        page_response(request, pages.done_page(codes))
        if _in_browser(request)
        else InvitationAcceptedOut(recovery_codes=codes)
    )
