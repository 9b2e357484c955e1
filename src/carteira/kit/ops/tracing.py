"""Traces: what one request did, down to the jobs that it caused, as spans sent to a collector.

While tracing is off, OpenTelemetry's SDK is not imported, and a span costs reading one variable. While it is on, each
request or job is sampled at its beginning; if it is not drawn, nothing below it makes a span. Spans are plain objects
here, a tenth of the SDK's cost, and become the SDK's when they are sent (`kit.ops.otlp`). Attributes are constants of
the code, names and counts, never data from requests. ADR 0032 says why.
"""

import asyncio
import gc
import random
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from contextvars import Context, ContextVar, Token, copy_context
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, NamedTuple, Protocol, TypeAlias
from uuid import UUID

from carteira.kit.values.ids import uuid7
from carteira.kit.values.methods import OTHER_METHOD, known_method

AnySpan: TypeAlias = "TraceSpan | None"
"""A span, or None where nothing is traced."""
Kind = Literal["server", "client", "internal", "consumer"]
Attributes = Mapping[str, str | int | float | bool]
NONE: Attributes = MappingProxyType({})
SAMPLED_BITS = (1 << 56) - 1
"""The bits of a trace id that decide sampling; they are random in UUIDv7 and in OpenTelemetry's ids."""


@dataclass(frozen=True)
class TracingConfig:
    """The exporter, the service's name, and the sampling ratio.

    Attributes:
        endpoint: The collector's address; for HTTP with its path.
        protocol: OTLP over HTTP or gRPC.
        headers: Headers of each export, a token for example.
        ratio: The share of traces beginning here that are sampled, 0 to 1.
        heeds_parent: Whether a trusted caller's `traceparent` decides on sampling.
        resource: OpenTelemetry's attributes of the service.
    """

    endpoint: str
    protocol: Literal["grpc", "http/protobuf"] = "http/protobuf"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    ratio: float = 1.0
    heeds_parent: bool = True
    resource: Mapping[str, str] = field(default_factory=dict)


class SpanId(NamedTuple):
    """The ids of a span and of its trace."""

    trace: int
    span: int
    is_remote: bool = False


class Sink(Protocol):
    """Takes ended spans and sends them; implemented by `kit.ops.otlp`."""

    def take(self, span: "TraceSpan") -> None:
        """Take an ended span; neither wait nor raise."""
        ...

    def close(self) -> None:
        """Send the waiting spans, and end."""
        ...


class TraceSpan:
    """A span of a sampled trace; the code that began it ends it, once."""

    __slots__ = ("attributes", "ended_at", "events", "failed", "id", "kind", "links", "name", "parent", "started_at")

    def __init__(self, name: str, kind: Kind, attributes: Attributes, own: SpanId, parent: SpanId | None) -> None:
        self.name = name
        self.kind = kind
        self.attributes = dict(attributes)
        self.id = own
        self.parent = parent
        self.links: list[SpanId] = []
        self.events: list[tuple[str, Attributes, int]] = []
        """Names, attributes and times in nanoseconds."""
        self.failed: str | None = None
        """The class of the error that it failed with."""
        self.started_at = time.time_ns()
        self.ended_at = 0

    def add_event(self, name: str, attributes: Attributes) -> None:
        """Add an event."""
        self.events.append((name, attributes, time.time_ns()))

    def end(self) -> None:
        """End it, and have it sent."""
        self.ended_at = time.time_ns()
        if _on is not None:
            _on.sink.take(self)


@dataclass(frozen=True, slots=True)
class _On:
    sink: Sink
    heeds_parent: bool


_SERVER_ERROR = 500
_SPAN_BITS = (1 << 64) - 1
_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_on: _On | None = None
_bound = 0
"""A trace is sampled if the `SAMPLED_BITS` of its id are below this; an unsampled trace costs this comparison only."""
_current: ContextVar["TraceSpan | None"] = ContextVar("span", default=None)
_NOTHING: "AbstractContextManager[TraceSpan | None]" = nullcontext(None)


@asynccontextmanager
async def running(config: TracingConfig | None) -> AsyncIterator[None]:
    """Trace for as long as the block lasts; without a configuration, do nothing."""
    global _on, _bound
    if config is None:
        yield
        return
    from carteira.kit.ops.otlp import OtlpSink  # noqa: PLC0415 - an extra, and slow to import

    before, sink = (_on, _bound), OtlpSink(config)
    gc.freeze()  # the imported objects stay, too
    _on, _bound = _On(sink, config.heeds_parent), int(config.ratio * (SAMPLED_BITS + 1))
    try:
        yield
    finally:
        _on, _bound = before
        await asyncio.to_thread(sink.close)


def is_on() -> bool:
    """Return whether this process traces."""
    return _on is not None


def current() -> "TraceSpan | None":
    """Return the present span; None if nothing is traced."""
    return _current.get()


def root(
    name: str, kind: Kind, *, attributes: Attributes = NONE, trace_id: UUID | None = None, parent: str | None = None
) -> "AbstractContextManager[TraceSpan | None]":
    """Open this process's first span of a trace, if sampled: `parent`'s trace, or a new one.

    `trace_id` gives the trace the id of its subject (a decision, an entry), so that it can be found by it.
    """
    if _on is None:
        return _NOTHING
    found = None if parent is None else _read(parent)
    if found is not None:
        within, said = found
        sampled = said if _on.heeds_parent else _draws(within.trace)
        return OpenSpan(_within(name, kind, attributes, within)) if sampled else _NOTHING
    begun = begin(name, kind, trace_id, attributes)
    return _NOTHING if begun is None else OpenSpan(begun)


