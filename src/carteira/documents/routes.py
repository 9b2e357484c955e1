"""Documents over HTTP. Routes that stream a file have no transaction: their verbs open short ones."""

from io import BytesIO
from typing import Annotated, Any
from uuid import UUID

import segno
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import RedirectResponse, StreamingResponse
from pydantic import ValidationError

from carteira.documents import forms, links, proofs, service
from carteira.documents.answers import file_answer
from carteira.documents.forms import Form
from carteira.documents.intake import kept, receive_form
from carteira.documents.kinds import MAX_NUMBER, DocumentType
from carteira.documents.schemas import CheckedProofOut, DocumentIn, DocumentOut, LinkOut, ProofOut, VersionOut
from carteira.documents.upload import StoredFile
from carteira.documents.vault import VAULT, Vault
from carteira.kit.values.exact_json import parse_strict_json
from carteira.kit.values.ids import uuid7
from carteira.kit.web.access import Who, public
from carteira.kit.web.json_route import JsonRoute
from carteira.kit.web.pagination import BY_ID, Page, PageRequest, page_of
from carteira.kit.web.problems import InvalidInput, PayloadTooLarge, UnsupportedMediaType
from carteira.kit.web.public_address import public_address
from carteira.kit.web.state import DATABASE
from carteira.kit.web.transaction import ReadsDep, ReadTxDep, TxDep
from carteira.kit.web.validation import describe

MAX_JSON_BYTES = 64 * 1024
FORM_FIELDS = frozenset({"document_type", "document_number", "expires_on"})

router = APIRouter(route_class=JsonRoute, prefix="/documents", tags=["documents"])

_DATA_SCHEMA = DocumentIn.model_json_schema(ref_template="#/components/schemas/{model}")
_DATA_SCHEMA.pop("$defs")  # `DocumentOut` brings them into the components
_DATA_BODY: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": _DATA_SCHEMA}}}
}
_FILE_SCHEMA = {"type": "string", "format": "binary", "description": "PDF, PNG ou JPEG de até 10 MiB"}
_REGISTER_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["document_type", "document_number", "file"],
                    "additionalProperties": False,
                    "allOf": _DATA_SCHEMA["allOf"],
                    "properties": {
                        "document_type": {"type": "string", "enum": [kind.value for kind in DocumentType]},
                        "document_number": {"type": "string", "maxLength": MAX_NUMBER},
                        "expires_on": {"type": "string", "format": "date"},
                        "file": _FILE_SCHEMA,
                    },
                }
            },
            "application/json": {"schema": _DATA_SCHEMA},
        },
    }
}
_FILE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "additionalProperties": False,
                    "properties": {"file": _FILE_SCHEMA},
                }
            }
        },
    }
}
_PROOF_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"model": CheckedProofOut},
    303: {"description": "A página da prova, para um navegador"},
}
_FILE_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "O arquivo", "content": {"application/octet-stream": {}}}
}


VaultDep = Annotated[Vault, Depends(VAULT)]


async def _read_data(request: Request) -> DocumentIn:
    """Read a document's data as JSON, with a limit of its own, since the path's limit is for files.

    Raises:
        PayloadTooLarge: the body is over `MAX_JSON_BYTES`.
        InvalidInput: a field breaks a rule.
    """
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_JSON_BYTES:
            raise PayloadTooLarge
    try:
        return DocumentIn.model_validate(parse_strict_json(body))
    except ValidationError as error:
        raise _invalid(error) from error
    except ValueError as error:
        raise InvalidInput(errors=[{"field": "body", "message": "O corpo não é um JSON válido."}]) from error


async def _read_form(
    request: Request, vault: Vault, allowed: frozenset[str], *, owner_id: UUID, document_id: UUID
) -> Form:
    content_type = request.headers.get("content-type", "")
    return await receive_form(
        vault, request.stream(), content_type, owner_id=owner_id, document_id=document_id, allowed=allowed
    )


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _file_of(form: Form) -> StoredFile:
    if form.file is None:
        raise InvalidInput(errors=[{"field": forms.FILE, "message": "Campo obrigatório."}])
    return form.file


