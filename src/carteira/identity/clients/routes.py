"""Clients over HTTP: their token, and their administration."""

from datetime import timedelta
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from fastapi.security import HTTPBasic
from starlette.requests import HTTPConnection

from carteira.identity.clients import grant, service
from carteira.identity.clients.schemas import (
    ClientClaimsIn,
    ClientIn,
    ClientOut,
    ClientPatch,
    ClientTokenOut,
    ClientTokenProblemOut,
    CredentialIn,
    CredentialOut,
    NewClientOut,
    NewCredentialOut,
)
from carteira.identity.runtime import IdentityDep
from carteira.kit.web.access import Principal, acts, claims, public, reads, step_up
from carteira.kit.web.client_address import client_address
from carteira.kit.web.json_route import JsonRoute, send_version, versioned
from carteira.kit.web.pagination import BY_ID, Page, PageRequest, page_of
from carteira.kit.web.preconditions import PreconditionDep
from carteira.kit.web.public_address import public_address
from carteira.kit.web.transaction import ReadTxDep, TxDep

router = APIRouter(route_class=JsonRoute, tags=["identity"])

Writer = Annotated[Principal, claims("clients:write")]
_machines = reads("clients are machines")
TOKEN_PATH = "/auth/token"  # noqa: S105 - a path
_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-www-form-urlencoded": {
                "schema": {
                    "type": "object",
                    "required": ["grant_type"],
                    "properties": {
                        "grant_type": {"type": "string", "enum": ["client_credentials"]},
                        "scope": {"type": "string", "description": "Permissões pedidas; sem ele, todas as do cliente"},
                        "client_id": {"type": "string", "format": "uuid"},
                        "client_secret": {"type": "string", "format": "password"},
                        "client_assertion_type": {"type": "string", "enum": [grant.ASSERTION_TYPE]},
                        "client_assertion": {"type": "string", "description": "JWT assinado pelo cliente (RFC 7523)"},
                    },
                }
            }
        },
    }
}


class _Basic(HTTPBasic):
    """Describes HTTP Basic in the OpenAPI document.

    The grant reads the header itself, because its errors follow RFC 6749.
    """

    async def __call__(self, request: HTTPConnection) -> None:
        """Read nothing."""


_basic = _Basic(scheme_name="Client", description="client_id e client_secret (RFC 6749, 2.3.1)")


@router.post(
    TOKEN_PATH,
    summary="Token de um cliente",
    openapi_extra=_FORM,
    responses={
        400: {"model": ClientTokenProblemOut, "description": "Pedido malformado, ou permissão que o cliente não tem"},
        401: {"model": ClientTokenProblemOut, "description": "O cliente não provou quem é"},
    },
    dependencies=[public("clients prove themselves by what the request carries"), Depends(_basic)],
)
async def token(request: Request, identity: IdentityDep, response: Response) -> ClientTokenOut:
    """Concessão client_credentials do OAuth 2.0 (RFC 6749, 4.4), para máquinas.

    O cliente se autentica com client_id e client_secret, no cabeçalho Basic ou no formulário, ou com uma asserção
    assinada (`private_key_jwt`, RFC 7523) cujo `aud` é o endereço público do servidor ou o deste recurso.
    """
    asked = grant.read_request(
        request.headers.get("content-type", ""), await request.body(), request.headers.get("authorization", "")
    )
    base = public_address(request)
    given = await grant.grant(
        identity,
        asked,
        address=client_address(request),
        audiences=(base, base + TOKEN_PATH),
    )
    response.headers["Cache-Control"] = "no-store"
    return ClientTokenOut(access_token=given.access_token, expires_in=given.expires_in, scope=given.scope)


@router.post("/clients", status_code=201, summary="Criar um cliente", dependencies=[acts("client_added"), step_up()])
async def add_client(body: ClientIn, tx: TxDep, who: Writer, response: Response) -> NewClientOut:
    """Cria um cliente (uma máquina), com um segredo mostrado só desta vez ou com a chave pública dele.

    Quem cria o cliente só pode lhe dar permissões que também tem.
    """
    response.headers["Cache-Control"] = "no-store"
    view, secret = await service.add_client(
        tx,
        who,
        name=body.name.strip(),
        claims=body.claims,
        networks=body.networks,
        expires_at=body.expires_at,
        public_key=body.public_key,
    )
    return NewClientOut(**ClientOut.model_validate(view).model_dump(), client_secret=secret)


