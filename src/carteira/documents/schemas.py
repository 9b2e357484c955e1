"""Documents' wire shapes."""

from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)
from pydantic_core import PydanticCustomError

from carteira.documents.kinds import MAX_NUMBER, DocumentType, InvalidNumber, parse_number, parse_type
from carteira.documents.names import MAX_NAME, FileNameRefused, parse_file_name
from carteira.documents.service import DocumentState
from carteira.kit.values.days import Day, Instant
from carteira.kit.values.texts import SEEN_BEYOND, SEEN_TEXT
from carteira.kit.web.bodies import cases_of


def _type(value: object) -> object:
    found = parse_type(value) if isinstance(value, str) else None
    return value if found is None else found


def _name(value: str) -> str:
    try:
        return parse_file_name(value, "file_name")
    except FileNameRefused as error:
        raise PydanticCustomError("invalid_file_name", "Nome de arquivo inválido.") from error


_IN_NAMES = r"!-.0-\[\]-~" + SEEN_BEYOND
FileName = Annotated[
    str,
    AfterValidator(_name),
    WithJsonSchema({"type": "string", "maxLength": MAX_NAME, "pattern": f"^[{_IN_NAMES}]+(?: [{_IN_NAMES}]+)*$"}),
]


def _number(pattern: str, checked_as: str | None = None) -> dict[str, Any]:
    """Return the schema of a number by its shape, and by the name of the rule that its digits keep."""
    return {"type": "string", "pattern": pattern} | ({"format": checked_as} if checked_as else {})


_ANY_NUMBER = _number(SEEN_TEXT)
NUMBERS: dict[DocumentType, dict[str, Any]] = {
    DocumentType.RG: _number(r"^[A-Za-z]{0,4}[0-9]{1,3}\.?[0-9]{3}\.?[0-9]{3,8}-?[0-9A-Za-z]{0,8}$"),
    DocumentType.CPF: _number(r"^(\d{11}|\d{3}\.\d{3}\.\d{3}-\d{2})$", "cpf"),
    DocumentType.CNH: _number(r"^[0-9]{11}$", "cnh"),
    DocumentType.VACCINATION: _ANY_NUMBER,
    DocumentType.VOTER: _number(r"^[0-9]{12,13}$", "titulo-de-eleitor"),
    DocumentType.PASSPORT: _number(r"^(?:[A-Za-z]{2}[0-9]{6}|[A-Za-z]{0,3}[0-9]{5,9})$"),
    DocumentType.OTHER: _ANY_NUMBER,
}
"""The pattern, in schemas, of a document's number, by its kind; `kinds.parse_number` accepts more spellings."""


class DocumentIn(BaseModel):
    """A document without its file."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra=cases_of(
            "document_type", {kind.value: {"document_number": shape} for kind, shape in NUMBERS.items()}
        )
        | {"examples": [{"document_type": "RG", "document_number": "12.345.678-9", "file_name": "rg.pdf"}]},
    )

    document_type: Annotated[DocumentType, BeforeValidator(_type)] = Field(examples=["RG"])
    document_number: str = Field(max_length=MAX_NUMBER, examples=["12.345.678-9"])
    file_name: FileName | None = Field(None, examples=["rg.pdf"])
    expires_on: Day | None = Field(None, description="Validade; um aviso chega antes dela")

    @field_validator("document_number")
    @classmethod
    def _number(cls, text: str, info: ValidationInfo) -> str:
        kind = info.data.get("document_type")
        if kind is None:
            return text
        try:
            return parse_number(kind, text)
        except InvalidNumber as error:
            raise PydanticCustomError("invalid_document_number", "{message}", {"message": str(error)}) from error


class DocumentOut(BaseModel):
    """A document as its owner sees it."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    user_id: UUID
    document_type: DocumentType
    document_number: str
    file_name: str | None
    uploaded_at: datetime
    updated_at: datetime
    expires_on: date | None
    version: int = Field(description="Número do arquivo atual; 0 sem arquivo")
    state: DocumentState = Field(
        description="`declared`: só a palavra do titular; `reviewed`: conferido por um operador; `refused`: recusado"
    )
    decided_at: datetime | None = Field(description="Quando foi conferido ou recusado")
    refusal_reason: str | None = Field(description="Por que foi recusado")


class WaitingDocumentOut(BaseModel):
    """A document in an operator's queue."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    user_id: UUID
    document_type: DocumentType
    state: DocumentState
    version: int
    uploaded_at: datetime
    updated_at: datetime


class ReviewedDocumentOut(DocumentOut):
    """A document as a reviewing operator sees it."""

    holder_name: str | None = Field(None, description="Nome do titular")
    decision: str | None = Field(description="O que foi comparado, ou por que foi recusado")


Words = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=3, max_length=500, pattern=r"^[^\x00-\x1f\x7f]*$")
]
_SEEN = Field(description="O `updated_at` do documento que foi visto; se ele mudou desde então, 409")
_SEEN_STATE = Field(None, description="O `state` que foi visto; se outra pessoa decidiu desde então, 409")


class ReviewIn(BaseModel):
    """An operator's review of a document."""

    model_config = ConfigDict(extra="forbid")

    compared: Words = Field(
        description="O que foi comparado com o quê", examples=["Foto e nome com a pessoa, no atendimento"]
    )
    updated_at: Instant = _SEEN
    state: DocumentState | None = _SEEN_STATE


class DocumentRefusalIn(BaseModel):
    """An operator's refusal of a document."""

    model_config = ConfigDict(extra="forbid")

    reason: Words = Field(description="O motivo, que a pessoa lê", examples=["A foto está ilegível"])
    updated_at: Instant = _SEEN
    state: DocumentState | None = _SEEN_STATE


class VersionOut(BaseModel):
    """One file of a document."""

    model_config = ConfigDict(from_attributes=True)

    number: int
    file_name: str
    content_type: str
    size: int
    uploaded_at: datetime


class LinkOut(BaseModel):
    """A short-lived address."""

    url: str
    expires_at: datetime


class ProofOut(LinkOut):
    """A short-lived address that anybody may open, also as a QR code."""

    qr_svg: str = Field(description="O mesmo endereço como imagem SVG")


class CheckedProofOut(BaseModel):
    """The only data of a document that a third person sees."""

    document_type: DocumentType
    holder_name: str | None
    expires_on: date | None
    valid: bool = Field(
        description="O documento existe, não está vencido nem foi recusado; se foi conferido, diz `state`"
    )
    checked_at: datetime = Field(description="Agora, na hora de São Paulo")
    state: DocumentState = Field(
        description="`declared`: declarado pelo titular, não conferido; `reviewed`: conferido; `refused`: recusado"
    )
    reviewed_by: str | None = Field(description="Quem conferiu")
    reviewed_at: datetime | None = Field(description="Quando foi conferido, na hora de São Paulo")