@router.post(
    "", status_code=201, operation_id="create_document", summary="Guardar um documento", openapi_extra=_REGISTER_BODY
)
async def register(request: Request, who: Who, vault: VaultDep) -> DocumentOut:
    """Guarda um documento: com o arquivo, em um formulário multipart, ou só os dados, em JSON."""
    media_type = _media_type(request)
    if media_type == "multipart/form-data":
        form = await _read_form(request, vault, FORM_FIELDS, owner_id=who.user_id, document_id=uuid7())
        async with kept(vault, form.file):
            file = _file_of(form)
            return await _register(request, who.user_id, vault, _validated(form.fields), file)
    if media_type == "application/json":
        return await _register(request, who.user_id, vault, await _read_data(request), None)
    raise UnsupportedMediaType("Envie multipart/form-data ou application/json.")


def _invalid(error: ValidationError) -> InvalidInput:
    return InvalidInput(errors=[describe(item) for item in error.errors()])


def _validated(fields: dict[str, str]) -> DocumentIn:
    """Read a form's fields; an empty date is none.

    Raises:
        InvalidInput: a field breaks a rule.
    """
    try:
        return DocumentIn.model_validate(
            {name: value for name, value in fields.items() if value or name != "expires_on"}
        )
    except ValidationError as error:
        raise _invalid(error) from error


async def _register(
    request: Request, user_id: UUID, vault: Vault, data: DocumentIn, file: StoredFile | None
) -> DocumentOut:
    database = DATABASE.of(request.app)
    async with database.transaction() as tx:
        document = await service.register(
            tx,
            vault.ring,
            user_id,
            document_type=data.document_type,
            document_number=data.document_number,
            file_name=data.file_name,
            expires_on=data.expires_on,
            file=file,
        )
    return DocumentOut.model_validate(document)


@router.get("", summary="Meus documentos")
async def list_documents(reads: ReadsDep, who: Who, asked: PageRequest[UUID] = page_of(BY_ID)) -> Page[DocumentOut]:
    """Lista os documentos da pessoa, do mais novo ao mais antigo."""
    rows = await service.listed(reads, who.user_id, limit=asked.limit + 1, before=asked.after)
    return asked.page(rows, lambda row: row.id).map(DocumentOut.model_validate)


@router.get(
    "/proofs/{token}",
    summary="Conferir uma prova",
    response_model=None,
    responses=_PROOF_ANSWERS,
    dependencies=[public("a third person scans it; the sealed token says that the holder wanted that")],
)
async def check_proof(
    token: Annotated[str, Path(max_length=links.MAX_TOKEN)], request: Request, tx: ReadTxDep, vault: VaultDep
) -> CheckedProofOut | RedirectResponse:
    """Mostra a um terceiro só tipo, titular, validade e se foi conferido. Um navegador é levado à página."""
    if "text/html" in request.headers.get("accept", ""):
        return RedirectResponse(public_address(request) + proofs.PAGE + token, 303, {"Cache-Control": "no-store"})
    proof = await proofs.check(tx, vault, token)
    return CheckedProofOut(
        document_type=proof.document_type,
        holder_name=proof.holder_name,
        expires_on=proof.expires_on,
        valid=proof.valid,
        checked_at=proof.checked_at,
        state=proof.state,
        reviewed_by=proof.reviewed_by,
        reviewed_at=proof.reviewed_at,
    )


@router.get("/{document_id}", summary="Um documento")
async def get_document(document_id: UUID, tx: ReadTxDep, who: Who) -> DocumentOut:
    """Mostra um documento da própria pessoa."""
    return DocumentOut.model_validate(await service.read(tx, who.user_id, document_id))


