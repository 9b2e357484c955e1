"""The authorizer over HTTP: a lean ASGI endpoint beside FastAPI, whose answer is always 200 and one of three bodies.

No exception leaves it: a request that cannot be decided gets `07`, counted by its reason. Requests are checked before
they join a batch.
"""

import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import orjson
import structlog
from fastapi import FastAPI
from joserfc import jwt
from joserfc.errors import BadSignatureError, JoseError
from joserfc.jwk import OctKey
from prometheus_client import Counter, Gauge, Histogram
from starlette.types import Receive, Scope, Send

from carteira import ledger
from carteira.benefits.authorizer.answers import Code, Reason
from carteira.benefits.authorizer.batch import find_accounts
from carteira.benefits.authorizer.decisions import record
from carteira.benefits.authorizer.request import (
    Malformed,
    parse_authorization,
    parse_external_id,
    parse_flag,
    parse_object,
)
from carteira.benefits.authorizer.reversals import (
    REVERSALS,
    Found,
    Reversals,
    TransactionState,
    parse_reversal,
    queries_total,
    reversals_total,
)
from carteira.benefits.authorizer.rules import Decision, refuse_malformed
from carteira.benefits.authorizer.strategies import STRATEGY
from carteira.benefits.authorizer.writer import AUTHORIZER
from carteira.kit.db.errors import DatabaseDown, is_connection_lost
from carteira.kit.ops import tracing
from carteira.kit.ops.metrics import Tally
from carteira.kit.ops.turns import Busy
from carteira.kit.values.ids import uuid7
from carteira.kit.web.edge import valid_request_id

PATH: Final = "/transactions/authorizer"
QUERY_PATH: Final = f"{PATH}/query"
REVERSAL_PATH: Final = f"{PATH}/reversal"
ROUTE: Final = f"POST {PATH}"
PATHS: Final = frozenset({PATH, QUERY_PATH, REVERSAL_PATH})
MAX_BODY_BYTES: Final = 16_384
MAX_TOKENS: Final = 1_024
_LAST_INSTANT: Final = 253_402_300_799
"""The last second of the year 9999, in Unix time."""

BODIES: Final = {code: b'{"code":"%s"}' % code.encode() for code in Code}
_UNAVAILABLE: Final = frozenset({Reason.UNAVAILABLE, Reason.OVERLOADED, Reason.INTERNAL_ERROR})
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

_tally = Tally(authorizations_total, authorization_seconds)

log = structlog.get_logger(__name__)


class ProcessorTokens:
    """The processor's bearer tokens: HS256 under one of `JWT_SECRET`'s values, `exp` required (rules.md, benefits).

    A verified token is cached until it expires, so that its signature is computed once.
    """

    def __init__(self, secrets: Sequence[str], *, most_seconds: int = 0) -> None:
        """Use these secrets, and a token's longest validity from its `iat` or else from now; 0: unlimited."""
        self._keys = [OctKey.import_key(secret) for secret in secrets]
        self._most_seconds = most_seconds
        self._registry = jwt.JWTClaimsRegistry(exp={"essential": True})
        self._expiries: OrderedDict[bytes, float] = OrderedDict()

    def expiry(self, authorization: bytes) -> float:
        """Return the Unix time until which an `Authorization` header is valid; 0 if it is invalid."""
        scheme, _, token = authorization.partition(b" ")
        if scheme.lower() != b"bearer":
            return 0.0
        token = token.strip()
        expires_at = self._expiries.get(token)
        if expires_at is None:
            expires_at = self._verify(token)
            if expires_at > 0:
                self._expiries[token] = expires_at
            if len(self._expiries) > MAX_TOKENS:
                self._expiries.popitem(last=False)
        return expires_at

    def _verify(self, token: bytes) -> float:
        for key in self._keys:
            try:
                decoded = jwt.decode(token, key, algorithms=["HS256"])
                self._registry.validate(decoded.claims)
            except BadSignatureError:
                continue
            except (JoseError, ValueError, TypeError, OverflowError):
                return 0.0
            return self._expiry(decoded.claims)
        return 0.0

    def _expiry(self, content: Mapping[str, Any]) -> float:
        if "aud" in content:
            return 0.0  # a token for another audience
        expires_at = content["exp"]
        if not expires_at <= _LAST_INSTANT:  # a date out of range, or not a number
            return 0.0
        if self._most_seconds and expires_at - content.get("iat", time.time()) > self._most_seconds:
            return 0.0
        return float(expires_at)


def observe(code: Code, reason: str, seconds: float) -> None:
    """Count an answer and the time it took."""
    _tally.add((code, reason), seconds)


def annotate(span: tracing.TraceSpan, code: Code, reason: str) -> None:
    """Add the answer and its reason to the trace."""
    span.attributes["http.route"] = PATH
    span.attributes["http.response.status_code"] = 200
    span.attributes["authorizer.code"] = code
    span.attributes["authorizer.reason"] = reason


