"""Identity's wire shapes."""

import re
import unicodedata
from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, model_validator
from pydantic_core import PydanticCustomError

from carteira.identity.queries import PersonView
from carteira.kit.values.clock import clock
from carteira.kit.values.cpf import Cpf, mask_cpf

_EMAIL = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z][A-Za-z0-9-]{0,61}[A-Za-z0-9]"
)
_NAME_LENGTH, _EMAIL_LENGTH, _LOCAL_LENGTH, _MAX_AGE = 120, 254, 64, 130
_INT32 = 2**31 - 1


def _name(text: str) -> str:
    if any(unicodedata.category(character).startswith("C") for character in text):
        raise PydanticCustomError("invalid_name", "O nome não pode ter caracteres de controle.")
    name = " ".join(text.split())
    if len(name) > _NAME_LENGTH:
        raise PydanticCustomError("invalid_name", "O nome deve ter no máximo 120 caracteres.")
    if len(name.split()) < 2:  # noqa: PLR2004 - the rule itself
        raise PydanticCustomError("invalid_name", "Informe nome e sobrenome.")
    return name


def _email(text: str) -> str:
    email = text.strip()
    if len(email) > _EMAIL_LENGTH or len(email.partition("@")[0]) > _LOCAL_LENGTH or not _EMAIL.fullmatch(email):
        raise PydanticCustomError("invalid_email", "E-mail inválido.")
    return email


def _born(day: date) -> date:
    today = clock.today()
    if day >= today:
        raise PydanticCustomError("invalid_birth_date", "A data de nascimento deve estar no passado.")
    if today.year - day.year - ((today.month, today.day) < (day.month, day.day)) > _MAX_AGE:
        raise PydanticCustomError("invalid_birth_date", "A idade deve ser de no máximo 130 anos.")
    return day


def _phone(text: str) -> str:
    if not re.fullmatch(r"[0-9]{10,11}", text):
        raise PydanticCustomError("invalid_phone", "O telefone deve ter 10 ou 11 dígitos.")
    return text


FullName = Annotated[str, Field(max_length=500, examples=["Maria da Silva"]), AfterValidator(_name)]
Email = Annotated[str, Field(max_length=500, examples=["maria@exemplo.com.br"]), AfterValidator(_email)]
BirthDate = Annotated[date, Field(examples=["1990-05-17"]), AfterValidator(_born)]
Phone = Annotated[str, Field(max_length=50, examples=["11987654321"]), AfterValidator(_phone)]
Password = Annotated[str, Field(max_length=1000, json_schema_extra={"format": "password"})]
Code = Annotated[str, Field(min_length=1, max_length=40, examples=["123456"])]
Token = Annotated[str, Field(min_length=1, max_length=200)]
Description = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*$")]
Id = Annotated[int, Field(strict=True, ge=1, le=_INT32)]


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid")


class RegisterIn(_In):
    """Who registers."""

    full_name: FullName
    email: Email
    cpf: Cpf
    birth_date: BirthDate
    phone: Phone
    password: Password


class NewUserIn(_In):
    """Whom an operator adds; without a password a strong one is made and shown once."""

    full_name: FullName
    email: Email
    role_id: Id
    cpf: Cpf | None = None
    birth_date: BirthDate | None = None
    phone: Phone | None = None
    password: Password | None = None


class UserPut(_In):
    """A person's data; what is left out stays as it is."""

    full_name: FullName
    email: Email
    cpf: Cpf = Field(default_factory=str)
    birth_date: BirthDate | None = None
    phone: Phone | None = None


class UserPatch(_In):
    """What changes of a person's data."""

    full_name: FullName = Field(default_factory=str)
    email: Email = Field(default_factory=str)
    cpf: Cpf = Field(default_factory=str)
    birth_date: BirthDate | None = None
    phone: Phone | None = None


class PasswordIn(_In):
    """A change of one's own password."""

    current_password: Password
    new_password: Password


class RoleOut(BaseModel):
    """A role."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    description: str = Field(examples=["cidadão"])


class RoleIn(_In):
    """A new role, and the claims that it grants."""

    description: Description
    claim_ids: list[Id] = Field(default_factory=list, max_length=200)


class GiveRoleIn(_In):
    """The role to give."""

    role_id: Id


class ClaimOut(BaseModel):
    """A claim."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    description: str = Field(examples=["users:read"])
    active: bool


