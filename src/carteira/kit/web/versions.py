"""API versions by header: `API-Version: YYYY-MM-DD` picks one; without it, the newest.

Routes speak the newest version only. A change that would break a client is described once, as a `Change`: how a body
of the version before it becomes one of the version after it, and the answer the other way. A client that names an
older version has every later change applied to it; the others pay nothing.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from carteira.kit.web.problems import Problem

FIRST = date(2026, 11, 22)
HEADER = b"api-version"

Convert = Callable[[Any], Any]


class UnknownVersion(Problem):
    """The `API-Version` header names no version."""

    status = 400
    code = "unknown_api_version"
    title = "Versão da API desconhecida"
    detail = "Envie API-Version como AAAA-MM-DD, a partir da primeira versão publicada."


@dataclass(frozen=True)
class Change:
    """A breaking change of one operation's JSON, from the version before `version` to `version`."""

    version: date
    method: str
    path: re.Pattern[str]
    upgrade_request: Convert | None = None
    downgrade_response: Convert | None = None

    def concerns(self, scope: Scope, wanted: date) -> bool:
        """Tell whether a client on the wanted version needs this change undone for this request."""
        return wanted < self.version and scope["method"] == self.method and bool(self.path.fullmatch(scope["path"]))


CHANGES: Sequence[Change] = ()


def newest(changes: Sequence[Change] = CHANGES) -> date:
    """Tell the newest version."""
    return max([FIRST, *(change.version for change in changes)])


def parse(value: bytes, changes: Sequence[Change] = CHANGES) -> date:
    """Read the header's value into the newest version that is not after it.

    Raises:
        UnknownVersion: not a date, or before the first version.
    """
    try:
        wanted = date.fromisoformat(value.decode("ascii"))
    except ValueError as error:
        raise UnknownVersion from error
    if wanted < FIRST:
        raise UnknownVersion
    return max(known for known in [FIRST, *(change.version for change in changes)] if known <= wanted)


class Versions:
    """Middleware that speaks older versions with those who ask for them, and tells everyone which one it spoke."""

    def __init__(self, app: ASGIApp, changes: Sequence[Change] = CHANGES) -> None:
        self.app = app
        self.changes = sorted(changes, key=lambda change: change.version)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Convert the request up, the answer down, where a change concerns it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        value = next((value for name, value in scope["headers"] if name == HEADER), None)
        try:
            wanted = newest(self.changes) if value is None else parse(value, self.changes)
        except UnknownVersion as problem:
            await problem.response()(scope, receive, send)
            return

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                message.setdefault("headers", [])
                message["headers"] = [*message["headers"], (HEADER, wanted.isoformat().encode())]
            await send(message)

        changes = [change for change in self.changes if change.concerns(scope, wanted)]
        if not changes:
            await self.app(scope, receive, tell)
            return
        upgrades = [change.upgrade_request for change in changes if change.upgrade_request]
        downgrades = [change.downgrade_response for change in reversed(changes) if change.downgrade_response]
        await self.app(
            _without_length(scope) if upgrades else scope,
            _converted_request(receive, upgrades) if upgrades else receive,
            _converted_response(tell, downgrades) if downgrades else tell,
        )


def _without_length(scope: Scope) -> Scope:
    return {**scope, "headers": [(name, value) for name, value in scope["headers"] if name != b"content-length"]}


def _convert(body: bytes, conversions: Sequence[Convert]) -> bytes:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body
    for convert in conversions:
        content = convert(content)
    return orjson.dumps(content)


def _converted_request(receive: Receive, conversions: Sequence[Convert]) -> Receive:
    done = False

    async def converted() -> Message:
        nonlocal done
        if done:
            return await receive()
        body = b""
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return message
            body += message.get("body", b"")
            if not message.get("more_body", False):
                done = True
                return {"type": "http.request", "body": _convert(body, conversions), "more_body": False}

    return converted


def _converted_response(send: Send, conversions: Sequence[Convert]) -> Callable[[Message], Awaitable[None]]:
    start: Message = {}
    body = b""

    async def converted(message: Message) -> None:
        nonlocal start, body
        if message["type"] == "http.response.start":
            start = message
            return
        body += message.get("body", b"")
        if message.get("more_body", False):
            return
        content = _convert(body, conversions) if start["status"] < 300 else body  # noqa: PLR2004 - success only
        headers = [(name, value) for name, value in start["headers"] if name.lower() != b"content-length"]
        await send({**start, "headers": [*headers, (b"content-length", str(len(content)).encode())]})
        await send({"type": "http.response.body", "body": content})

    return converted