@router.put("/{document_id}", summary="Mudar um documento", openapi_extra=_DATA_BODY)
async def put_document(document_id: UUID, request: Request, who: Who) -> DocumentOut:
    """Troca tipo, número, nome e validade; os arquivos ficam."""
    if _media_type(request) != "application/json":
        raise UnsupportedMediaType("Envie application/json.")
    data = await _read_data(request)
    database = DATABASE.of(request.app)
    async with database.transaction() as tx:
        document = await service.update(
            tx,
            who.user_id,
            document_id,
            document_type=data.document_type,
            document_number=data.document_number,
            file_name=data.file_name,
            expires_on=data.expires_on,
        )
    return DocumentOut.model_validate(document)


@router.delete("/{document_id}", status_code=204, summary="Apagar um documento")
async def delete_document(document_id: UUID, tx: TxDep, who: Who) -> None:
    """Apaga o documento, todas as versões do arquivo e as chaves delas."""
    await service.remove(tx, who.user_id, document_id)


@router.put("/{document_id}/file", summary="Enviar ou trocar o arquivo", openapi_extra=_FILE_BODY)
async def put_file(document_id: UUID, request: Request, who: Who, vault: VaultDep) -> DocumentOut:
    """Envia um novo arquivo para o documento; os anteriores são mantidos como versões."""
    database = DATABASE.of(request.app)
    async with database.transaction() as tx:
        await service.read(tx, who.user_id, document_id)
    if _media_type(request) != "multipart/form-data":
        raise UnsupportedMediaType("Envie multipart/form-data.")
    form = await _read_form(request, vault, frozenset(), owner_id=who.user_id, document_id=document_id)
    async with kept(vault, form.file):
        file = _file_of(form)
        async with database.transaction() as tx:
            document = await service.replace_file(tx, vault.ring, who.user_id, file)
        return DocumentOut.model_validate(document)


@router.get("/{document_id}/versions", operation_id="list_document_versions", summary="Arquivos de um documento")
async def list_versions(document_id: UUID, tx: ReadTxDep, who: Who) -> Page[VersionOut]:
    """Lista os arquivos que o documento já teve, do mais novo ao mais antigo."""
    rows = await service.versions(tx, who.user_id, document_id)
    return Page(items=[VersionOut.model_validate(row) for row in rows])


@router.post("/{document_id}/link", summary="Pedir o link do arquivo")
async def make_link(
    document_id: UUID,
    request: Request,
    tx: TxDep,
    who: Who,
    vault: VaultDep,
    version: Annotated[int | None, Query(ge=1, le=2**31 - 1, description="Sem ela, a mais nova")] = None,
) -> LinkOut:
    """Dá um link que baixa o arquivo e vale por cinco minutos."""
    path, expires_at = await links.make_file_path(tx, vault.ring, who, document_id, version)
    return LinkOut(url=public_address(request) + path, expires_at=expires_at)


@router.post("/{document_id}/proof", summary="Pedir uma prova")
async def make_proof(document_id: UUID, request: Request, tx: TxDep, who: Who, vault: VaultDep) -> ProofOut:
    """Dá um link e um QR code que mostram a um terceiro só tipo, titular, validade e se foi conferido, por dez minutos.

    O documento precisa de um arquivo, e não pode ter sido recusado.
    """
    token, expires_at = await proofs.make(tx, vault, who.user_id, document_id)
    url = public_address(request) + f"/documents/proofs/{token}"
    image = BytesIO()
    segno.make_qr(url, error="m").save(image, kind="svg", xmldecl=False, scale=4)
    return ProofOut(url=url, expires_at=expires_at, qr_svg=image.getvalue().decode())


@router.get(
    "/{document_id}/file",
    summary="Baixar o arquivo por um link",
    response_class=StreamingResponse,
    responses=_FILE_ANSWERS,
    dependencies=[public("the link is sealed, bound to its owner, and ends in five minutes")],
)
async def get_file(
    document_id: UUID,
    token: Annotated[str, Query(max_length=links.MAX_TOKEN)],
    request: Request,
    vault: VaultDep,
) -> Response:
    """Entrega o arquivo como download, descriptografado à medida que sai."""
    async with DATABASE.of(request.app).transaction() as tx:
        file = await links.open_linked(tx, vault.ring, document_id, token)
    return await file_answer(file, vault.storage)
