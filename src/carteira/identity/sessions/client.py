"""A request's origin: device, address, and the cookie of a known device."""

from typing import Annotated

from fastapi import Depends, Request, Response

from carteira.identity.config import ACCESS_SECONDS, DEVICE_DAYS
from carteira.identity.runtime import IdentityDep, Runtime
from carteira.identity.sessions.schemas import TokensOut
from carteira.identity.sessions.service import Client, Tokens
from carteira.kit.web.client_address import client_address
from carteira.kit.web.cookies import HostCookie

COOKIE = HostCookie("carteira_device", "/", DEVICE_DAYS * 86_400)
_DEVICE_LENGTH = 200
_TOKEN_LENGTH = 100


async def _client(request: Request, runtime: IdentityDep) -> Client:
    agent = "".join(character for character in request.headers.get("user-agent", "") if character.isprintable())
    https = runtime.config.https
    # A device from before the address was https keeps its plain cookie.
    token = COOKIE.read(request, https=https) or COOKIE.read(request, https=False)
    return Client(
        device=agent[:_DEVICE_LENGTH],
        address=client_address(request),
        device_token=token if 0 < len(token) <= _TOKEN_LENGTH else None,
    )


ClientDep = Annotated[Client, Depends(_client)]
"""A route parameter: the client."""


def remember_device(runtime: Runtime, response: Response, tokens: Tokens) -> None:
    """Set the device's secret as a cookie, unless it has one."""
    if tokens.device_token is not None:
        COOKIE.set(response, tokens.device_token, https=runtime.config.https)


def answer_tokens(runtime: Runtime, response: Response, tokens: Tokens) -> TokensOut:
    """Return a session's tokens and set the device's cookie: the answer of every way of signing in."""
    remember_device(runtime, response, tokens)
    return TokensOut(
        access_token=tokens.access_token,
        expires_in=ACCESS_SECONDS,
        refresh_token=tokens.refresh_token,
        user_id=tokens.user_id,
        password_change_required=True if tokens.must_change_password else None,
    )
