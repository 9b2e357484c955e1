"""Wire shapes of sign-in and of the second factor."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from carteira.identity.fields import Code, Token
from carteira.kit.web.bodies import Body


class ChallengeOut(BaseModel):
    """The second factor is wanted."""

    mfa_required: Literal[True] = True
    mfa_token: str


class MfaIn(Body):
    """The second factor."""

    mfa_token: Token
    code: Code


class EnrolmentOut(BaseModel):
    """What sets an authenticator up; shown once."""

    model_config = ConfigDict(from_attributes=True)

    secret: str
    otpauth_uri: str
    qr_svg: str


class CodeIn(Body):
    """A code."""

    code: Code


class RecoveryCodesOut(BaseModel):
    """Codes that stand in for the authenticator, each once; shown once."""

    recovery_codes: list[str]
