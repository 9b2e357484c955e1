"""Wire shapes of sign-in at a provider."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from carteira.identity.fields import NAMED_ONCE, BirthDate, Code, FullName, Named, Token
from carteira.identity.social.providers import ProviderName
from carteira.kit.values.cpf import Cpf
from carteira.kit.values.email import Email
from carteira.kit.values.phone import Phone
from carteira.kit.web.bodies import Body


class RegistrationTokenOut(BaseModel):
    """The account is not linked yet: sign up, or link it."""

    registration_token: str
    expires_in: int = Field(description="Segundos até o registration_token expirar")
    full_name: str | None = Field(None, description="O que o provedor disse; se faltar, o cadastro pede")
    email: str | None = Field(None, description="O mesmo")
    cpf: str | None = Field(None, description="O CPF que o gov.br comprova")
    cpf_held: Literal["declared", "proven"] | None = Field(
        None,
        description="Outra conta tem este CPF. `declared`: só o digitou; se ela é sua, entre e ligue o gov.br, senão "
        "termine o cadastro e o CPF vem para você. `proven`: também o comprovou; se não é você, um operador decide",
    )


class SocialRegisterIn(Body):
    """Finishes the sign-up; name and e-mail only if the provider lacks them, or to change them."""

    registration_token: Token
    cpf: Cpf | None = Field(None, description="Dispensável com o gov.br, que o comprova")
    birth_date: BirthDate
    phone: Phone
    full_name: FullName | None = None
    email: Email | None = None


class SocialLinkIn(Body):
    """The account to link."""

    registration_token: Token


class LinkCodeIn(
    Named,
    json_schema_extra=NAMED_ONCE
    | {"examples": [{"registration_token": "o-que-a-volta-do-provedor-respondeu", "email": "maria@exemplo.com.br"}]},
):
    """The person that a code is asked for: an e-mail or a CPF."""

    registration_token: Token


class LinkVerifyIn(Body):
    """The received code."""

    registration_token: Token
    code: Code


class SocialAccountOut(BaseModel):
    """An account that signs one in."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    provider: ProviderName
    created_at: datetime
    used_at: datetime | None
