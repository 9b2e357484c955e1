"""The wire shapes of benefits. Amounts are centavos."""

from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from carteira import ledger
from carteira.kit.ops.cooperative import dump_json
from carteira.kit.security.codes import MessageCode
from carteira.kit.values.actor import Actor
from carteira.kit.values.cnpj import Cnpj
from carteira.kit.values.cpf import Cpf
from carteira.kit.values.email import EMAIL_PATTERN, InvalidEmail, parse_email
from carteira.kit.values.money import MAX_AMOUNT, Amount
from carteira.kit.values.phone import PHONE_PATTERN, InvalidPhone, parse_phone
from carteira.kit.values.texts import SEEN_TEXT, trim, unspaced, without_unseen
from carteira.kit.web.bodies import Body, exactly_one
from carteira.kit.web.preconditions import version_of


def _contact(text: str) -> str:
    try:
        return parse_email(text) if "@" in text or "＠" in text else parse_phone(text)
    except (InvalidEmail, InvalidPhone) as error:
        raise PydanticCustomError("invalid_contact", "{reason}", {"reason": str(error)}) from error


def _bare_text(value: object) -> object:
    return without_unseen(trim(value)) if isinstance(value, str) else value


Reference = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9._:-]{1,64}$", description="Referência da processadora", examples=["123"]),
]
_CATEGORY = r"^[A-Z][A-Z0-9_]{0,31}$"
CategoryName = Annotated[str, Field(pattern=_CATEGORY, examples=["FOOD"])]
Mcc = Annotated[str, Field(pattern=r"^[0-9]{4}$", examples=["5411"])]
MerchantName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=256,
        pattern=r"^[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*$",
        examples=["UBER EATS                   SAO PAULO BR"],
        json_schema_extra={"pattern": SEEN_TEXT},
    ),
    BeforeValidator(_bare_text),
]
Contact = Annotated[
    str,
    Field(max_length=500),
    AfterValidator(_contact),
    WithJsonSchema(
        {
            "type": "string",
            "maxLength": 254,
            "pattern": f"^(?:{EMAIL_PATTERN}|{PHONE_PATTERN})$",
            "description": "E-mail, ou telefone com DDD, que a empresa conhece",
            "examples": ["maria@exemplo.com.br", "11987654321"],
        }
    ),
]
Description = Annotated[str, Field(min_length=1, max_length=200)]
EmployerName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=120,
        pattern=r"^[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*$",
        examples=["Padaria Central Ltda."],
        json_schema_extra={"pattern": SEEN_TEXT},
    ),
    BeforeValidator(_bare_text),
]
HolderName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=120,
        pattern=r"^[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*$",
        description="Nome do trabalhador, como no RH",
        examples=["Maria da Silva"],
        json_schema_extra={"pattern": SEEN_TEXT},
    ),
    BeforeValidator(_bare_text),
]
AccountState = Literal["active", "blocked", "closed"]
InitialBalance = Annotated[int, Field(strict=True, ge=0, le=MAX_AMOUNT)]
InitialBalances = Annotated[
    dict[CategoryName, InitialBalance],
    WithJsonSchema(
        {
            "type": "object",
            "propertyNames": {"pattern": _CATEGORY},
            "additionalProperties": {"type": "integer", "minimum": 0, "maximum": MAX_AMOUNT},
            "examples": [{"FOOD": 50_000, "CASH": 0}],
        }
    ),
]


class EmployerIn(Body):
    """A new employer."""

    cnpj: Cnpj
    name: EmployerName
    prefunded: StrictBool = Field(default=False, description="Se a empresa deposita antes de creditar")


class EmployerPatch(Body):
    """Changes of an employer."""

    cnpj: Cnpj | None = None
    name: EmployerName | None = None
    prefunded: StrictBool | None = None


class EmployerOut(BaseModel):
    """An employer."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    cnpj: str | None = Field(description="14 caracteres; nulo na primeira empresa até ser informado")
    name: str = Field(examples=["Padaria Central Ltda."])
    prefunded: bool
    created_at: datetime


class EmployerFundOut(BaseModel):
    """The balance of an employer's fund."""

    employer_id: UUID
    prefunded: bool = Field(description="Se os créditos saem deste fundo")
    balance: int = Field(description="O que há no fundo, em centavos", examples=[1_500_000])


