"""The ledger's wire shapes. Amounts are centavos."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from carteira.kit.values.actor import Actor


class LedgerAccountOut(BaseModel):
    """A ledger account and its balance now."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    kind: str = Field(examples=["benefits.FOOD"])
    owner_id: UUID | None
    balance: int
    held: int
    available: int
    created_at: datetime


class LedgerBalanceOut(BaseModel):
    """A balance at an instant."""

    account_id: UUID
    balance: int
    at: datetime


class LedgerMovementOut(BaseModel):
    """One movement of an account, as every statement shows it."""

    model_config = ConfigDict(from_attributes=True)

    entry_id: UUID
    kind: str
    description: str | None
    amount: int = Field(description="Positivo entra, negativo sai; em centavos")
    balance_after: int | None
    posted_at: datetime


class StatementLineOut(LedgerMovementOut):
    """One line of a statement."""

    actor: Actor | None = Field(description="Quem moveu o dinheiro; para quem tem `ledger:read` e para si")
    approved_by: UUID | None = Field(description="Quem aprovou, se pediu duas pessoas; para quem tem `ledger:read`")


class PostingOut(BaseModel):
    """One line of an entry."""

    model_config = ConfigDict(from_attributes=True)

    account_id: UUID
    amount: int = Field(description="Positivo entra, negativo sai; em centavos")
    balance_after: int | None = Field(description="Nulo nas contas da operadora")


class EntryOut(BaseModel):
    """A whole entry with its actor."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    kind: str = Field(examples=["benefits.credit"])
    description: str | None
    posted_at: datetime
    reverses_id: UUID | None = Field(description="O lançamento que este desfaz")
    reversed_by_id: UUID | None = Field(description="O lançamento que desfez este")
    actor: Actor | None = Field(description="Quem moveu o dinheiro; nulo nos lançamentos mais antigos")
    approved_by: UUID | None = Field(description="Quem aprovou, se pediu duas pessoas")
    postings: list[PostingOut]


class ReversalIn(BaseModel):
    """The reason for reversing an entry."""

    model_config = ConfigDict(extra="forbid")

    description: str | None = Field(None, max_length=200)


class ReversalOut(BaseModel):
    """The reversal of an entry."""

    id: UUID
    reverses_id: UUID


class ReconciliationOut(BaseModel):
    """The proof that balances and postings agree."""

    model_config = ConfigDict(from_attributes=True)

    accounts: int
    entries: int = Field(description="Quantos lançamentos foram lidos")
    since: datetime | None = Field(description="Desde quando foram lidos; nulo: todos")
    differences: list[dict[str, Any]]
