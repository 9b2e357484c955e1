"""The wire shapes of resellers. Amounts are centavos, months `YYYY-MM`."""

from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from carteira import identity, ledger
from carteira.kit.values.cpf import Cpf
from carteira.kit.values.days import Day, InvalidDay, TypedDay, parse_month, schema_of_days
from carteira.kit.values.email import Email
from carteira.kit.values.money import MAX_AMOUNT, Amount
from carteira.kit.values.texts import SEEN_TEXT, trim, without_unseen
from carteira.kit.web.bodies import Body
from carteira.kit.web.preconditions import version_of

_YEARS = range(1000, 3000)

Status = Literal["Em validação", "Aprovado", "Reprovado"]
STATUS: dict[str, Status] = {"pending": "Em validação", "approved": "Aprovado", "rejected": "Reprovado"}
"""The status of a purchase in words (contract.md)."""


def _month(value: object) -> date:
    if type(value) is date and value.day == 1:
        return value  # our own code passes months; JSON has no dates
    try:
        month = parse_month(value if isinstance(value, str) else "")
    except InvalidDay as error:
        raise PydanticCustomError("invalid_month", "{reason}", {"reason": str(error)}) from error
    if month.year not in _YEARS:
        raise PydanticCustomError("invalid_month", "Mês inválido: use AAAA-MM.")
    return month


def _in_these_ages(day: date) -> date:
    if day.year not in _YEARS:
        raise PydanticCustomError("invalid_date", "Data inválida: confira o ano.")
    return day


def _bare(value: object) -> object:
    return without_unseen(trim(value)) if isinstance(value, str) else value


def write_month(month: date) -> str:
    """Write a month as the API does."""
    return f"{month:%Y-%m}"


