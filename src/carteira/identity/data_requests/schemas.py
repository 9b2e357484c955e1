"""Wire shapes of requests about a person's data."""

from datetime import date, datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from carteira.identity.data_requests.service import Kind, Outcome
from carteira.kit.web.bodies import Body

Words = Annotated[
    str,
    Field(min_length=3, max_length=1_000, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f]+$", examples=["Por e-mail, por favor."]),
]


class DataRequestIn(Body):
    """A person's request."""

    kind: Kind = Field(description="`copy`: cópia; `correction`: correção; `erasure`: exclusão; `other`: outro direito")
    message: Words


class DataRequestAnswerIn(Body):
    """An operator's answer."""

    outcome: Outcome = Field(description="`fulfilled`: atendido; `refused`: recusado, com o motivo")
    answer: Words = Field(description="A pessoa lê")


class OwnDataRequestOut(BaseModel):
    """One's own request."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    kind: Kind
    message: str
    created_at: datetime
    due_on: date = Field(description="Até quando é respondido (LGPD, art. 19)")
    answered_at: datetime | None
    outcome: Outcome | None
    answer: str | None


class DataRequestOut(OwnDataRequestOut):
    """A request, as operators see it."""

    user_id: UUID
    by_person: bool = Field(description="Pedido pela própria pessoa; senão, anotado por um operador")