class ClaimIn(_In):
    """A new claim."""

    description: Description
    active: StrictBool = True


class ClaimPatch(_In):
    """What changes of a claim."""

    description: Description | None = None
    active: StrictBool | None = None


class GiveClaimsIn(_In):
    """The claims to give, beside those that are held."""

    claim_ids: list[Id] = Field(min_length=1, max_length=200)


class UserOut(BaseModel):
    """A person. The CPF is masked unless it is one's own or the claim `users:cpf` is held."""

    id: UUID
    full_name: str
    email: str
    cpf: str | None = Field(examples=["52998224725", "***.982.247-**"])
    birth_date: date | None
    phone: str | None
    role: RoleOut
    claims: list[str]
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, person: PersonView, *, show_cpf: bool) -> "UserOut":
        """Show a person, with the CPF whole or masked."""
        return cls(
            id=person.id,
            full_name=person.full_name,
            email=person.email,
            cpf=person.cpf if show_cpf or person.cpf is None else mask_cpf(person.cpf),
            birth_date=person.birth_date,
            phone=person.phone,
            role=RoleOut(id=person.role_id, description=person.role),
            claims=person.claims,
            created_at=person.created_at,
            updated_at=person.updated_at,
        )


class NewUserOut(UserOut):
    """A person whom an operator added."""

    generated_password: str | None = Field(None, description="Só nesta resposta; deve ser trocada na primeira entrada")


class ReportLine(BaseModel):
    """One line of the report."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    full_name: str
    email: str
    role: str
    claims: list[str]


class LookOut(BaseModel):
    """Somebody looked at a person's data."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    action: str
    actor_id: UUID | None
    actor_name: str | None
    created_at: datetime


class ConsentIn(_In):
    """An answer to a purpose."""

    granted: StrictBool


class ConsentOut(BaseModel):
    """The answer that holds."""

    purpose: str
    granted: bool
    created_at: datetime


class TokensOut(BaseModel):
    """A session's tokens."""

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - RFC 6750's word
    expires_in: int = Field(description="Segundos até o access_token expirar")
    refresh_token: str
    user_id: UUID
    password_change_required: Literal[True] | None = None


class ChallengeOut(BaseModel):
    """The second factor is wanted."""

    mfa_required: Literal[True] = True
    mfa_token: str


class MfaIn(_In):
    """The second factor."""

    mfa_token: Token
    code: Code


class RefreshIn(_In):
    """A refresh token."""

    refresh_token: Token


class SessionOut(BaseModel):
    """One of one's own sessions."""

    id: UUID
    device: str
    network: str = Field(description="Rede de origem, sem a parte que identifica a casa")
    methods: list[str]
    created_at: datetime
    seen_at: datetime
    expires_at: datetime
    current: bool


class EnrolmentOut(BaseModel):
    """What sets an authenticator up; shown once."""

    model_config = ConfigDict(from_attributes=True)

    secret: str
    otpauth_uri: str
    qr_svg: str


class CodeIn(_In):
    """A code."""

    code: Code


class RecoveryCodesOut(BaseModel):
    """Codes that stand in for the authenticator, each once; shown once."""

    recovery_codes: list[str]


class Named(_In):
    """Names a person by e-mail or by CPF."""

    email: Email | None = None
    cpf: Cpf | None = None

    @model_validator(mode="after")
    def _one_name(self) -> "Named":
        if (self.email is None) == (self.cpf is None):
            raise PydanticCustomError("invalid_name", "Informe o e-mail ou o CPF.")
        return self

    @property
    def name(self) -> str:
        """The e-mail or the CPF."""
        return self.email or self.cpf or ""


class RecoveryIn(Named):
    """For whom a code is asked."""

    channel: Literal["email", "sms"] = "email"


class RecoveryVerifyIn(Named):
    """The code that came."""

    code: Code


class ResetTokenOut(BaseModel):
    """What a right code is exchanged for."""

    reset_token: str


class ResetIn(_In):
    """The new password."""

    reset_token: Token
    new_password: Password
