"""Wire shapes of roles and claims."""

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from carteira.identity.fields import Description, Id
from carteira.kit.web.bodies import Body


class RoleOut(BaseModel):
    """A role."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    description: str = Field(examples=["cidadão"])


class WholeRoleOut(RoleOut):
    """A role with the claims that it grants."""

    built_in: bool = Field(description="Vem com o produto")
    claims: list["ClaimOut"]


class RolePatch(Body):
    """Changes of a role."""

    description: Description


class RoleClaimsIn(Body):
    """All claims that a role grants from now on."""

    claim_ids: list[Id] = Field(max_length=200)


class RoleIn(Body):
    """A new role, and the claims that it grants."""

    description: Description
    claim_ids: list[Id] = Field(default_factory=list, max_length=200)


class GiveRoleIn(Body):
    """The role to give."""

    role_id: Id


class ClaimOut(BaseModel):
    """A claim."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    description: str = Field(examples=["users:read"])
    active: bool
    built_in: bool = Field(description="O produto confere esta permissão; o nome dela não muda")


class ClaimIn(Body):
    """A new claim."""

    description: Description
    active: StrictBool = True


class ClaimPatch(Body):
    """Changes of a claim."""

    description: Description | None = None
    active: StrictBool | None = None


class GiveClaimsIn(Body):
    """The claims to grant, in addition to those held."""

    claim_ids: list[Id] = Field(min_length=1, max_length=200)