BusinessMonth = Annotated[
    date,
    BeforeValidator(_month),
    PlainSerializer(write_month, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^[12]\d{3}-(0[1-9]|1[0-2])$", "examples": ["2026-06"]}),
]
"""A wire month, as its first day."""

BusinessDay = Annotated[
    Day, AfterValidator(_in_these_ages), WithJsonSchema(schema_of_days(_YEARS.start, _YEARS.stop - 1))
]
"""A wire date, strictly `YYYY-MM-DD`: a day in São Paulo."""
TypedBusinessDay = Annotated[TypedDay, AfterValidator(_in_these_ages)]
"""A day in São Paulo as a person wrote it."""

Code = Annotated[
    str,
    Field(
        min_length=1,
        max_length=64,
        pattern=r"^[^\s\x00-\x1f\x7f]([^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f])?$",
        description="Código da compra, único",
        examples=["NF-2026-000123"],
        json_schema_extra={"pattern": SEEN_TEXT},
    ),
    BeforeValidator(_bare),
]
Reason = Annotated[
    str, Field(min_length=1, max_length=500, pattern=r"^[^\x00]*\S[^\x00]*$", examples=["Nota fiscal ilegível"])
]
Above = Annotated[int, Field(strict=True, ge=0, le=MAX_AMOUNT)]
SpentCashback = Annotated[int, Field(strict=True, ge=0, le=MAX_AMOUNT)]


class ResellerIn(Body):
    """A registration as a reseller."""

    full_name: identity.FullName
    cpf: Cpf
    email: Email
    password: identity.NewPassword


class ResellerOut(BaseModel):
    """A reseller."""

    id: UUID
    user_id: UUID
    full_name: str
    email: str
    cpf: str
    created_at: datetime


class PurchaseIn(Body):
    """A purchase to be registered."""

    code: Code
    amount: Amount
    date: BusinessDay
    cpf: Cpf
    cashback_to_spend: SpentCashback = Field(
        0, description="Quanto do saldo de cashback usar nesta compra, em centavos", examples=[500]
    )

    @model_validator(mode="after")
    def _within_amount(self) -> "PurchaseIn":
        _not_more_than_it_costs(self.cashback_to_spend, self.amount)
        return self


class PurchaseChangeIn(Body):
    """A purchase's new data. Without `cashback_to_spend` the spent cashback is unchanged; 0 returns it."""

    code: Code
    amount: Amount
    date: BusinessDay
    cpf: Cpf | None = Field(None, description="O mesmo de antes: o revendedor de uma compra não muda")
    cashback_to_spend: SpentCashback | None = None

    @model_validator(mode="after")
    def _within_amount(self) -> "PurchaseChangeIn":
        _not_more_than_it_costs(self.cashback_to_spend or 0, self.amount)
        return self


def _not_more_than_it_costs(spent: int, amount: int) -> None:
    if spent > amount:
        raise PydanticCustomError("rule_cashback", "O cashback usado não pode passar do valor da compra.")


class RejectionIn(Body):
    """The reason for rejecting a purchase."""

    reason: Reason | None = None


class PurchaseOut(BaseModel):
    """A purchase."""

    id: UUID
    code: str
    amount: int
    date: date
    cpf: str = Field(examples=["15350946056"])
    status: Status
    cashback_spent: int = Field(description="Cashback usado nesta compra, em centavos")
    rejection_reason: str | None
    created_at: datetime

    @property
    def version(self) -> str:
        """The version of what its approver sees: code, amount, day, spent cashback, and its reseller, masked or not."""
        digits = "".join(filter(str.isdecimal, self.cpf))
        shown = digits[3:9] if len(digits) > len("456789") else digits
        return version_of(self.code, self.amount, self.date, self.cashback_spent, shown)


class PurchaseWithCashbackOut(PurchaseOut):
    """A purchase with its cashback, which changes with the month's total until the month is closed."""

    cashback_percentage: int = Field(description="Percentual do mês", examples=[10])
    cashback_amount: int = Field(description="Cashback desta compra, em centavos")


class BulkPurchaseIn(Body):
    """One line of a bulk registration."""

    code: Code
    amount: Amount
    date: BusinessDay
    cpf: Cpf | None = None


class BulkPurchaseResult(BaseModel):
    """The outcome of one line; `line` counts from 1 below the titles, including empty rows."""

    line: int
    code: str
    result: Literal["registered", "failed", "not_registered"]
    id: UUID | None = None
    status: Status | None = None
    error: str | None = Field(None, description="Código estável do erro")
    detail: str | None = None
    column: str | None = Field(None, description="A primeira coluna com erro")


class BulkPurchasePreview(BaseModel):
    """The expected outcome of one line."""

    line: int
    code: str
    result: Literal["ready", "failed"]
    amount: int | None = Field(None, description="Em centavos")
    value: str | None = Field(None, description="Em reais", examples=["R$ 500,00"])
    error: str | None = Field(None, description="Código estável do erro")
    detail: str | None = None
    column: str | None = Field(None, description="A primeira coluna com erro")


class BulkPurchasesPreviewOut(BaseModel):
    """The expected outcome of a bulk registration."""

    ready: int = Field(description="Linhas que seriam registradas")
    failed: int
    amount: int = Field(description="Total, em centavos")
    value: str = Field(description="Total, em reais", examples=["R$ 1.234,56"])
    results: list[BulkPurchasePreview]


class BulkPurchasesOut(BaseModel):
    """The outcome of a bulk registration."""

    registered: int
    failed: int
    amount: int = Field(description="Total registrado, em centavos")
    results: list[BulkPurchaseResult]


class AccumulatedOut(BaseModel):
    """Accumulated cashback by the external service."""

    cpf: str
    credit: int = Field(description="Em centavos")


class CashbackBalanceOut(BaseModel):
    """Cashback that can be spent."""

    balance: int


class CashbackStatementLineOut(ledger.LedgerMovementOut):
    """One movement of cashback."""


class MonthOut(BaseModel):
    """A month in figures; the cashback is provisional until the month is closed."""

    month: BusinessMonth
    purchases: int
    total: int = Field(description="O que conta: aprovadas e em validação, em centavos")
    approved: int
    pending: int
    rejected: int
    cashback_percentage: int | None = Field(
        description="Percentual do mês; nulo na soma de vários revendedores", examples=[10]
    )
    cashback_amount: int = Field(description="Pelas compras do mês, em centavos")
    adjustment_amount: int = Field(
        description="Ajustes de meses anteriores que o fechamento levou, em centavos; negativo: descontado do crédito"
    )
    closed: bool
    closed_at: datetime | None

    @property
    def version(self) -> str:
        """The version of what closing it credits."""
        return version_of(self.total, self.cashback_amount)


class ClosedMonthOut(BaseModel):
    """A closed month."""

    month: BusinessMonth
    closed_at: datetime
    resellers: int = Field(description="Revendedores com compras aprovadas")
    total: int
    cashback_amount: int = Field(description="Quanto foi creditado pelas compras, em centavos")
    adjustment_amount: int = Field(description="Ajustes de meses anteriores, em centavos; negativo: descontado")


def _not_nothing(amount: int) -> int:
    if amount == 0:
        raise PydanticCustomError("rule_adjustment", "O ajuste não pode ser zero.")
    return amount


AdjustmentAmount = Annotated[
    int,
    Field(strict=True, ge=-MAX_AMOUNT, le=MAX_AMOUNT, examples=[-500], json_schema_extra={"not": {"const": 0}}),
    AfterValidator(_not_nothing),
]
AdjustmentStatus = Literal["waiting", "settled", "undone"]


class AdjustmentIn(Body):
    """A correction of a reseller's credit for a closed month."""

    cpf: Cpf
    month: BusinessMonth
    amount: AdjustmentAmount = Field(
        description="Em centavos: positivo é o que falta ao revendedor; negativo, o que recebeu a mais"
    )
    reason: Reason


class AdjustmentPartOut(BaseModel):
    """The part of an adjustment that a close settled."""

    month: BusinessMonth = Field(description="O mês cujo fechamento levou esta parte")
    amount: int
    entry_id: UUID


class AdjustmentOut(BaseModel):
    """A correction of a closed month."""

    id: UUID
    cpf: str
    month: BusinessMonth = Field(description="O mês fechado que é corrigido")
    amount: int
    taken_in: int = Field(description="Quanto os fechamentos já levaram")
    status: AdjustmentStatus = Field(
        description="`waiting`: espera um fechamento; `settled`: levado; `undone`: desfeito"
    )
    reason: str | None
    created_at: datetime
    undone_at: datetime | None
    parts: list[AdjustmentPartOut]


class TierShape(Body):
    """Totals above `above` centavos earn `percentage` per cent."""

    above: Above = Field(examples=[100_000])
    percentage: Annotated[int, Field(strict=True, ge=0, le=100, examples=[15])]


class TiersIn(
    Body,
    json_schema_extra={"examples": [{"tiers": [{"above": 0, "percentage": 10}, {"above": 100_000, "percentage": 15}]}]},
):
    """A tier table."""

    tiers: Annotated[
        list[TierShape],
        Field(min_length=1, max_length=50, description="A primeira começa em 0; as outras crescem, sem repetir"),
    ]

    @model_validator(mode="after")
    def _contiguous(self) -> "TiersIn":
        bounds = [tier.above for tier in self.tiers]
        if bounds[0] != 0 or sorted(set(bounds)) != bounds:
            raise PydanticCustomError("rule_tiers", "As faixas começam em 0 e crescem, sem repetir.")
        return self


class TiersOut(BaseModel):
    """A tier table and its first month."""

    valid_from: BusinessMonth
    tiers: list[TierShape]

    @property
    def version(self) -> str:
        """The version of its tiers."""
        return version_of([(tier.above, tier.percentage) for tier in self.tiers])


class ClosingDayIn(Body):
    """A closing day."""

    day: Annotated[int, Field(strict=True, ge=1, le=28, description="Dia do mês seguinte", examples=[5])]


class ClosingDayOut(BaseModel):
    """A closing day and its first month."""

    valid_from: BusinessMonth
    day: int

    @property
    def version(self) -> str:
        """The version of the day."""
        return version_of(self.day)


class AutoApprovalIn(Body):
    """A CPF whose purchases start approved."""

    cpf: Cpf
    valid_from: BusinessMonth
    valid_until: BusinessMonth | None = Field(None, description="Último mês, incluído; nulo: sem fim")

    @model_validator(mode="after")
    def _in_order(self) -> "AutoApprovalIn":
        if self.valid_until is not None and self.valid_until < self.valid_from:
            raise PydanticCustomError("rule_period", "O fim vem antes do começo.")
        return self


class AutoApprovalOut(BaseModel):
    """A CPF whose purchases start approved."""

    id: UUID
    cpf: str
    valid_from: BusinessMonth
    valid_until: BusinessMonth | None
