"""Documents' wire shapes."""

from datetime import date, datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from carteira.documents.kinds import DocumentType, InvalidNumber, parse_number, parse_type
from carteira.documents.names import FileNameRefused, parse_file_name


def _type(value: object) -> object:
    found = parse_type(value) if isinstance(value, str) else None
    return value if found is None else found


def _name(value: str) -> str:
    try:
        return parse_file_name(value, "file_name")
    except FileNameRefused as error:
        raise PydanticCustomError("invalid_file_name", "Nome de arquivo inválido.") from error


class DocumentIn(BaseModel):
    """A document without its file."""

    model_config = ConfigDict(extra="forbid")

    document_type: Annotated[DocumentType, BeforeValidator(_type)] = Field(examples=["RG"])
    document_number: str = Field(max_length=64, examples=["12.345.678-9"])
    file_name: Annotated[str, AfterValidator(_name)] | None = Field(None, examples=["rg.pdf"])
    expires_on: date | None = Field(None, description="Validade; um aviso chega antes dela")

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
    """What a third person learns of a document, and nothing more."""

    document_type: DocumentType
    holder_name: str | None
    expires_on: date | None
    valid: bool = Field(description="O documento existe e não está vencido")
    checked_at: datetime