def begin(name: str, kind: Kind, trace_id: UUID | None = None, attributes: Attributes = NONE) -> "TraceSpan | None":
    """Begin the root of a trace, if sampled; the caller ends it, and it does not become the current span.

    An unsampled one costs almost nothing, since 99 of 100 requests are unsampled.
    """
    if not _bound:
        return None
    number = (trace_id or uuid7()).int
    if number & SAMPLED_BITS >= _bound:
        return None
    return TraceSpan(name, kind, attributes, SpanId(number, number & _SPAN_BITS or 1), None)


def child(name: str, kind: Kind, attributes: Attributes = NONE) -> "TraceSpan | None":
    """Begin a child of the present span, if there is one; its caller ends it."""
    parent = _current.get()
    return None if parent is None else _within(name, kind, attributes, parent.id)


def span(
    name: str, kind: Kind = "internal", attributes: Attributes = NONE
) -> "AbstractContextManager[TraceSpan | None]":
    """Open a child of the present span, if there is one."""
    parent = _current.get()
    return _NOTHING if parent is None else OpenSpan(_within(name, kind, attributes, parent.id))


def together(
    name: str, causes: "Sequence[TraceSpan | str]", kind: Kind = "internal", attributes: Attributes = NONE
) -> "AbstractContextManager[TraceSpan | None]":
    """Open a span for several causes: in the trace of the first, linked with the others both ways."""
    if not causes or _on is None:
        return _NOTHING
    ids = [found for cause in causes if (found := _id_of(cause)) is not None]
    if not ids:
        return _NOTHING
    opened = _within(name, kind, attributes, ids[0])
    opened.links += ids[1:]
    for cause in causes[1:]:
        if isinstance(cause, TraceSpan):
            cause.links.append(opened.id)
    return OpenSpan(opened)


def _id_of(cause: TraceSpan | str) -> SpanId | None:
    if isinstance(cause, TraceSpan):
        return cause.id
    found = _read(cause)
    return None if found is None else found[0]


def _within(name: str, kind: Kind, attributes: Attributes, parent: SpanId) -> TraceSpan:
    return TraceSpan(name, kind, attributes, SpanId(parent.trace, random.getrandbits(64) or 1), parent)


def _draws(trace_id: int) -> bool:
    """Return whether a trace id is sampled; all processes with one ratio agree."""
    return trace_id & SAMPLED_BITS < _bound


def _read(traceparent: str) -> tuple[SpanId, bool] | None:
    """Parse a `traceparent` (W3C Trace Context); return its span and whether it is sampled; None if it is invalid."""
    found = _TRACEPARENT.fullmatch(traceparent)
    if found is None:
        return None
    trace_id, span_id, flags = (int(part, 16) for part in found.groups())
    return (SpanId(trace_id, span_id, is_remote=True), flags & 1 == 1) if trace_id and span_id else None


def apart() -> Context:
    """Return a copy of this context without its trace, for a task that then serves other requests."""
    context = copy_context()
    context.run(_current.set, None)
    return context


def traceparent() -> str | None:
    """Return the `traceparent` for what is caused here: a job, an event, a call."""
    parent = _current.get()
    return None if parent is None else _written(parent.id)


def carried(row_id: UUID) -> str | None:
    """Return the `traceparent` of a trace that has its subject's id, if it was sampled."""
    number = row_id.int
    return _written(SpanId(number, number & _SPAN_BITS or 1)) if _draws(number) else None


def _written(own: SpanId) -> str:
    return f"00-{own.trace:032x}-{own.span:016x}-01"


def ids() -> tuple[str, str] | None:
    """Return the ids of the present trace and span, as text."""
    parent = _current.get()
    return None if parent is None else (f"{parent.id.trace:032x}", f"{parent.id.span:016x}")


class OpenSpan:
    """A span around a block: current in it, ended after it, with the class of the error if it raised."""

    __slots__ = ("_span", "_token")

    def __init__(self, opened: TraceSpan) -> None:
        self._span = opened
        self._token: Token[TraceSpan | None] | None = None

    def __enter__(self) -> TraceSpan:
        self._token = _current.set(self._span)
        return self._span

    def __exit__(self, error: type[BaseException] | None, *_error: object) -> None:
        assert self._token is not None, "entered"
        _current.reset(self._token)
        end(self._span, error)


def end(ended: TraceSpan, error: type[BaseException] | None = None) -> None:
    """End a span, with the class of the error if there was one.

    A refusal that a verb raises is an answer: the request's own span decides whether that is a failure.
    """
    if error is not None:
        ended.attributes["error.type"] = error.__qualname__
        if ended.kind != "internal" and issubclass(error, Exception):
            ended.failed = error.__qualname__
    ended.end()


def of_http(served: TraceSpan, method: str, route: str, status: int) -> None:
    """Add a request's attributes to its span: its route's template, since a path holds ids and a query anything."""
    method = known_method(method)
    served.name = f"{'HTTP' if method == OTHER_METHOD else method} {route}"
    served.attributes["http.request.method"] = method
    served.attributes["http.route"] = route
    served.attributes["http.response.status_code"] = status
    if status >= _SERVER_ERROR or not status:
        served.attributes["error.type"] = served.failed = str(status)


def name_of(function: object) -> str:
    """Return the name of a verb's span: its module and name, without the package."""
    module, name = getattr(function, "__module__", ""), getattr(function, "__qualname__", type(function).__qualname__)
    return f"{module.removeprefix('carteira.')}.{name}"
