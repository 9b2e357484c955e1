"""The wire shapes of credit. Amounts are centavos."""

import re
from datetime import UTC, date, datetime
from typing import Annotated, Literal, TypeAlias
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from carteira.kit.values.clock import clock
from carteira.kit.values.days import Day, Instant, schema_of_days, schema_of_instants
from carteira.kit.values.money import Amount
from carteira.kit.values.texts import compact, look_alike
from carteira.kit.web.bodies import Body, at_most_one

MAX_AGE = 130
_THIS_YEAR = clock.today().year
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
"""The earliest instant of an event of base C."""
_PRINTABLE = r"^[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*$"

ShortText = Annotated[str, Field(min_length=1, max_length=120, pattern=_PRINTABLE)]
LongText = Annotated[str, Field(min_length=1, max_length=200, pattern=_PRINTABLE)]
Total = Annotated[int, Field(ge=0)]
State = Literal[
    "AC", "AL", "AP", "AM", "BA", "CE", "DF", "ES", "GO", "MA", "MT", "MS", "MG", "PA",
    "PB", "PR", "PE", "PI", "RJ", "RN", "RS", "RO", "RR", "SC", "SP", "SE", "TO",
]  # fmt: skip
Purpose = Literal[
    "credit_analysis", "credit_protection", "fraud_prevention", "collection", "customer_request", "legal_obligation",
    "audit",
]  # fmt: skip
"""The purposes of looks (LGPD art. 6, I, and art. 7, X): a closed list, so that reports by purpose are meaningful."""


def _postal_code(text: str) -> str:
    digits = compact(text)
    if not re.fullmatch(r"[0-9]{8}", digits, re.ASCII):
        raise PydanticCustomError(
            "invalid_postal_code", "{reason}", {"reason": "O CEP tem 8 dígitos." + look_alike(digits)}
        )
    return f"{digits[:5]}-{digits[5:]}"


PostalCode = Annotated[
    str,
    AfterValidator(_postal_code),
    WithJsonSchema({"type": "string", "pattern": r"^[0-9]{5}-?[0-9]{3}$", "examples": ["01310-100"]}),
]
"""A wire CEP, with or without its dash."""


def _past(day: date) -> date:
    today = clock.today()
    if day >= today:
        raise PydanticCustomError("rule_birth_date", "A data de nascimento deve estar no passado.")
    if age_on(day, today) > MAX_AGE:
        raise PydanticCustomError("rule_birth_date", "A idade deve ser de até 130 anos.")
    return day


def age_on(birth: date, day: date) -> int:
    """Count the whole years from a birth date to a day."""
    return day.year - birth.year - ((day.month, day.day) < (birth.month, birth.day))


class Address(Body):
    """A Brazilian address; only city and state are required."""

    street: ShortText | None = None
    number: Annotated[str, Field(min_length=1, max_length=20, pattern=_PRINTABLE)] | None = None
    complement: ShortText | None = None
    district: ShortText | None = None
    city: ShortText
    state: State
    postal_code: PostalCode | None = None


class Debt(Body):
    """A person's debt to a creditor."""

    creditor: ShortText
    amount: Amount
    due_date: Day
    contract: ShortText | None = None
    status: Literal["open", "overdue", "negotiated", "paid"] = "open"


class BaseAIn(Body):
    """Base A: the most sensitive part, encrypted per field."""

    name: ShortText
    address: Address
    debts: list[Debt] = Field(default_factory=list, max_length=500)


class BaseAOut(BaseAIn):
    """Base A as it is read."""

    cpf: str
    updated_at: datetime


class Asset(Body):
    """A possession of a person."""

    kind: Literal["property", "vehicle", "investment", "savings", "company", "other"]
    description: LongText
    amount: Amount


class IncomeSource(Body):
    """A source of a person's monthly income."""

    description: LongText
    monthly_amount: Amount


class BaseBIn(
    Body,
    json_schema_extra=at_most_one("birth_date", "age")
    | {
        "examples": [
            {
                "birth_date": "1990-05-17",
                "assets": [],
                "income_sources": [],
            }
        ]
    },
):
    """Base B, from which the score is computed. It has either the birth date or the age."""

    birth_date: (
        Annotated[Day, AfterValidator(_past), WithJsonSchema(schema_of_days(_THIS_YEAR - MAX_AGE, _THIS_YEAR))] | None
    ) = None
    age: Annotated[int, Field(strict=True, ge=0, le=MAX_AGE)] | None = None
    address: Address | None = None
    assets: list[Asset] = Field(default_factory=list, max_length=200)
    income_sources: list[IncomeSource] = Field(default_factory=list, max_length=50)

    @model_validator(mode="after")
    def _one_age(self) -> "BaseBIn":
        if self.birth_date is not None and self.age is not None:
            raise PydanticCustomError("rule_age", "Informe a data de nascimento ou a idade, não as duas.")
        return self


