"""The API's version: `API-Version: YYYY-MM-DD` picks the newest that is not after it; every answer names the version.

Routes implement the newest, and ask `version_of` where that would break a client of an older one.
"""

from datetime import date

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from carteira.kit.web.problems import Problem

FIRST = date(2026, 11, 22)
PAID_RECHARGES = date(2026, 11, 27)
"""From this version on, a recharge that needs a payment answers 202 with its charge."""
VERSIONS = (FIRST, PAID_RECHARGES)
"""All versions, the oldest first."""
HEADER = "api-version"
_HEADER = HEADER.encode()
_VERSION = "carteira_api_version"


class UnknownVersion(Problem):
    """The `API-Version` header names no version."""

    status = 400
    code = "unknown_api_version"
    title = "Versão da API desconhecida"
    detail = "Envie API-Version como AAAA-MM-DD, a partir da primeira versão publicada."


def _picked(wanted: bytes | None) -> date | None:
    """Return the version that a header names, the newest without a header; None: the header is invalid."""
    if wanted is None:
        return VERSIONS[-1]
    try:
        asked = date.fromisoformat(wanted.decode("ascii"))
    except ValueError:
        return None
    return max((version for version in VERSIONS if version <= asked), default=None)


def version_of(request: Request) -> date:
    """Return the version that a request is to be answered in."""
    version: date = request.scope.get(_VERSION, VERSIONS[-1])
    return version


class Versions:
    """Middleware that refuses unknown versions and names the answering one."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        version = _picked(next((value for name, value in scope["headers"] if name == _HEADER), None))
        if version is None:
            await UnknownVersion().response()(scope, receive, send)
            return
        header = (_HEADER, version.isoformat().encode())

        async def name_version(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], header]
            await send(message)

        scope[_VERSION] = version
        await self.app(scope, receive, name_version)
