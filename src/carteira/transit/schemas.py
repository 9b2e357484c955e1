"""Transit's wire shapes. Amounts are centavos."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from carteira.kit.values.card_number import CardNumber
from carteira.kit.values.days import Instant
from carteira.kit.values.money import Amount

MAX_FARE = 100_000
"""The highest fare, in centavos: a broken or stolen validator cannot charge more per tap."""
MAX_TAPS = 1_000

Label = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$")]
ShownNumber = Annotated[str, Field(examples=["9076123412341234"])]


class CardOut(BaseModel):
    """A transport card."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    user_id: UUID | None
    card_number: ShownNumber
    balance: int
    status: Literal["active", "blocked", "cancelled"]


class CardBalanceOut(BaseModel):
    """A card's balance now."""

    card_number: ShownNumber
    balance: int


class AmountIn(BaseModel):
    """An amount to be moved."""

    model_config = ConfigDict(extra="forbid")

    amount: Amount


class NewBalanceOut(BaseModel):
    """A card's balance after a movement."""

    card_number: ShownNumber
    new_balance: int


class CashRechargeOut(BaseModel):
    """A recharge that was paid in cash at a counter."""

    model_config = ConfigDict(from_attributes=True)

    card_number: ShownNumber
    amount: int
    entry_id: UUID


class CardMovementOut(BaseModel):
    """One line of a card's history."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    type: Literal["recharge", "debit", "transfer", "reversal"]
    amount: int = Field(description="Sempre positivo, em centavos; `direction` diz se entrou ou saiu")
    direction: Literal["in", "out"]
    balance_after: int | None
    created_at: datetime


class CancelIn(BaseModel):
    """The target of a cancelled card's balance."""

    model_config = ConfigDict(extra="forbid")

    move_balance_to: CardNumber | None = Field(None, description="Outro cartão ativo da mesma pessoa")


class TapIn(BaseModel):
    """A ride as a validator recorded it, perhaps offline."""

    model_config = ConfigDict(extra="forbid")

    id: Label = Field(description="Identificador único da viagem, dado pelo validador (UUID ou texto)")
    card_number: CardNumber
    amount: Annotated[int, Field(strict=True, ge=1, le=MAX_FARE, description="Tarifa em centavos", examples=[470])]
    tapped_at: Instant
    line: Label | None = None
    vehicle: Label | None = None


class TapsIn(BaseModel):
    """A batch of taps, in any order."""

    model_config = ConfigDict(extra="forbid")

    taps: list[TapIn] = Field(min_length=1, max_length=MAX_TAPS)


class TapOut(BaseModel):
    """The outcome of a tap."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    result: Literal["debited", "owed", "denied", "conflict", "waiting"]
    reason: Literal["unknown_card", "card_blocked", "card_cancelled", "tap_id_reused", "clock_impossible"] | None
    paid: int = Field(description="Quanto o saldo pagou")
    owed: int = Field(description="Quanto ficou devendo, a pagar na próxima recarga")
    replayed: bool = Field(description="Já tinha sido contado antes; nada se moveu agora")


class TapsOut(BaseModel):
    """The results, in the order of the taps sent."""

    results: list[TapOut]


class WaitingTapOut(BaseModel):
    """A tap whose clock was impossible, which waits for an operator."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID = Field(description="O que vai no endereço de quem decide")
    tap_id: str = Field(description="O `id` que o validador deu", examples=["b474-000001"])
    client_id: UUID = Field(description="Quem enviou")
    card_number: ShownNumber
    amount: int
    tapped_at: datetime = Field(description="O instante que o validador disse")
    received_at: datetime
    line: str | None
    vehicle: str | None


class TapChargeIn(BaseModel):
    """The instant at which a ride really took place."""

    model_config = ConfigDict(extra="forbid")

    tapped_at: Instant | None = Field(None, description="Quando a viagem foi feita; sem ele, quando chegou")


class TapDismissalIn(BaseModel):
    """The reason for which nobody pays for a ride."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, Field(min_length=1, max_length=300, examples=["Validador sem relógio, em teste"])]


class DebtOut(BaseModel):
    """A ride that is not fully paid yet."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    card_number: ShownNumber
    amount: int
    outstanding: int
    tapped_at: datetime
    line: str | None
    vehicle: str | None


class DebtsOut(BaseModel):
    """A person's debt for rides."""

    total: int
    items: list[DebtOut]
    next_cursor: str | None = None


class DeniedCardOut(BaseModel):
    """A card that validators refuse."""

    model_config = ConfigDict(from_attributes=True)

    card_number: ShownNumber
    reason: Literal["card_blocked", "card_cancelled", "card_owes"]