def outcome_of(outcome: Decision | Exception) -> tuple[Code, str]:
    """Return the answer and the reason of a strategy's result."""
    if isinstance(outcome, Decision):
        return _CODES[outcome.code], outcome.reason
    if isinstance(outcome, Malformed):
        return Code.REFUSED, outcome.reason
    if isinstance(outcome, ledger.Overloaded | Busy):
        return Code.REFUSED, Reason.OVERLOADED
    if isinstance(outcome, ledger.AccountLocked):
        return Code.REFUSED, Reason.ACCOUNT_HELD_UP
    if isinstance(outcome, DatabaseDown) or is_connection_lost(outcome):
        log.warning("database unavailable to the authorizer", error=type(outcome.__cause__ or outcome).__name__)
        return Code.REFUSED, Reason.UNAVAILABLE
    log.error("authorizer failed", exc_info=outcome)
    return Code.REFUSED, Reason.INTERNAL_ERROR


class AuthorizerEndpoint:
    """`POST /transactions/authorizer?fallback=true|false`, and `/query` and `/reversal` below it.

    Every other path and method below it is `07` too.
    """

    def __init__(self, api: FastAPI, tokens: ProcessorTokens) -> None:
        self._api = api
        self.tokens = tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; its trace has the id of its decision."""
        made = uuid7()
        path = scope["path"] if scope["path"] in PATHS else "unmatched"
        with tracing.root(ROUTE, "server", trace_id=made) as span:
            if path == QUERY_PATH:
                body = await self._query(scope, receive)
            elif path == REVERSAL_PATH:
                body = await self._reverse(scope, receive)
            else:
                body = await self._authorize(scope, receive, made)
            if span is not None:
                tracing.of_http(span, scope["method"], path, 200)
        await self._send(scope, send, body, made)

    async def _send(self, scope: Scope, send: Send, body: bytes, made: UUID) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [
                    (b"content-type", b"application/json"),
                    (b"content-length", b"%d" % len(body)),
                    (b"x-request-id", (valid_request_id(scope) or str(made)).encode()),
                ],
            }
        )
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    async def _authorize(self, scope: Scope, receive: Receive, made: UUID) -> bytes:
        began = time.perf_counter()
        under_way.inc()
        try:
            code, reason = await self._answer(scope, receive, made)
        finally:
            under_way.dec()
        observe(code, reason, time.perf_counter() - began)
        if (span := tracing.current()) is not None:
            annotate(span, code, reason)
        return BODIES[code]

    async def _answer(self, scope: Scope, receive: Receive, made: UUID) -> tuple[Code, str]:
        """Return the answer and its reason; never raise."""
        try:
            return await self._admit(scope, receive, made)
        except Exception as error:  # noqa: BLE001 - the processor is always answered; `outcome_of` logs it
            return outcome_of(error)

    async def _admit(self, scope: Scope, receive: Receive, made: UUID) -> tuple[Code, str]:
        body = await self._body(scope, receive)
        try:
            request = parse_authorization(body, scope["query_string"], made)
        except Malformed as error:
            if error.account is not None:
                await self._record_refusal(error.account, error.reason)
            return Code.REFUSED, error.reason
        return outcome_of(await STRATEGY.of(self._api).decide(request))

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        """Read the body of a processor's request.

        Raises:
            Malformed: it is not from the processor, has another path or method, or is too large.
        """
        if self.tokens.expiry(_header(scope, b"authorization")) <= time.time():
            raise Malformed(Reason.NOT_AUTHENTICATED)
        if scope["path"] not in PATHS or scope["method"] != "POST":
            raise Malformed(Reason.UNKNOWN_OPERATION)
        body = await _read(receive)
        if body is None:
            raise Malformed(Reason.TOO_LARGE)
        return body

    async def _query(self, scope: Scope, receive: Receive) -> bytes:
        """Answer the state of a transaction id; never raise."""
        detailed = False
        try:
            detailed = parse_flag(scope["query_string"], "detail", Reason.MALFORMED, default=False)
            content = parse_object(await self._body(scope, receive))
            found = await self._reversals.query(parse_external_id(content))
        except Exception as error:  # noqa: BLE001 - the processor is always answered; `outcome_of` logs it
            _, why = outcome_of(error)
            state = TransactionState.UNAVAILABLE if why in _UNAVAILABLE else TransactionState.UNKNOWN
            found = Found(state, Code.REFUSED, reason=why)
        queries_total.labels(found.state).inc()
        return orjson.dumps(found.as_json()) if detailed else BODIES[found.code]

    async def _reverse(self, scope: Scope, receive: Receive) -> bytes:
        """Reverse a purchase, and answer; never raise."""
        outcome: tuple[Code, str]
        try:
            asked = parse_reversal(await self._body(scope, receive))
            outcome = await self._reversals.reverse(asked)
        except Exception as error:  # noqa: BLE001 - the processor is always answered; `outcome_of` logs it
            outcome = outcome_of(error)
        code, reason = outcome
        reversals_total.labels(code, reason).inc()
        return BODIES[code]

    @property
    def _reversals(self) -> Reversals:
        return REVERSALS.of(self._api)

    async def _record_refusal(self, account: str, reason: Reason) -> None:
        """Record the refusal of a request that names an account, so that its person can be notified."""
        async with AUTHORIZER.of(self._api).database.transaction() as tx:
            if known := await find_accounts(tx, [account]):
                decision = refuse_malformed(uuid7(), known[account], account, reason)
                await record(tx, [decision])


def _header(scope: Scope, name: bytes) -> bytes:
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return b""


async def _read(receive: Receive) -> bytes | None:
    """Return the body, or None once it is too large or the client has gone."""
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
