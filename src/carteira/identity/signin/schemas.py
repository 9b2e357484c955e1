"""Wire shapes of sign-in and of the second factor."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

from carteira.identity.fields import Code, Password, Token
from carteira.identity.passkeys.schemas import Credential
from carteira.kit.web.bodies import Body, exactly_one


class ChallengeOut(BaseModel):
    """The second factor is needed."""

    mfa_required: Literal[True] = True
    mfa_token: str


class MfaIn(Body):
    """The second factor."""

    mfa_token: Token
    code: Code


class EnrolmentOut(BaseModel):
    """An authenticator's enrolment, shown once."""

    model_config = ConfigDict(from_attributes=True)

    secret: str
    otpauth_uri: str
    qr_svg: str


class CodeIn(Body):
    """A code."""

    code: Code


class StepUpIn(
    Body,
    json_schema_extra=exactly_one(password="string", code="string", credential="object")  # noqa: S106 - its type
    | {"examples": [{"code": "123456"}]},
):
    """The factor that verifies the person: one of the three."""

    password: Password | None = None
    code: Code | None = None
    credential: Credential | None = None

    @model_validator(mode="after")
    def _one(self) -> "StepUpIn":
        if sum(given is not None for given in (self.password, self.code, self.credential)) != 1:
            raise PydanticCustomError("invalid_step_up", "Informe a senha, o código ou a chave de acesso: só um deles.")
        return self


class RecoveryCodesOut(BaseModel):
    """Codes that replace the authenticator's, each once; shown once."""

    recovery_codes: list[str]
