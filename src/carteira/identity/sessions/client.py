"""Where a request comes from: device, address, and the cookie by which a known device is known."""

from typing import Annotated

from fastapi import Depends, Request, Response

from carteira.identity.config import ACCESS_SECONDS, DEVICE_DAYS
from carteira.identity.runtime import Runtime
from carteira.identity.sessions.schemas import TokensOut
from carteira.identity.sessions.service import Client, Tokens

COOKIE = "carteira_device"
_DEVICE_LENGTH = 200
_TOKEN_LENGTH = 100


def _client(request: Request) -> Client:
    agent = "".join(character for character in request.headers.get("user-agent", "") if character.isprintable())
    token = request.cookies.get(COOKIE, "")
    return Client(
        device=agent[:_DEVICE_LENGTH],
        address=request.client.host if request.client else "",
        device_token=token if 0 < len(token) <= _TOKEN_LENGTH else None,
    )


ClientDep = Annotated[Client, Depends(_client)]
"""A route parameter: the client."""


def answer_tokens(runtime: Runtime, response: Response, tokens: Tokens) -> TokensOut:
    """Shape a session's tokens and give the device its secret: what every way of signing in answers with."""
    if tokens.device_token is not None:
        response.set_cookie(
            COOKIE,
            tokens.device_token,
            max_age=DEVICE_DAYS * 86_400,
            path="/auth",
            secure=not runtime.config.development,
            httponly=True,
            samesite="lax",
        )
    return TokensOut(
        access_token=tokens.access_token,
        expires_in=ACCESS_SECONDS,
        refresh_token=tokens.refresh_token,
        user_id=tokens.user_id,
        password_change_required=True if tokens.must_change_password else None,
    )
