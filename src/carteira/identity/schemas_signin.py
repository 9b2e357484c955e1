"""Wire shapes of passkeys and of sign-in at a provider."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from carteira.identity.schemas import BirthDate, Code, Email, FullName, Named, Phone, Token
from carteira.kit.values.cpf import Cpf

_NAME_LENGTH = 60


def _label(text: str) -> str:
    label = " ".join(text.split())
    if not label or len(label) > _NAME_LENGTH or not label.isprintable():
        raise PydanticCustomError("invalid_name", "O nome deve ter de 1 a 60 caracteres visíveis.")
    return label


Label = Annotated[str, Field(max_length=200, examples=["Celular da Maria"]), AfterValidator(_label)]
Credential = Annotated[
    dict[str, Any],
    Field(
        description="O `PublicKeyCredential` do navegador (`toJSON()`)", examples=[{"id": "…", "type": "public-key"}]
    ),
]


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PasskeyRegisterIn(_In):
    """A new passkey."""

    credential: Credential
    name: Label = "Chave de acesso"


class PasskeyLoginIn(_In):
    """A passkey's answer."""

    credential: Credential


class PasskeyPatch(_In):
    """A passkey's new name."""

    name: Label


class PasskeyOut(BaseModel):
    """One of one's own passkeys."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    name: str
    backed_up: bool = Field(description="Sincronizada entre aparelhos")
    created_at: datetime
    used_at: datetime | None


class RegistrationTokenOut(BaseModel):
    """Nobody is linked to that account yet: sign up, or link it."""

    registration_token: str
    expires_in: int = Field(description="Segundos até o registration_token expirar")
    full_name: str | None = Field(None, description="O que o provedor disse; se faltar, o cadastro pede")
    email: str | None = Field(None, description="O mesmo")


class SocialRegisterIn(_In):
    """What finishes sign-up; name and e-mail only if the provider did not tell them, or to have others."""

    registration_token: Token
    cpf: Cpf
    birth_date: BirthDate
    phone: Phone
    full_name: FullName | None = None
    email: Email | None = None


class SocialLinkIn(_In):
    """The account to link."""

    registration_token: Token


class LinkCodeIn(Named):
    """For whom a code is asked: an e-mail or a CPF."""

    registration_token: Token


class LinkVerifyIn(_In):
    """The code that came."""

    registration_token: Token
    code: Code


class SocialAccountOut(BaseModel):
    """An account that signs one in."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    provider: Literal["google", "meta"]
    created_at: datetime
    used_at: datetime | None
