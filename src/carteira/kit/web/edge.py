"""The edge, which every request passes before its route: request id, log context, limits, metrics."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from carteira.kit.ops import metrics, tracing
from carteira.kit.ops.log import scrub
from carteira.kit.values.ids import uuid7
from carteira.kit.values.methods import known_method
from carteira.kit.web.client_address import TRACEPARENT
from carteira.kit.web.problems import (
    Answer,
    DatabaseDownProblem,
    PayloadTooLarge,
    Problem,
    RequestTimedOut,
    as_json,
    problem_of,
)

log = structlog.get_logger("carteira.http")

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_METHOD_NOT_ALLOWED = 405
_UNMATCHED = "unmatched"
_SECURITY_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
]
"""Headers for answers that set none of their own."""
_HSTS = (b"strict-transport-security", b"max-age=63072000")
"""Two years, for this host only: subdomains may be somebody else's."""


class _BodyTooLarge(HTTPException):
    """An HTTP exception, since FastAPI turns any other exception while reading a body into a 400."""

    def __init__(self) -> None:
        super().__init__(413)


def valid_request_id(scope: Scope) -> str | None:
    """Return the caller's `X-Request-ID` if it is a plain token without a CPF: logs and reports of errors keep it."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            given = str(value.decode("ascii"))
            return given if scrub(given) == given else None
    return None


def _content_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0


def _route(scope: Scope) -> str:
    """Name the route by its template, so that ids never become metric labels."""
    route = scope.get("route")
    return getattr(route, "path", None) or _UNMATCHED


def _counted(method: str, route: str, status: int) -> tuple[str, str, str]:
    """Return a request's labels; a method that its route lacks counts under no route, so that few series arise."""
    return known_method(method), _UNMATCHED if status == _METHOD_NOT_ALLOWED else route, str(status)


class Edge:
    """The outermost middleware.

    It answers 413 if a body exceeds the limit, 503 if a body does not arrive or a route does not begin to answer in
    time, and a plain 500 problem for an unhandled error, which it logs with its trace.
    """

    def __init__(  # noqa: PLR0913 - one parameter per setting
        self,
        app: ASGIApp,
        *,
        max_body_bytes: int,
        body_limits: Mapping[str, int],
        timeout_seconds: float,
        time_limits: Mapping[str, float] | None = None,
        https: bool = False,
        answer: Answer = as_json,
    ) -> None:
        self.app = app
        self._headers = [*_SECURITY_HEADERS, _HSTS] if https else _SECURITY_HEADERS
        self._answer = answer
        self.max_body_bytes = max_body_bytes
        self.body_limits = body_limits
        self.timeout_seconds = timeout_seconds
        self.time_limits = time_limits or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        made = uuid7()
        structlog.contextvars.clear_contextvars()
        request_id = valid_request_id(scope) or str(made)
        structlog.contextvars.bind_contextvars(request_id=request_id)
        with tracing.root("HTTP", "server", trace_id=made, parent=scope.get(TRACEPARENT)) as span:
            await self._answer_within(scope, receive, send, request_id, span)

    async def _answer_within(
        self, scope: Scope, receive: Receive, send: Send, request_id: str, span: tracing.AnySpan
    ) -> None:
        """Serve one request; count and log it."""
        began = time.perf_counter()
        status = 0
        head_seconds: float | None = None

        async def answer(message: Message) -> None:
            nonlocal status, head_seconds
            if message["type"] == "http.response.start":
                status = message["status"]
                head_seconds = time.perf_counter() - began
                present = {name for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    (b"x-request-id", request_id.encode()),
                    *(header for header in self._headers if header[0] not in present),
                ]
            await send(message)

        metrics.requests_under_way.up()
        try:
            problem = await self._serve(scope, receive, answer)
            if problem is not None and not status:
                await self._answer(Request(scope), problem)(scope, receive, answer)
        finally:
            metrics.requests_under_way.down()
            seconds = time.perf_counter() - began if head_seconds is None else head_seconds
            route = _route(scope)
            metrics.requests.add(_counted(scope["method"], route, status), seconds)
            log.info("request", method=scope["method"], route=route, status=status, ms=round(seconds * 1000, 1))
            if span is not None:
                tracing.of_http(span, scope["method"], route, status)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> Problem | None:
        """Run the app within the limits; return the problem to answer with if the app gave no answer."""
        limit = self._limit(scope["path"])
        if _content_length(scope) > limit:
            return PayloadTooLarge()
        seconds = self._seconds(scope["path"])
        try:
            async with asyncio.timeout(seconds) as deadline:

                async def answer(message: Message) -> None:
                    if deadline.expired():
                        await asyncio.Event().wait()  # a task of the app's that is not cancelled yet
                    if message["type"] == "http.response.start":
                        deadline.reschedule(None)  # a long download is not a slow route
                    await send(message)

                await self.app(scope, _limited(receive, limit), answer)
        except TimeoutError:
            log.warning("request timed out", seconds=seconds)
            return RequestTimedOut()
        except _BodyTooLarge:
            return PayloadTooLarge()
        except Exception as error:  # noqa: BLE001 - the outermost handler; `unhandled` logs it
            return unhandled(error)
        return None

    def _seconds(self, path: str) -> float:
        limits = (limit for prefix, limit in self.time_limits.items() if path.startswith(prefix))
        return max(next(limits, 0), self.timeout_seconds)

    def _limit(self, path: str) -> int:
        limits = (limit for prefix, limit in self.body_limits.items() if path.startswith(prefix))
        return next(limits, self.max_body_bytes)


def _limited(receive: Receive, limit: int) -> Receive:
    """Count the body's bytes as they arrive, since Content-Length may be missing or wrong."""
    taken = 0

    async def limited() -> Message:
        nonlocal taken
        message = await receive()
        if message["type"] == "http.request":
            taken += len(message.get("body", b""))
            if taken > limit:
                raise _BodyTooLarge
        return message

    return limited


def unhandled(error: Exception) -> Problem:
    """Log an unhandled error and return the problem to answer with."""
    problem = problem_of(error)
    if isinstance(problem, DatabaseDownProblem):
        log.warning("database unavailable", error=type(error).__name__)
    else:
        log.error("unhandled error", exc_info=error)
    return problem


def last_resort(answer: Answer = as_json) -> Callable[[Request, Exception], Awaitable[Response]]:
    """Return FastAPI's handler of unhandled errors; the edge sees the same error again and only counts it."""

    async def on_exception(request: Request, error: Exception) -> Response:
        return answer(request, problem_of(error))

    return on_exception
