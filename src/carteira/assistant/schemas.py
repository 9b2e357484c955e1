"""The wire shapes of the assistant."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from carteira.assistant import intents
from carteira.assistant.pages import PAGES

MAX_MESSAGE = 20_000

Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{1,63}$", examples=["esqueci-senha"])]
Line = Annotated[str, Field(min_length=3, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
Words = Annotated[str, Field(min_length=1, max_length=2000, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f]+$")]


class ChatIn(BaseModel):
    """A message to the assistant."""

    model_config = ConfigDict(extra="forbid")

    message: str = Field(max_length=MAX_MESSAGE, examples=["qual meu saldo?"])
    file_id: UUID | None = Field(None, description="O documento ao qual o arquivo pedido foi enviado")


class UploadOut(BaseModel):
    """The upload route of the requested file."""

    model_config = ConfigDict(from_attributes=True)

    method: Literal["PUT"]
    path: str = Field(examples=["/documents/019aa3b2-0000-7000-8000-000000000001/file"])
    document_id: UUID = Field(description="Mande-o de volta em `file_id` depois do envio")


class PageOut(BaseModel):
    """A page of the wallet."""

    model_config = ConfigDict(from_attributes=True)

    path: str = Field(examples=["/app/transporte"])
    title: str = Field(examples=["Transporte"])


class ChatOut(BaseModel):
    """The assistant's answer."""

    model_config = ConfigDict(from_attributes=True)

    message: str
    options: list[str] | None
    end_conversation: bool = Field(description="A conversa terminou; a próxima mensagem começa outra")
    upload: UploadOut | None = Field(None, description="Só quando o assistente espera um arquivo")
    page: PageOut | None = Field(None, description="A página da carteira em que se vê ou faz o que a resposta diz")


class TopicIn(BaseModel):
    """A topic's content from an operator."""

    model_config = ConfigDict(extra="forbid")

    title: str = Field(max_length=200, examples=["Esqueci minha senha"])
    answer: str = Field(max_length=2000)
    action: Annotated[str, WithJsonSchema({"type": "string", "enum": sorted(intents.ALL)})] | None = Field(
        None, max_length=64, description="A ação que a resposta oferece", examples=["balance"]
    )
    page: Annotated[str, WithJsonSchema({"type": "string", "enum": list(PAGES)})] | None = Field(
        None, max_length=64, description="A página da carteira que a resposta indica", examples=["/app/transporte"]
    )
    phrases: list[Line] = Field(min_length=1, max_length=500, description="Jeitos de perguntar")
    active: bool = True


class TopicOut(BaseModel):
    """A topic of the knowledge base."""

    model_config = ConfigDict(from_attributes=True)

    slug: str
    kind: Literal["faq", "intent", "outside"]
    title: str
    answer: str
    action: str | None
    page: str | None
    phrases: list[str]
    active: bool
    version: int


class TopicVersionOut(BaseModel):
    """A version of a topic. A version without an author came with the package."""

    model_config = ConfigDict(from_attributes=True)

    version: int
    title: str
    answer: str
    action: str | None
    page: str | None
    phrases: list[str]
    active: bool
    author_id: UUID | None
    created_at: datetime


class UnansweredOut(BaseModel):
    """A question that was not answered, without personal data."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    question: str
    nearest: list[str]
    asked_at: datetime


class TicketOut(BaseModel):
    """A person's request for a human answer."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    number: int = Field(description="Protocolo")
    user_id: UUID
    message: str
    answer: str | None
    created_at: datetime
    answered_at: datetime | None


class AnswerIn(BaseModel):
    """The answer to a ticket."""

    model_config = ConfigDict(extra="forbid")

    answer: Words
