"""Option 3: save a document, step by step: type, number, file.

The document is created once its number is known, by documents' own rules, so that the file can be uploaded: the client
sends it with `PUT /documents/{id}/file` and comes back with `file_id`, the document's id (or just with "pronto"). Going
back or leaving before the upload deletes the document.
"""

from uuid import UUID

from carteira import documents
from carteira.assistant.flow import Again, Done, Go, Intent, Outcome, Say, Step, Turn, UploadRequest, numbered
from carteira.assistant.pages import PAGES
from carteira.documents import DocumentType

_TYPES = tuple(DocumentType)
_NAMES = {
    "identidade": DocumentType.RG,
    "carteira de identidade": DocumentType.RG,
    "registro geral": DocumentType.RG,
    "habilitacao": DocumentType.CNH,
    "carteira de motorista": DocumentType.CNH,
    "carteira de habilitacao": DocumentType.CNH,
    "vacina": DocumentType.VACCINATION,
    "vacinacao": DocumentType.VACCINATION,
    "comprovante de vacina": DocumentType.VACCINATION,
    "carteira de vacinacao": DocumentType.VACCINATION,
    "titulo": DocumentType.VOTER,
    "titulo eleitoral": DocumentType.VOTER,
    "outro documento": DocumentType.OTHER,
}
_FILELESS = frozenset({"sem arquivo", "pular", "depois", "guardar sem arquivo", "nao tenho", "nao"})
_PAGE = PAGES["/app/documentos"]
_SENT, _WITHOUT = "Já enviei o arquivo", "Guardar sem arquivo"


async def _begin(turn: Turn) -> Outcome:
    """Ask for the type, unless it is known."""
    return Go("number", turn.data) if "type" in turn.data else Go("type")


async def _ask_type(_turn: Turn) -> Say:
    return Say("Que tipo de documento você quer guardar?", numbered([name_of(kind) for kind in _TYPES]))


def name_of(kind: DocumentType) -> str:
    """Write a kind as it begins a line."""
    return kind.value[0].upper() + kind.value[1:]


def _type_in(turn: Turn) -> DocumentType | None:
    place = turn.chosen(_TYPES)
    if place is not None:
        return _TYPES[place]
    said = turn.plain.removeprefix("minha ").removeprefix("meu ").removeprefix("um ").removeprefix("uma ")
    return documents.parse_type(said) or _NAMES.get(said)


async def _handle_type(turn: Turn) -> Outcome:
    kind = _type_in(turn)
    return Again("Responda com o número de um dos tipos.") if kind is None else Go("number", {"type": kind.value})


async def _ask_number(turn: Turn) -> Say:
    return Say(f"Qual é o número do documento ({name_of(DocumentType(turn.data['type']))})?")


async def _handle_number(turn: Turn) -> Outcome:
    kind = DocumentType(turn.data["type"])
    assert turn.ring is not None, "the intent begins only where documents is on"
    try:
        number = documents.parse_number(kind, turn.text)
        document = await documents.register(
            turn.tx, turn.ring, turn.person.user_id, document_type=kind, document_number=number
        )
    except documents.InvalidNumber as error:
        return Again(f"{error} Confira e digite de novo.")
    except documents.TooManyDocuments as problem:
        return Done(problem.detail)
    return Go("file", {"type": kind.value, "document_id": str(document.id)})


async def _ask_file(turn: Turn) -> Say:
    document_id = UUID(turn.data["document_id"])
    return Say(
        'Agora envie o arquivo: PDF, PNG ou JPEG de até 10 MB. Depois, responda "pronto".',
        numbered([_SENT, _WITHOUT]),
        UploadRequest("PUT", f"/documents/{document_id}/file", document_id),
    )


async def _handle_file(turn: Turn) -> Outcome:
    document_id = UUID(turn.data["document_id"])
    try:
        document = await documents.read(turn.tx, turn.person.user_id, document_id)
    except documents.DocumentNotFound:
        return Done("O documento foi apagado. Comece de novo quando quiser.")
    name = name_of(document.document_type)
    if turn.file_id is not None and turn.file_id != document_id:
        return Again("Este arquivo não foi enviado para o documento que estamos guardando.")
    if document.version:
        return Done(f'Pronto: {name} guardado com o arquivo "{document.file_name}".', page=_PAGE)
    if turn.chosen([_SENT, _WITHOUT]) == 1 or turn.plain in _FILELESS:
        return Done(
            f'Pronto: {name} guardado sem arquivo. Você pode enviar o arquivo depois, em "Documentos".', page=_PAGE
        )
    return Again('O arquivo ainda não chegou. Envie e responda "pronto", ou guarde sem arquivo.')


async def _delete_unfinished(turn: Turn) -> None:
    """Delete the document if it has no file yet."""
    document_id = UUID(turn.data["document_id"])
    try:
        document = await documents.read(turn.tx, turn.person.user_id, document_id)
        if document.version == 0:
            await documents.remove(turn.tx, turn.person.user_id, document_id)
    except documents.DocumentNotFound:
        return


INTENT = Intent(
    "save_document",
    "Guardar um documento",
    _begin,
    {
        "type": Step(_ask_type, _handle_type),
        "number": Step(_ask_number, _handle_number),
        "file": Step(_ask_file, _handle_file, _delete_unfinished),
    },
    number=3,
    module="documents",
)
