"""Wire shapes of password recovery."""

from typing import Literal

from pydantic import BaseModel, Field

from carteira.identity.fields import NAMED_ONCE, Code, Named, NewPassword, Token
from carteira.kit.web.bodies import Body


class RecoveryIn(
    Named, json_schema_extra=NAMED_ONCE | {"examples": [{"email": "maria@exemplo.com.br", "channel": "email"}]}
):
    """The person that a code is asked for."""

    channel: Literal["email", "sms"] = Field(
        "email", description="Um SMS chega a quem tiver o número, também por um chip trocado: prefira o e-mail"
    )


class RecoveryVerifyIn(
    Named, json_schema_extra=NAMED_ONCE | {"examples": [{"email": "maria@exemplo.com.br", "code": "12345678"}]}
):
    """The received code."""

    code: Code


class ResetTokenOut(BaseModel):
    """The token that a right code is exchanged for."""

    reset_token: str


class ResetIn(Body):
    """The new password."""

    reset_token: Token
    new_password: NewPassword