class MemberOut(BaseModel):
    """An operator or a client that is bound to an employer."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID = Field(description="O id da pessoa ou o client_id")
    kind: Literal["person", "client"]
    bound_at: datetime


class AccountIn(
    Body,
    json_schema_extra=exactly_one(cpf="string", user_id="string")
    | {
        "examples": [
            {"account": "123", "cpf": "529.982.247-25", "contact": "maria@exemplo.com.br", "balances": {"FOOD": 50_000}}
        ]
    },
):
    """A benefit account to be opened for a CPF or for a person."""

    account: Reference
    cpf: Cpf | None = None
    user_id: UUID | None = None
    contact: Contact | None = None
    name: HolderName | None = None
    invite: StrictBool = Field(
        default=True, description="Se o convite sai na abertura, para o contato, quando a conta ainda não tem dono"
    )
    employer_id: UUID | None = Field(
        default=None, description="A empresa; sem ela, a de quem abre ou, para quem não está vinculado, a primeira"
    )
    balances: InitialBalances = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_holder(self) -> "AccountIn":
        if (self.cpf is None) == (self.user_id is None):
            raise PydanticCustomError("rule_owner", "Informe o CPF ou o user_id, um dos dois.")
        return self


class BenefitAccountOut(BaseModel):
    """A benefit account with its balances."""

    account: str
    employer_id: UUID
    balances: dict[str, int] = Field(examples=[{"CASH": 0, "FOOD": 50_000, "MEAL": 30_000}])


class OwnAccountOut(BaseModel):
    """One of my accounts."""

    account: str
    employer: str = Field(description="O nome da empresa", examples=["Padaria Central Ltda."])
    state: AccountState
    balances: dict[str, int] = Field(examples=[{"CASH": 0, "FOOD": 50_000, "MEAL": 30_000}])


class AccountSearchIn(Body):
    """A search for accounts; omitted fields match any. A CPF is sent in the body, not in an address."""

    cpf: Cpf | None = None
    account: Reference | None = None
    user_id: UUID | None = None
    employer_id: UUID | None = None
    state: AccountState | None = None


class InvitationsIn(Body):
    """The accounts whose holders are to be invited, again or for the first time."""

    accounts: Annotated[list[Reference], Field(min_length=1, max_length=100)]


class InvitationResult(BaseModel):
    """The result of one account's invitation."""

    line: int = Field(description="A posição na lista, a partir de 1")
    account: str
    result: Literal["sent", "failed"]
    error: str | None = None
    detail: str | None = None


class InvitationsOut(BaseModel):
    """The results of several invitations; an account that was named twice has one."""

    sent: int
    failed: int
    results: list[InvitationResult]


InvitationState = Literal["sending", "sent", "opened", "expired"]


class InvitationStateOut(BaseModel):
    """The state of an employer's invitation to an account."""

    state: InvitationState = Field(
        description="`sending`: a caminho; `sent`: enviado; `opened`: aberto por quem entrou; `expired`: venceu"
    )
    sent_at: datetime | None
    opened_at: datetime | None
    expires_at: datetime


class ListedAccountOut(BaseModel):
    """An account as an operator of its employer sees it."""

    account: str
    employer_id: UUID
    user_id: UUID | None = Field(description="Nulo enquanto ninguém a ligou ao seu cadastro")
    cpf: str | None = Field(examples=["***.982.247-**"])
    name: str | None
    state: AccountState
    balances: dict[str, int] = Field(examples=[{"CASH": 0, "FOOD": 50_000, "MEAL": 30_000}])
    created_at: datetime
    invitation: InvitationStateOut | None = Field(description="Nulo sem convite, ou quando alguém já a ligou")


class AccountStateOut(BaseModel):
    """An account's state."""

    account: str
    state: AccountState


class BlockIn(Body):
    """The reason for blocking an account (`pat.BLOCK_REASONS`)."""

    reason: Literal["lost_or_stolen", "suspected_fraud", "holder_asked", "court_order"]


class ClaimCodeIn(Body):
    """The code sent to the account's contact; none if the CPF is proven."""

    code: MessageCode | None = Field(None, description="Dispensável para quem tem o CPF comprovado")


