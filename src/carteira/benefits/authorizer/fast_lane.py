"""The fast lane: plain authorizations answered straight from the connection, without an ASGI scope or a task.

It accepts a request only if it arrives in one read, with a plain head and a valid token; anything unusual, including a
body that does not parse, is left to the endpoint, which answers everything. Heads are cached, since a processor repeats
the same one. Only the queue strategy has a lane: it needs no task for each request.
"""

import asyncio
import re
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from carteira import ledger
from carteira.benefits.authorizer.answers import Code, Reason
from carteira.benefits.authorizer.asgi import (
    BODIES,
    MAX_BODY_BYTES,
    PATH,
    ROUTE,
    ProcessorTokens,
    annotate,
    observe,
    outcome_of,
)
from carteira.benefits.authorizer.request import Authorization, Malformed, parse_authorization
from carteira.benefits.authorizer.rules import Decision
from carteira.kit.ops import tracing
from carteira.kit.values.ids import uuid7

Respond = Callable[[bytes], None]
"""Writes a whole HTTP answer to the connection."""

START: Final = f"POST {PATH}".encode()
_REQUEST_LINE = re.compile(rb"POST " + PATH.encode() + rb"(?:\?([A-Za-z0-9=&_.~-]*))? HTTP/1\.1")
_HEADER = re.compile(rb"([A-Za-z0-9-]+):[ \t]*([\x20-\x7e]*)")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_UNUSUAL = frozenset({b"transfer-encoding", b"expect", b"upgrade", b"te", b"trailer", b"content-encoding"})
_MAX_LINES = 100
_LENGTH_DIGITS = 5
"""Python refuses to parse numbers with thousands of digits, for which a head has room."""
_MAX_HEADS, _MAX_REMEMBERED = 1_024, 4_096
"""Most cached heads, and most bytes of one."""
TURNED_AWAY_AT_ONCE = 128
"""Rejections sent per iteration of the event loop; more would starve the writer."""
_ANSWERS = {
    code: (
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 13\r\nx-request-id: ",
        b"\r\n\r\n" + body,
    )
    for code, body in BODIES.items()
}
_REFUSED = _ANSWERS[Code.REFUSED]


@dataclass(frozen=True, slots=True)
class _Head:
    """A parsed head: body length in bytes, query, the token's expiry, the caller's request id."""

    length: int
    query: bytes
    expires_at: float
    request_id: bytes | None


class FastLane:
    """Answers plain authorizations; returns False for requests that it leaves to the endpoint."""

    def __init__(self, queue: ledger.Queue[Authorization, Decision], tokens: ProcessorTokens) -> None:
        self._queue = queue
        self._tokens = tokens
        self._heads: OrderedDict[bytes, _Head] = OrderedDict()
        self._name = uuid7().hex.encode()
        self._turned_away = 0
        self._at_once = TURNED_AWAY_AT_ONCE
        self._over_capacity: deque[tuple[bytes | None, Respond, float]] = deque()

    def __call__(self, data: bytes, respond: Respond) -> bool:
        """Accept a plain request whose body parses; call `respond` once, now or later."""
        head_text, _, body = data.partition(b"\r\n\r\n")
        head = self._heads.get(head_text) or self._read(head_text)
        if head is None or head.length != len(body) or head.expires_at <= time.time():
            return False
        now = time.perf_counter()
        if not self._queue.has_room(now):
            self.reject(head.request_id, respond, now)
            return True
        try:
            request = parse_authorization(body, head.query, uuid7())
        except Malformed:
            return False
        span = tracing.begin(ROUTE, "server", request.id)
        self._queue.join(_Asked(self, request, head.request_id, respond, now, span))
        return True

    def reject(self, request_id: bytes | None, respond: Respond, since: float) -> None:
        """Reject a request, at once if there were few: beyond capacity every microsecond counts."""
        if self._at_once > 0:
            self._at_once -= 1
            self._refuse(request_id, respond, since)
            return
        if not self._over_capacity:
            asyncio.get_running_loop().call_soon(self._refuse_some)
        self._over_capacity.append((request_id, respond, since))

    def _refuse_some(self) -> None:
        """Send some of the pending rejections: a flood of them must not starve the writer."""
        waiting = self._over_capacity
        try:
            for _ in range(min(len(waiting), TURNED_AWAY_AT_ONCE)):
                self._refuse(*waiting.popleft())
        finally:
            if waiting:
                asyncio.get_running_loop().call_soon(self._refuse_some)
            else:
                self._at_once = TURNED_AWAY_AT_ONCE

    def _refuse(self, request_id: bytes | None, respond: Respond, since: float) -> None:
        if request_id is None:
            self._turned_away += 1
            request_id = b"%s-%x" % (self._name, self._turned_away)
        observe(Code.REFUSED, Reason.OVERLOADED, time.perf_counter() - since)
        respond(_REFUSED[0] + request_id + _REFUSED[1])

    def _read(self, text: bytes) -> _Head | None:
        """Parse a head; None if anything in it is unusual or its token is invalid."""
        first, *lines = text.split(b"\r\n")
        line = _REQUEST_LINE.fullmatch(first)
        fields = [_HEADER.fullmatch(line) for line in lines]
        headers = {field[1].lower(): field[2].strip() for field in fields if field}
        length = headers.get(b"content-length", b"")
        request_id = headers.get(b"x-request-id")
        if (
            line is None
            or len(lines) >= _MAX_LINES
            or len(headers) != len(lines)
            or not _UNUSUAL.isdisjoint(headers)
            or headers.get(b"connection", b"keep-alive").lower() != b"keep-alive"
            or not (length.isdigit() and len(length) <= _LENGTH_DIGITS)
            or not 0 < int(length) <= MAX_BODY_BYTES
            or (request_id is not None and not _REQUEST_ID.fullmatch(request_id))
        ):
            return None
        expires_at = self._tokens.expiry(headers.get(b"authorization", b""))
        head = _Head(int(length), line[1] or b"", expires_at, request_id)
        if request_id is None and expires_at > 0 and len(text) <= _MAX_REMEMBERED:
            self._heads[text] = head
            if len(self._heads) > _MAX_HEADS:
                self._heads.popitem(last=False)
        return head


class _Asked:
    """A queued request, whose connection waits."""

    __slots__ = ("_lane", "_request_id", "_respond", "request", "since", "span")

    def __init__(  # noqa: PLR0913, PLR0917 - made in one place, thousands of times a second
        self,
        lane: FastLane,
        request: Authorization,
        request_id: bytes | None,
        respond: Respond,
        since: float,
        span: tracing.AnySpan,
    ) -> None:
        self._lane = lane
        self.request = request
        self._request_id = request_id
        self._respond = respond
        self.since = since
        self.span = span

    def done(self, outcome: Decision | Exception) -> None:
        if self.span is not None:
            annotate(self.span, *(outcome_of(outcome) if isinstance(outcome, Decision) else (Code.REFUSED, "")))
            self.span.end()
        if type(outcome) is ledger.Overloaded:
            self._lane.reject(self._request_id, self._respond, self.since)
            return
        code, reason = outcome_of(outcome)
        observe(code, reason, time.perf_counter() - self.since)
        start, end = _ANSWERS[code]
        self._respond(start + (self._request_id or str(self.request.id).encode()) + end)