class BaseBOut(BaseModel):
    """Base B as it is read; `age` is of today, whichever of the two was stored."""

    birth_date: date | None
    age: int | None
    address: Address | None
    assets: list[Asset]
    income_sources: list[IncomeSource]
    updated_at: datetime


EventId = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,64}$", description="Repetir o mesmo id não soma de novo")]


class _Event(Body):
    id: EventId | None = None
    occurred_at: (
        Annotated[Instant, WithJsonSchema(schema_of_instants(EARLIEST.year, _THIS_YEAR, "2026-06-30T15:00:00Z"))] | None
    ) = Field(None, description="De 2000 até agora; sem ele, agora")

    @model_validator(mode="after")
    def _in_our_time(self) -> "_Event":
        if self.occurred_at is not None and not EARLIEST <= self.occurred_at <= clock.now():
            raise PydanticCustomError("rule_occurred_at", "O instante não pode ser antes de 2000 nem no futuro.")
        return self


class BureauQueryIn(_Event):
    """The CPF was looked up at a bureau."""

    type: Literal["bureau_query"]
    source: ShortText = "carteira"
    purpose: Purpose | None = None


class MovementIn(_Event):
    """Money came in or went out."""

    type: Literal["movement"]
    direction: Literal["in", "out"]
    amount: Amount
    description: ShortText | None = None


class CardPurchaseIn(_Event):
    """A card purchase: the last one, and a movement out."""

    type: Literal["card_purchase"]
    amount: Amount
    merchant: LongText
    mcc: Annotated[str, Field(pattern=r"^[0-9]{4}$")] | None = None


BaseCEventIn: TypeAlias = Annotated[BureauQueryIn | MovementIn | CardPurchaseIn, Field(discriminator="type")]


class BaseCEventOut(BaseModel):
    """The outcome of an event."""

    id: str
    applied: bool = Field(description="Falso quando o id já tinha sido recebido, ou o movimento tem mais de 30 dias")


class BureauQueryOut(BaseModel):
    """The last look-up of the CPF at a bureau."""

    at: datetime
    source: str
    purpose: str | None = None
    by: str | None = None


class MovementOut(BaseModel):
    """One movement."""

    id: str
    kind: str
    direction: Literal["in", "out"]
    amount: int
    description: str | None = None
    occurred_at: datetime


class MovementTotals(BaseModel):
    """Totals of the last 30 days, today included (America/Sao_Paulo), over more movements than are listed."""

    incoming: Total = 0
    outgoing: Total = 0
    count: Total = 0


class MovementsOut(BaseModel):
    """The newest movements and the totals of 30 days."""

    last_30_days: MovementTotals = MovementTotals()
    items: list[MovementOut] = Field(default_factory=list, description="Os mais novos primeiro, até 20")


class CardPurchaseOut(BaseModel):
    """The last approved card purchase."""

    id: str
    amount: int
    merchant: str | None = None
    mcc: str | None = None
    at: datetime


class BaseCOut(BaseModel):
    """Base C: quick and not critical."""

    last_bureau_query: BureauQueryOut | None = None
    financial_movement: MovementsOut = Field(default_factory=MovementsOut)
    last_card_purchase: CardPurchaseOut | None = None


Base = Literal["base_a", "base_b", "base_c"]


class ProfileOut(BaseModel):
    """The three bases together; one that holds nothing is null, one that is down is named in `unavailable`."""

    cpf: str
    base_a: BaseAOut | None
    base_b: BaseBOut | None
    base_c: BaseCOut | None
    unavailable: list[Base]


class ReasonOut(BaseModel):
    """One of the three features with the greatest cost in points, in descending order of cost."""

    code: str = Field(examples=["R03"])
    text: str = Field(examples=["A renda mensal comprovada reduz a pontuação."])
    points: int = Field(description="Pontos obtidos neste item")
    max_points: int = Field(description="Pontos que este item pode dar")


class ScoreOut(BaseModel):
    """A score that can be explained (LGPD art. 20; Lei 12.414/2011, art. 5, IV and VI)."""

    score: int = Field(ge=0, le=1000)
    band: Literal["A", "B", "C", "D", "E"]
    band_description: str
    reasons: list[ReasonOut]
    model_version: str


class AccessOut(BaseModel):
    """A look at a person's base A."""

    seq: int
    at: datetime
    who: UUID
    what: str
    purpose: str
    outcome: str
    request_id: str