class InvitationIn(Body):
    """The invitation sent to the account's contact."""

    token: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(unspaced)]


class WaitingAccountOut(BaseModel):
    """An account that waits for the person of its CPF."""

    model_config = ConfigDict(from_attributes=True)

    account: str
    created_at: datetime


class CreditIn(Body):
    """A top-up of one category."""

    category: CategoryName
    amount: Amount
    description: Description | None = None


class CreditOut(BaseModel):
    """A top-up that was made."""

    entry_id: UUID
    account: str
    category: str
    amount: int
    balance: int


class BulkCreditIn(Body):
    """One line of a bulk top-up."""

    account: Reference
    category: CategoryName
    amount: Amount
    description: Description | None = None


class BulkCreditResult(BaseModel):
    """The outcome of one line; `line` counts from 1, in a file from below the titles, including empty rows."""

    line: int
    account: str
    status: Literal["credited", "failed", "not_credited"]
    entry_id: UUID | None = None
    code: str | None = None
    detail: str | None = None
    column: str | None = Field(None, description="A primeira coluna, ou o primeiro campo, com erro")


class BulkCreditPreview(BaseModel):
    """The expected outcome of one line."""

    line: int
    account: str
    status: Literal["ready", "failed"]
    amount: int | None = Field(None, description="Em centavos")
    value: str | None = Field(None, description="Em reais", examples=["R$ 500,00"])
    code: str | None = None
    detail: str | None = None
    column: str | None = Field(None, description="A primeira coluna, ou o primeiro campo, com erro")


class BulkCreditPreviewOut(BaseModel):
    """The expected outcome of a bulk top-up."""

    ready: int = Field(description="Linhas que seriam creditadas")
    failed: int
    amount: int = Field(description="Total, em centavos")
    value: str = Field(description="Total, em reais", examples=["R$ 1.234,56"])
    results: list[BulkCreditPreview]


class BulkCreditOut(BaseModel):
    """The outcome of a bulk top-up."""

    credited: int
    failed: int
    amount: int = Field(description="Total creditado, em centavos")
    results: list[BulkCreditResult]

    async def written(self) -> bytes:
        """Return it as JSON, written in pieces."""
        head = self.model_dump_json(exclude={"results"}).encode()
        return head[:-1] + b',"results":' + await dump_json(self.results) + b"}"


class CategoryIn(Body):
    """A category's new data."""

    mccs: list[Mcc] = Field(max_length=10_000)
    regime: Literal["pat", "free"]


class CategoryOut(BaseModel):
    """A category."""

    category: str
    mccs: list[str]
    regime: Literal["pat", "free"]

    @property
    def version(self) -> str:
        """The version of its MCCs and its regime."""
        return version_of(self.regime, sorted(self.mccs))


class MerchantIn(Body):
    """A merchant whose name overrides the MCC."""

    name: MerchantName
    mcc: Mcc


class NamedMerchantIn(Body):
    """The MCC of a merchant whose name is in the address."""

    name: MerchantName | None = Field(None, description="O do endereço; dispensável")
    mcc: Mcc


class MerchantOut(BaseModel):
    """A merchant whose name overrides the MCC."""

    name: str
    mcc: str

    @property
    def version(self) -> str:
        """The version of its rule: the MCC itself."""
        return self.mcc


class TransactionOut(BaseModel):
    """A decision of the authorizer, with its reason in words."""

    id: UUID
    reference: str | None = Field(description="O `id` da transação na processadora")
    account: str
    amount: int | None
    mcc: str | None
    merchant: str | None
    code: str
    category_tried: str | None
    category_used: str | None
    explanation: str
    created_at: datetime


class SimulationOut(BaseModel):
    """The authorizer's answer to a simulated request, and its reason."""

    code: str
    category_tried: str | None
    category_used: str | None
    explanation: str


class AuthorizationIn(BaseModel):
    """The card processor's request (documentation; the authorizer reads its own body)."""

    account: Reference
    totalAmount: float = Field(  # noqa: N815 - the processor's own name
        description="Valor em reais, positivo, com até duas casas decimais", examples=[100.00]
    )
    mcc: Mcc
    merchant: str = Field(examples=["PADARIA DO ZE               SAO PAULO BR"])
    id: str | None = Field(None, description="Identificador da transação na processadora; repetir não cobra de novo")


