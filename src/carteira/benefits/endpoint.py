"""The authorizer over HTTP: a lean ASGI endpoint beside FastAPI, whose answer is always 200 and one of three bodies.

Nothing raised below gets out: what cannot be decided is `07`, counted by its reason. Requests are checked before they
join a batch.
"""

import time
from collections import OrderedDict
from typing import Final

import structlog
from fastapi import FastAPI
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from prometheus_client import Counter, Gauge, Histogram
from starlette.types import Receive, Scope, Send

from carteira.benefits.authorization import (
    Code,
    Decision,
    Malformed,
    Reason,
    parse_authorization,
    refuse_malformed,
)
from carteira.benefits.authorizer import Authorizer, Overloaded, Strategy, find_accounts, record
from carteira.kit.edge import take_request_id
from carteira.kit.ids import uuid7
from carteira.kit.tx import DatabaseDown, is_connection_lost

PATH: Final = "/transactions/authorizer"
MAX_BODY_BYTES: Final = 16_384
MAX_TOKENS: Final = 1_024

_BODIES: Final = {code: b'{"code":"%s"}' % code.encode() for code in Code}
_CODES: Final = {code.value: code for code in Code}

authorizations_total = Counter(
    "carteira_authorizations", "Requests that the authorizer answered, by code and reason", ["code", "reason"]
)
authorization_seconds = Histogram(
    "carteira_authorization_seconds",
    "Time from a request's head to its answer",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.015, 0.025, 0.05, 0.075, 0.1, 0.25, 1, 5),
)
under_way = Gauge("carteira_authorizations_under_way", "Requests that wait for a decision", multiprocess_mode="livesum")

log = structlog.get_logger(__name__)


class ProcessorTokens:
    """The processor's bearer tokens: HS256 under `JWT_SECRET`, `exp` required (SPEC, benefits).

    A verified token is remembered until it expires, so that its signature is computed once.
    """

    def __init__(self, secret: str) -> None:
        self._key = OctKey.import_key(secret)
        self._registry = jwt.JWTClaimsRegistry(exp={"essential": True})
        self._expiries: OrderedDict[bytes, float] = OrderedDict()

    def accept(self, authorization: bytes) -> bool:
        """Tell whether an `Authorization` header holds a good token."""
        scheme, _, token = authorization.partition(b" ")
        if scheme.lower() != b"bearer":
            return False
        token = token.strip()
        expires_at = self._expiries.get(token)
        if expires_at is None:
            expires_at = self._verify(token)
            if expires_at is None:
                return False
            self._expiries[token] = expires_at
            if len(self._expiries) > MAX_TOKENS:
                self._expiries.popitem(last=False)
        return time.time() < expires_at

    def _verify(self, token: bytes) -> float | None:
        try:
            decoded = jwt.decode(token, self._key, algorithms=["HS256"])
            self._registry.validate(decoded.claims)
            if "aud" in decoded.claims:
                return None  # a token for somebody else, whoever signed it
            return float(decoded.claims["exp"])
        except (JoseError, ValueError, TypeError):
            return None


class AuthorizerEndpoint:
    """`POST /transactions/authorizer?fallback=true|false`; every other path and method below it is `07` too."""

    def __init__(self, api: FastAPI, tokens: ProcessorTokens) -> None:
        self._api = api
        self._tokens = tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        began = time.perf_counter()
        under_way.inc()
        try:
            decision = await self._answer(scope, receive)
        finally:
            under_way.dec()
        code, reason = decision if isinstance(decision, tuple) else (_CODES[decision.code], decision.reason)
        authorizations_total.labels(code.value, str(reason)).inc()
        authorization_seconds.observe(time.perf_counter() - began)
        body = _BODIES[code]
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [
                    (b"content-type", b"application/json"),
                    (b"content-length", b"13"),
                    (b"x-request-id", take_request_id(scope).encode()),
                ],
            }
        )
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    async def _answer(self, scope: Scope, receive: Receive) -> Decision | tuple[Code, Reason]:
        """Give the decision, or why there is none."""
        try:
            return await self._admit(scope, receive)
        except Overloaded:
            return Code.REFUSED, Reason.OVERLOADED
        except Exception as error:
            if isinstance(error, DatabaseDown) or is_connection_lost(error):
                return Code.REFUSED, Reason.UNAVAILABLE
            log.exception("authorizer failed")
            return Code.REFUSED, Reason.INTERNAL_ERROR

    async def _admit(self, scope: Scope, receive: Receive) -> Decision | tuple[Code, Reason]:
        if not self._tokens.accept(_header(scope, b"authorization")):
            return Code.REFUSED, Reason.NOT_AUTHENTICATED
        if scope["path"] != PATH or scope["method"] != "POST":
            return Code.REFUSED, Reason.UNKNOWN_OPERATION
        body = await _read(receive)
        if body is None:
            return Code.REFUSED, Reason.TOO_LARGE
        return await self._decide(body, scope["query_string"])

    async def _decide(self, body: bytes, query: bytes) -> Decision | tuple[Code, Reason]:
        try:
            request = parse_authorization(body, query, uuid7())
        except Malformed as error:
            if error.account is not None:
                await self._keep(error.account, error.reason)
            return Code.REFUSED, error.reason
        strategy: Strategy = self._api.state.authorizer_strategy
        return await strategy.authorize(request)

    async def _keep(self, account: str, reason: Reason) -> None:
        """Record the refusal of a request that named an account, so that its person can be told."""
        authorizer: Authorizer = self._api.state.authorizer
        async with authorizer.database.transaction() as tx:
            if known := await find_accounts(tx, [account]):
                decision = refuse_malformed(uuid7(), known[account].id, account, reason)
                await record(tx, [decision])


def _header(scope: Scope, name: bytes) -> bytes:
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return b""


async def _read(receive: Receive) -> bytes | None:
    """Read the body, or give None once it is too large or the client has gone."""
    body = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += bytes(message.get("body", b""))
        if len(body) > MAX_BODY_BYTES:
            return None
        if not message.get("more_body", False):
            return body
