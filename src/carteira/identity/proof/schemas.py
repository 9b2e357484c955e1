"""Wire shapes of a CPF's proof."""

from datetime import datetime
from typing import Literal, cast
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from carteira.identity.proof.service import ProvenBy
from carteira.identity.users.queries import CpfState, PersonView
from carteira.kit.values.cpf import Cpf
from carteira.kit.web.bodies import Body

Paper = Literal["cin", "rg", "cnh", "passport", "professional_card", "work_card", "rne"]


class CpfProofIn(Body):
    """An operator's statement."""

    cpf: Cpf = Field(description="O CPF que está no documento, conferido com a Receita")
    paper: Paper = Field(description="O documento com foto que foi comparado com o rosto")


class CpfProofOut(BaseModel):
    """The state of an account's CPF; ids and times only."""

    user_id: UUID
    cpf_state: CpfState
    cpf_proven_at: datetime | None
    cpf_proven_by: ProvenBy | None

    @classmethod
    def of(cls, person: PersonView) -> "CpfProofOut":
        """Return the state of a person's CPF."""
        return cls(
            user_id=person.id,
            cpf_state=person.cpf_state,
            cpf_proven_at=person.cpf_proven_at,
            cpf_proven_by=cast("ProvenBy | None", person.cpf_proven_by),
        )


class CpfDisputeOut(BaseModel):
    """Two people who both proved one CPF."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    holder_id: UUID = Field(description="Quem tem o CPF")
    claimant_id: UUID = Field(description="Quem também o comprovou")
    proven_by: Literal["govbr", "operator"] = Field(description="Como o segundo comprovou")
    created_at: datetime