class AuthorizationOut(BaseModel):
    """The authorizer's answer."""

    code: Literal["00", "51", "07"]


class ProcessorQueryIn(BaseModel):
    """The processor's question about one of its transactions (documentation; the authorizer reads its own body)."""

    id: str = Field(description="O `id` da transação na processadora, ou o `reversalId` de um estorno")


class ProcessorQueryOut(BaseModel):
    """The state of a transaction; amounts in centavos."""

    code: Literal["00", "51", "07"] = Field(description="O da primeira resposta")
    state: Literal["approved", "declined", "reversed", "unknown", "unavailable"]
    id: UUID | None = Field(description="O desta plataforma")
    reason: str | None
    amount: int | None
    returned: int = Field(description="Quanto já foi devolvido")
    balance: int | None = Field(description="O que a categoria tem agora")


class ProcessorReversalIn(BaseModel):
    """The processor's reversal (documentation; the authorizer reads its own body)."""

    id: str = Field(description="O `id` da transação na processadora")
    reversalId: str | None = Field(  # noqa: N815 - the processor's own name
        None, description="Identificador do estorno de uma parte; obrigatório com `totalAmount`, e só com ele"
    )
    totalAmount: float | None = Field(  # noqa: N815 - the processor's own name
        None, description="Valor em reais a devolver; sem ele, tudo o que resta", examples=[10.50]
    )


class BenefitStatementLineOut(ledger.LedgerMovementOut):
    """One movement of a benefit account."""

    category: str
    actor: Actor | None = Field(description="Quem moveu o dinheiro; para quem tem `benefits:read` e para si")
    approved_by: UUID | None = Field(description="Quem aprovou, se pediu duas pessoas; para quem tem `benefits:read`")


class RefundIn(Body):
    """The amount that a merchant refunds; by default the rest."""

    amount: Amount | None = None


class ReturnOut(BaseModel):
    """A return of a transaction's money."""

    id: UUID
    transaction_id: UUID
    kind: Literal["reversal", "refund"]
    amount: int
    entry_id: UUID
    category: str


class ImportLine(Body):
    """A line of an HR file: an account to open. Without `account` it gets a generated reference."""

    cpf: Cpf
    name: HolderName | None = None
    contact: Contact | None = None
    account: Reference | None = None
    balances: InitialBalances = Field(default_factory=dict)


class ImportPreview(BaseModel):
    """A line's expected outcome; `exists`: the CPF has an account at this employer, or an earlier line opens it."""

    line: int
    status: Literal["ready", "exists", "failed"]
    amount: int | None = Field(None, description="Saldo inicial, em centavos")
    value: str | None = Field(None, description="Em reais", examples=["R$ 500,00"])
    detail: str | None = None
    column: str | None = None


class ImportPreviewOut(BaseModel):
    """The expected outcome of a file."""

    ready: int
    exists: int
    failed: int
    amount: int = Field(description="Total, em centavos")
    value: str = Field(description="Total, em reais", examples=["R$ 1.234,56"])
    results: list[ImportPreview]


class ImportOut(BaseModel):
    """A file's progress."""

    id: UUID
    employer_id: UUID
    state: Literal["running", "finished"]
    lines: int
    waiting: int
    opened: int
    exists: int
    failed: int
    created_at: datetime
    finished_at: datetime | None


class ImportLineOut(BaseModel):
    """A line's outcome."""

    model_config = ConfigDict(from_attributes=True)

    line: int = Field(validation_alias="number")
    status: Literal["waiting", "opened", "exists", "failed"]
    account: str | None
    code: str | None
    detail: str | None
    column: str | None


class ScheduledOut(BaseModel):
    """A scheduled bulk top-up, or its outcome."""

    id: UUID
    day: date
    state: Literal["waiting", "done", "failed", "cancelled"]
    lines: int = Field(description="Linhas boas, quando foi agendado")
    amount: int = Field(description="Total delas, em centavos")
    value: str = Field(description="Total delas, em reais", examples=["R$ 1.234,56"])
    code: str | None
    detail: str | None
    outcome: BulkCreditOut | None = Field(description="O resultado de cada linha, depois do dia")
    created_at: datetime
    done_at: datetime | None
