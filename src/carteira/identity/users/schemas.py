"""Wire shapes of people."""

from datetime import date, datetime
from typing import Literal, cast
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from carteira.identity.fields import BirthDate, FullName, Id, NewPassword, Password
from carteira.identity.proof.schemas import Paper
from carteira.identity.proof.service import ProvenBy
from carteira.identity.roles.schemas import RoleOut
from carteira.identity.users.queries import CpfState, PersonView
from carteira.identity.users.suspension import Reason
from carteira.kit.values.cpf import Cpf, mask_cpf
from carteira.kit.values.email import Email
from carteira.kit.values.phone import Phone
from carteira.kit.web.bodies import Body


class RegisterIn(Body):
    """A registration; without a CPF the person signs in by e-mail, and adds it later."""

    full_name: FullName
    email: Email
    cpf: Cpf | None = None
    birth_date: BirthDate
    phone: Phone
    password: NewPassword


class FactorResetIn(Body):
    """The operator's statement for the reset of a lost second factor."""

    paper: Paper = Field(description="O documento com foto que foi comparado com o rosto")


class NewUserIn(Body):
    """A person whom an operator adds; without a password one is generated and shown once."""

    full_name: FullName
    email: Email
    role_id: Id
    cpf: Cpf | None = None
    birth_date: BirthDate | None = None
    phone: Phone | None = None
    password: NewPassword | None = None


class UserPut(Body):
    """A person's data; omitted fields are unchanged."""

    full_name: FullName
    email: Email
    cpf: Cpf = Field(default_factory=str)
    birth_date: BirthDate | None = None
    phone: Phone | None = None


class UserPatch(Body):
    """Changes of a person's data."""

    full_name: FullName = Field(default_factory=str)
    email: Email = Field(default_factory=str)
    cpf: Cpf = Field(default_factory=str)
    birth_date: BirthDate | None = None
    phone: Phone | None = None


class PasswordIn(Body):
    """A change of one's own password."""

    current_password: Password
    new_password: NewPassword


class ContactOut(BaseModel):
    """A contact point, and whether codes go to it."""

    model_config = ConfigDict(from_attributes=True)

    kind: Literal["email", "phone"]
    value: str
    state: Literal["registered", "confirmed", "unconfirmed", "former"]
    recovers_from: datetime | None = Field(
        description="Desde quando recupera a conta, se confirmado; null: já recupera",
    )


class UserOut(BaseModel):
    """A person. The CPF is masked unless it is one's own or the claim `users:cpf` is held."""

    id: UUID
    full_name: str
    email: str
    cpf: str | None = Field(examples=["52998224725", "***.982.247-**"])
    cpf_state: CpfState = Field(
        description="`proven`: comprovado. `declared`: só digitado. `none`: não há. `moved`: outra pessoa o comprovou; "
        "informe o seu com `PATCH /users/{id}`"
    )
    cpf_proven_at: datetime | None
    cpf_proven_by: ProvenBy | None
    birth_date: date | None
    phone: str | None
    role: RoleOut
    claims: list[str]
    created_at: datetime
    updated_at: datetime
    contacts: list[ContactOut] = Field(description="E-mail e telefone, e a qual deles vão os códigos")
    suspended_at: datetime | None = Field(description="Desde quando um operador suspendeu o acesso")

    @classmethod
    def of(cls, person: PersonView, *, show_cpf: bool) -> "UserOut":
        """Return a person, with the CPF whole or masked."""
        return cls(
            id=person.id,
            full_name=person.full_name,
            email=person.email,
            cpf=person.cpf if show_cpf or person.cpf is None else mask_cpf(person.cpf),
            cpf_state=person.cpf_state,
            cpf_proven_at=person.cpf_proven_at,
            cpf_proven_by=cast("ProvenBy | None", person.cpf_proven_by),
            birth_date=person.birth_date,
            phone=person.phone,
            role=RoleOut(id=person.role_id, description=person.role),
            claims=person.claims,
            created_at=person.created_at,
            updated_at=person.updated_at,
            contacts=[ContactOut.model_validate(point) for point in person.contacts],
            suspended_at=person.suspended_at,
        )


class NewUserOut(UserOut):
    """A person whom an operator added."""

    generated_password: str | None = Field(None, description="Só nesta resposta; deve ser trocada na primeira entrada")


class SuspensionIn(Body):
    """The reason of a suspension, for the audit."""

    reason: Reason


class SuspensionOut(BaseModel):
    """A person's suspension."""

    suspended_at: datetime | None


class ReportLine(BaseModel):
    """One line of the report."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    full_name: str
    email: str
    role: str
    claims: list[str]


class ConsentIn(Body):
    """An answer to a purpose."""

    granted: StrictBool


class ConsentOut(BaseModel):
    """The valid answer."""

    purpose: str
    granted: bool
    created_at: datetime
