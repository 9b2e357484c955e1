"""Calls to external services: time-outs per step and in all, answers of bounded size, no redirects.

No call belongs inside a transaction: a verb that calls out opens short transactions before and after.
"""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import httpx
import orjson
import structlog

from carteira.kit.ops import tracing

STEP_SECONDS = 5.0
WHOLE_SECONDS = 10.0
MAX_BYTES = 1_048_576
_SERVER_ERROR = 500

log = structlog.get_logger(__name__)


class ServiceDown(Exception):
    """A service is unreachable or too slow, or its answer is unusable."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A service's answer."""

    status: int
    body: bytes

    @property
    def ok(self) -> bool:
        """Whether it is a 2xx."""
        return 200 <= self.status < 300  # noqa: PLR2004 - HTTP's own numbers

    def object(self) -> dict[str, Any]:
        """Return the body as a JSON object.

        Raises:
            ServiceDown: it is not one; such a service is broken.
        """
        try:
            content = orjson.loads(self.body)
        except orjson.JSONDecodeError as error:
            raise ServiceDown from error
        if not isinstance(content, dict):
            raise ServiceDown
        return content

    def objects(self) -> list[dict[str, Any]]:
        """Return the body as a JSON list of objects.

        Raises:
            ServiceDown: it is not one.
        """
        try:
            content = orjson.loads(self.body)
        except orjson.JSONDecodeError as error:
            raise ServiceDown from error
        if not isinstance(content, list) or not all(isinstance(item, dict) for item in content):
            raise ServiceDown
        return content


@cache
def _authorities(*, trust_env: bool) -> ssl.SSLContext:
    """Read the certificates of authorities once for the process: a client that reads its own takes milliseconds.

    With `trust_env` they may be those of `SSL_CERT_FILE` and `SSL_CERT_DIR`, as httpx has it.
    """
    return httpx.create_ssl_context(trust_env=trust_env)


class TracedClient(httpx.AsyncClient):
    """A client whose requests are spans of the present trace, and carry it to the service.

    A span holds the host, never the path or the content; it ends with the answer's head.
    """

    def __init__(self, *, verify: ssl.SSLContext | None = None, trust_env: bool = True, **options: Any) -> None:  # noqa: ANN401 - as httpx's
        """Make a client with the TLS context `verify`, or one that trusts the system's authorities."""
        super().__init__(verify=verify or _authorities(trust_env=trust_env), trust_env=trust_env, **options)

    async def send(self, request: httpx.Request, **options: Any) -> httpx.Response:  # noqa: ANN401 - as httpx's
        """Send a request."""
        with tracing.span(request.method, "client", {"server.address": request.url.host}) as span:
            if span is not None:
                request.headers["traceparent"] = tracing.traceparent() or ""
            response = await super().send(request, **options)
            if span is not None:
                span.attributes["http.response.status_code"] = response.status_code
            return response


class Http:
    """A client for one process, opened and closed with it. Logs name the host, never the path or the content."""

    def __init__(
        self, *, step_seconds: float = STEP_SECONDS, whole_seconds: float = WHOLE_SECONDS, max_bytes: int = MAX_BYTES
    ) -> None:
        self._client = TracedClient(timeout=step_seconds, follow_redirects=False, trust_env=True)
        self._whole_seconds = whole_seconds
        self._max_bytes = max_bytes

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def get(
        self, url: str, *, params: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Fetch; see `_send`."""
        return await self._send("GET", url, params=params, headers=headers)

    async def post_form(self, url: str, form: Mapping[str, str], *, headers: Mapping[str, str] | None = None) -> Answer:
        """Post a form; see `_send`."""
        return await self._send("POST", url, data=form, headers=headers)

    async def _send(self, method: str, url: str, **content: Any) -> Answer:  # noqa: ANN401 - httpx's own arguments
        """Return the answer, whatever its status below 500.

        Raises:
            ServiceDown: the service is unreachable or too slow, its answer is too long, or it answers 5xx.
        """
        host = None
        try:
            host = httpx.URL(url).host
            async with (
                asyncio.timeout(self._whole_seconds),
                self._client.stream(method, url, **content) as response,
            ):
                body = bytearray()
                async for part in response.aiter_bytes():
                    body += part
                    if len(body) > self._max_bytes:
                        log.warning("service answer too large", host=host)
                        raise ServiceDown
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError) as error:
            log.warning("service unavailable", host=host, error=type(error).__name__)
            raise ServiceDown from error
        if response.status_code >= _SERVER_ERROR:
            log.warning("service unavailable", host=host, status=response.status_code)
            raise ServiceDown
        return Answer(response.status_code, bytes(body))
