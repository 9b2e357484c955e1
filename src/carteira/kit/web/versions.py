"""The API's version: `API-Version: YYYY-MM-DD` picks the newest that is not after it; every answer names the version.

There is one so far. Rewriting for older clients comes with the first change that would break one.
"""

from datetime import date

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from carteira.kit.web.problems import Problem

VERSION = date(2026, 11, 22)
HEADER = "api-version"
_VERSION_HEADER = (HEADER.encode(), VERSION.isoformat().encode())


class UnknownVersion(Problem):
    """The `API-Version` header names no version."""

    status = 400
    code = "unknown_api_version"
    title = "Versão da API desconhecida"
    detail = "Envie API-Version como AAAA-MM-DD, a partir da primeira versão publicada."


def _is_known(value: bytes) -> bool:
    try:
        return date.fromisoformat(value.decode("ascii")) >= VERSION
    except ValueError:
        return False


class Versions:
    """Middleware that refuses a version that never was, and names the one that answers."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        wanted = next((value for name, value in scope["headers"] if name == _VERSION_HEADER[0]), None)
        if wanted is not None and not _is_known(wanted):
            await UnknownVersion().response()(scope, receive, send)
            return

        async def name_version(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], _VERSION_HEADER]
            await send(message)

        await self.app(scope, receive, name_version)
