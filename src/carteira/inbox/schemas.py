"""Wire shapes of the inbox."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from carteira.kit.web.bodies import Body


class NoticeOut(BaseModel):
    """A notice."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    topic: str = Field(description="De que se trata", examples=["documents.refused"])
    title: str = Field(examples=["Um documento seu foi recusado"])
    text: str = Field(description="O que significa ou o que fazer; pode ser vazio")
    page: str | None = Field(description="A página da carteira sobre isto", examples=["/app/acesso"])
    unread: bool
    created_at: datetime


class UnreadOut(BaseModel):
    """The number of unread notices."""

    unread: int = Field(description="Até 100; 100 quer dizer 100 ou mais", examples=[3], ge=0, le=100)


class ReadIn(Body):
    """The newest notice that the person has read."""

    until: UUID = Field(description="O aviso mais novo que já foi lido; os anteriores também ficam lidos")
