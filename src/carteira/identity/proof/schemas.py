"""Wire shapes of a CPF's proof."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from carteira.kit.values.cpf import Cpf
from carteira.kit.web.bodies import Body

Paper = Literal["cin", "rg", "cnh", "passport", "professional_card", "work_card", "rne"]


class CpfProofIn(Body):
    """What an operator saw."""

    cpf: Cpf = Field(description="O CPF que está no documento, conferido com a Receita")
    paper: Paper = Field(description="O documento com foto que foi comparado com o rosto")


class CpfDisputeOut(BaseModel):
    """Two who both proved one CPF."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    holder_id: UUID = Field(description="Quem tem o CPF")
    claimant_id: UUID = Field(description="Quem também o comprovou")
    proven_by: Literal["govbr", "operator"] = Field(description="Como o segundo comprovou")
    created_at: datetime
