"""Payments' wire shapes. Amounts are centavos."""

from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from carteira.kit.values.card_number import CardNumber
from carteira.kit.values.money import Amount
from carteira.kit.web.bodies import cases_of

E2eId = Annotated[
    str, Field(description="Identificador de ponta a ponta do Pix", examples=["E99999999202611271200abcdefghijk"])
]
Reason = Annotated[str, StringConstraints(min_length=1, max_length=140, pattern=r"^[^\x00-\x1f\x7f]+$")]


class ChargeIn(BaseModel):
    """A charge to make. `transport_recharge` names a card, `benefit_funding` an employer."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra=cases_of(
            "purpose",
            {"transport_recharge": {"card_number": {"type": "string"}}, "benefit_funding": {}},
        )
        | {"examples": [{"purpose": "transport_recharge", "amount": 5_000, "card_number": "9076123412341234"}]},
    )

    purpose: Literal["transport_recharge", "benefit_funding"]
    amount: Amount
    card_number: CardNumber | None = Field(None, description="Cartão de transporte, da própria pessoa")
    employer_id: UUID | None = Field(None, description="Empresa; se falta, a única a que quem pede está vinculado")


class ChargeOut(BaseModel):
    """A charge, with its code while it can be paid."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    purpose: Literal["transport_recharge", "benefit_funding"]
    target_id: UUID = Field(description="O cartão ou a empresa")
    amount: int
    state: Literal["creating", "active", "paid", "expired", "refused"] = Field(
        description="`creating`: o provedor ainda não respondeu; consulte de novo"
    )
    code: str | None = Field(description="Pix Copia e Cola, enquanto pode ser paga")
    simulated: bool = Field(description="Simulação: nenhum dinheiro de verdade se move")
    created_at: datetime
    expires_at: datetime
    paid_at: datetime | None


class ListedChargeOut(ChargeOut):
    """Any charge, as operators see it."""

    txid: str = Field(description="O id da cobrança no provedor")
    maker_kind: Literal["person", "client", "processor", "job", "command"]
    maker_id: UUID | None = Field(description="Quem a pediu; vazio depois que a pessoa foi apagada")


class RechargeChargeOut(BaseModel):
    """202: the recharge is made once its charge is paid."""

    charge: ChargeOut


class PaymentReturnOut(BaseModel):
    """A return of a payment, or of a part of it."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    e2eid: E2eId
    amount: int
    state: Literal["asked", "returned", "failed"]
    reason: str = Field(description="O motivo que deu quem a pediu, ou o do provedor (veja `nature`)")
    nature: str | None = Field(
        description="O tipo, se o provedor a fez sem que fosse pedida aqui (`MED_FRAUDE`…); vazio se foi pedida aqui"
    )
    lost: int = Field(description="O que já tinha sido gasto, em centavos")
    failure: str | None
    asked_at: datetime
    settled_at: datetime | None


class PaymentReturnIn(BaseModel):
    """The requested return of a payment."""

    model_config = ConfigDict(extra="forbid")

    amount: Amount | None = Field(None, description="Em centavos; sem ele, tudo o que resta")
    reason: Reason


class ReceivedOut(BaseModel):
    """A received payment, and where it was credited."""

    model_config = ConfigDict(from_attributes=True)

    e2eid: E2eId
    txid: str | None
    charge_id: UUID | None
    amount: int
    credited: int = Field(description="O que foi creditado, em centavos")
    unplaced: int = Field(description="O que espera ser devolvido, em centavos")
    given_back: int = Field(description="O que foi, ou está sendo, devolvido, em centavos")
    reason: str | None = Field(description="Por que não foi creditado")
    entry_id: UUID
    found_by: Literal["webhook", "polling", "reconciliation"]
    paid_at: datetime
    received_at: datetime


class ReceivedWithReturnsOut(ReceivedOut):
    """A payment with its returns."""

    returns: list[PaymentReturnOut]


class DayOut(BaseModel):
    """A day's comparison with the provider's list."""

    model_config = ConfigDict(from_attributes=True)

    day: date
    matched: int
    missing_here: int = Field(description="Pagamentos que só o provedor tinha; a conferência os registrou aqui")
    missing_there: int = Field(description="Pagamentos que só existem aqui")
    amount_differs: int
    received_here: int
    received_there: int
    returned_here: int
    returned_there: int
    checked_at: datetime


class DifferenceOut(BaseModel):
    """A payment that differs between the two lists of a day."""

    model_config = ConfigDict(from_attributes=True)

    e2eid: E2eId
    kind: Literal["missing_here", "missing_there", "amount_differs"]
    here: int | None = Field(description="Recebido menos devolvido, aqui, em centavos")
    there: int | None = Field(description="O mesmo, no provedor")


class DayDetailOut(DayOut):
    """A day with its differences."""

    differences: list[DifferenceOut]


class ProviderAccountOut(BaseModel):
    """Our balance at the provider, in centavos."""

    balance: int
    to_return: int = Field(description="Do saldo, o que espera ser devolvido")
    returning: int = Field(description="Do saldo, o que o provedor está devolvendo")
