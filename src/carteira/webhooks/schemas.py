"""Wire shapes of webhooks."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from carteira.kit.outbound.targets import MAX_URL
from carteira.kit.values.days import Instant
from carteira.kit.web.bodies import Body
from carteira.kit.web.preconditions import version_of
from carteira.webhooks.catalog import CATALOG
from carteira.webhooks.models import DeliveryState, DisabledBy, State


def _each_once(names: list[str]) -> list[str]:
    if len(set(names)) < len(names):
        raise PydanticCustomError("invalid_events", "Um evento aparece mais de uma vez.")
    return names


def _known_event(name: str) -> str:
    if name not in CATALOG:
        raise PydanticCustomError("invalid_events", "Esse evento não existe.")
    return name


EventName = Annotated[
    str,
    AfterValidator(_known_event),
    WithJsonSchema({"type": "string", "enum": [*CATALOG], "examples": [next(iter(CATALOG))]}),
]
Events = Annotated[
    list[EventName],
    Field(
        min_length=1,
        max_length=len(CATALOG),
        description="De que eventos avisar; o cliente precisa da permissão de cada um",
        examples=[["benefits.transaction_decided", "benefits.credited"]],
        json_schema_extra={"uniqueItems": True},
    ),
    AfterValidator(_each_once),
]
Url = Annotated[
    str,
    Field(
        min_length=10,
        max_length=MAX_URL,
        pattern=r"^https?://[!-~]+$",
        json_schema_extra={"format": "uri"},
        description="Endereço que recebe os avisos: https, sem usuário nem senha, e público",
        examples=["https://erp.exemplo.com.br/carteira"],
    ),
]
About = Annotated[
    str,
    Field(max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$", description="Para que serve", examples=["ERP da matriz"]),
]


class WebhookIn(Body):
    """A new endpoint."""

    client_id: UUID | None = Field(None, description="De que cliente é; o próprio cliente pode omitir, uma pessoa não")
    url: Url
    events: Events
    description: About = ""


class WebhookPatch(Body):
    """Changes of an endpoint."""

    url: Url | None = None
    events: Events | None = None
    description: About | None = None
    state: State | None = Field(None, description="`disabled` desliga; o que esperava é dado por perdido e pode voltar")


class WebhookOut(BaseModel):
    """An endpoint."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    client_id: UUID
    url: str
    description: str
    events: list[str] = Field(examples=[["benefits.credited"]])
    state: State
    disabled_by: DisabledBy | None = Field(
        description="`request`, o próprio endereço com 410 (`gone`), ou mais avisos do que ele aguentou (`overrun`)"
    )
    paused_until: datetime | None = Field(description="Não respondeu; até quando não é chamado")
    created_at: datetime

    @property
    def version(self) -> str:
        """The version of what may be edited of it; its state changes by itself too."""
        return version_of(self.url, self.description, sorted(self.events))


class NewWebhookOut(WebhookOut):
    """A new endpoint, with its secret this once."""

    secret: str = Field(
        description="Segredo das assinaturas, mostrado só desta vez",
        examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw1n3cYwC0L2M="],
    )


class WebhookSecretIn(Body):
    """A new secret, replacing the present one."""

    overlap_hours: Annotated[
        int, Field(strict=True, ge=0, le=720, description="Horas em que o anterior ainda assina; 0 o encerra na hora")
    ] = 24


class WebhookSecretOut(BaseModel):
    """The new secret, this once."""

    secret: str = Field(
        description="O novo segredo, mostrado só desta vez",
        examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw1n3cYwC0L2M="],
    )


class DeliveryOut(BaseModel):
    """A delivery and its outcome."""

    model_config = ConfigDict(from_attributes=True)

    message_id: UUID = Field(description="O `webhook-id`, o mesmo em todas as tentativas")
    event: str = Field(examples=["benefits.credited"])
    state: DeliveryState = Field(description="`waiting` espera a próxima tentativa, `dead` foi dado por perdido")
    attempts: int
    created_at: datetime
    next_attempt_at: datetime | None
    last_attempt_at: datetime | None
    last_status: int | None = Field(description="O status que o endereço respondeu por último", examples=[503])
    last_error: str | None = Field(
        description="Por que não foi entregue: `status_503`, `timeout`, `unreachable`, `name`, `tls`, `network` …",
        examples=["status_503"],
    )


class MessageOut(BaseModel):
    """The event of a delivery."""

    message_id: UUID


class ReplayIn(Body):
    """The request of a replay."""

    since: Instant = Field(description="Desde quando (RFC 3339)", examples=["2026-10-31T15:00:00Z"])
    state: Literal["dead", "delivered"] | None = Field(
        None, description="Só o que foi dado por perdido, ou só o entregue; sem ele, os dois"
    )


class ReplayOut(BaseModel):
    """The result of a replay."""

    replayed: int = Field(description="Quantos avisos voltam à fila, do mais antigo ao mais novo", examples=[12])
    more: bool = Field(description="Há mais: peça de novo, com `next_since` como `since`")
    next_since: datetime | None = Field(description="De quando é o próximo aviso, se há mais")