@router.get("/clients", summary="Clientes", dependencies=[claims("clients:read"), _machines])
async def get_clients(tx: ReadTxDep, asked: PageRequest[UUID] = page_of(BY_ID)) -> Page[ClientOut]:
    """Lista os clientes, do mais novo ao mais antigo, também os encerrados."""
    rows = await service.list_clients(tx, limit=asked.limit + 1, before=asked.after)
    return asked.page(rows, lambda row: row.id).map(ClientOut.model_validate)


@router.get("/clients/{client_id}", summary="Um cliente", dependencies=[versioned(), claims("clients:read"), _machines])
async def get_client(request: Request, client_id: UUID, tx: ReadTxDep) -> ClientOut:
    """Mostra um cliente e as credenciais que valem."""
    found = await service.client(tx, client_id)
    send_version(request, found.version)
    return ClientOut.model_validate(found)


@router.patch("/clients/{client_id}", summary="Alterar um cliente", dependencies=[acts("client_changed"), step_up()])
async def patch_client(
    client_id: UUID, body: ClientPatch, tx: TxDep, who: Writer, identity: IdentityDep, seen: PreconditionDep
) -> ClientOut:
    """Muda nome, redes e validade. Vale na hora, também para os tokens já emitidos.

    Com `If-Match`, só muda se o cliente ainda está na versão lida.
    """
    changes = body.model_dump(exclude_unset=True)
    given = {name: value for name, value in changes.items() if value is not None or name == "expires_at"}
    if "name" in given:
        given["name"] = given["name"].strip()
    return ClientOut.model_validate(await service.change_client(tx, identity.access, who, client_id, given, seen))


@router.put(
    "/clients/{client_id}/claims",
    operation_id="put_client_claims",
    summary="Definir as permissões de um cliente",
    dependencies=[acts("client_claims_set"), step_up()],
)
async def put_claims(
    client_id: UUID, body: ClientClaimsIn, tx: TxDep, who: Writer, identity: IdentityDep, seen: PreconditionDep
) -> ClientOut:
    """Troca todas as permissões do cliente. Vale na hora. Quem as troca só pode dar permissões que também tem.

    Com `If-Match`, só muda se o cliente ainda está na versão lida.
    """
    return ClientOut.model_validate(await service.set_claims(tx, identity.access, who, client_id, body.claims, seen))


@router.delete(
    "/clients/{client_id}", status_code=204, summary="Encerrar um cliente", dependencies=[acts("client_revoked")]
)
async def delete_client(client_id: UUID, tx: TxDep, who: Writer, identity: IdentityDep) -> None:
    """Encerra o cliente, as suas credenciais e os seus tokens, na hora."""
    await service.revoke_client(tx, identity.access, who, client_id)


@router.post(
    "/clients/{client_id}/credentials",
    status_code=201,
    summary="Trocar a credencial de um cliente",
    dependencies=[acts("client_credential_added"), step_up()],
)
async def add_credential(
    client_id: UUID, body: CredentialIn, tx: TxDep, who: Writer, identity: IdentityDep, response: Response
) -> NewCredentialOut:
    """Dá ao cliente um novo segredo, ou outra chave pública; a credencial anterior vale por mais `overlap_hours`."""
    response.headers["Cache-Control"] = "no-store"
    made = await service.add_credential(
        tx,
        identity.access,
        who,
        client_id,
        public_key=body.public_key,
        expires_at=body.expires_at,
        overlap=timedelta(hours=body.overlap_hours),
    )
    return NewCredentialOut(**CredentialOut.model_validate(made.view).model_dump(), client_secret=made.secret)


@router.delete(
    "/clients/{client_id}/credentials/{credential_id}",
    status_code=204,
    summary="Encerrar uma credencial",
    dependencies=[acts("client_credential_revoked")],
)
async def delete_credential(
    client_id: UUID, credential_id: UUID, tx: TxDep, who: Writer, identity: IdentityDep
) -> None:
    """Encerra uma credencial, e os tokens que vieram dela, na hora."""
    await service.revoke_credential(tx, identity.access, who, client_id, credential_id)
