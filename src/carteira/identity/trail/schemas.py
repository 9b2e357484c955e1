"""Wire shapes of the audit."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field


class DataAccessOut(BaseModel):
    """A look at a person's data."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    action: str = Field(description="O que foi visto", examples=["credit_profile_read"])
    what: str = Field(description="O mesmo, em português", examples=["Seu cadastro de crédito"])
    actor_kind: str | None = Field(description="`person`, `client` (uma máquina), `job` ou `command`")
    actor_id: UUID | None
    actor_name: str | None = Field(description="Nome de quem consultou")
    actor_role: str | None = Field(description="Papel (função) de quem consultou")
    purpose: str | None = Field(description="Finalidade, onde ela é pedida")
    created_at: datetime


class AuditOut(BaseModel):
    """A row of the audit."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    action: str = Field(examples=["benefit_credited"])
    look: bool = Field(description="Se é uma consulta aos dados de alguém, e não um ato")
    actor_kind: str | None = Field(description="`person`, `client`, `processor`, `job` ou `command`")
    actor_id: UUID | None
    actor_name: str | None
    actor_role: str | None
    subject_id: UUID | None = Field(description="De quem é: um usuário, ou o id de quem não tem cadastro no módulo")
    session_id: UUID | None
    request_id: str | None
    entry_id: UUID | None = Field(description="O lançamento do livro-razão, se moveu dinheiro")
    details: dict[str, Any]
    created_at: datetime
