"""Traces: what one request did, down to the jobs that it caused, as spans sent to a collector.

While tracing is off, OpenTelemetry's SDK is not imported, and a span costs reading one variable. While it is on, each
request or job is sampled at its beginning; if it is not drawn, nothing below it makes a span. Attributes are constants
of the code, names and counts, never data from requests. ADR 0032 says why.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from contextvars import Context, ContextVar, Token, copy_context
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias
from uuid import UUID

from carteira.kit.values.ids import uuid7

if TYPE_CHECKING:
    from opentelemetry.trace import Span

AnySpan: TypeAlias = "Span | None"
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


class Tracer(Protocol):
    """Makes and sends spans; implemented by `kit.ops.otlp`."""

    def draws(self, trace_id: int) -> bool:
        """Return whether a trace id is sampled."""
        ...

    def admits(self, traceparent: str) -> bool | None:
        """Return whether a trace from elsewhere is continued here; None if the text names none."""
        ...

    def begin(
        self,
        name: str,
        kind: Kind,
        attributes: Attributes,
        *,
        trace_id: int | None = None,
        causes: "Sequence[Span | str]" = (),
    ) -> "Span":
        """Begin a span, a child of the first cause and linked with the others; without causes, the root of a trace."""
        ...

    def fail(self, span: "Span", kind: str) -> None:
        """Mark a span as failed, with the class of its error."""
        ...

    def traceparent(self, span: "Span") -> str:
        """Return a span's `traceparent` header."""
        ...

    def close(self) -> None:
        """Send the waiting spans, and end."""
        ...


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SERVER_ERROR = 500
_tracer: Tracer | None = None
_current: ContextVar["Span | None"] = ContextVar("span", default=None)
_NOTHING: "AbstractContextManager[Span | None]" = nullcontext(None)


@asynccontextmanager
async def running(config: TracingConfig | None) -> AsyncIterator[None]:
    """Trace for as long as the block lasts; without a configuration, do nothing."""
    global _tracer  # noqa: PLW0603 - one tracer per process
    if config is None:
        yield
        return
    from carteira.kit.ops.otlp import OtlpTracer  # noqa: PLC0415 - an extra, and slow to import

    before, _tracer = _tracer, (mine := OtlpTracer(config))
    try:
        yield
    finally:
        _tracer = before
        await asyncio.to_thread(mine.close)


def is_on() -> bool:
    """Return whether this process traces."""
    return _tracer is not None


def current() -> "Span | None":
    """Return the present span; None if nothing is traced."""
    return _current.get()


def root(
    name: str, kind: Kind, *, attributes: Attributes = NONE, trace_id: UUID | None = None, parent: str | None = None
) -> "AbstractContextManager[Span | None]":
    """Open this process's first span of a trace, if sampled: `parent`'s trace, or a new one.

    `trace_id` gives the trace the id of its subject (a decision, an entry), so that it can be found by it.
    """
    tracer = _tracer
    if tracer is None:
        return _NOTHING
    admitted = None if parent is None else tracer.admits(parent)
    if parent is not None and admitted is not None:
        if not admitted:
            return _NOTHING
        return OpenSpan(tracer.begin(name, kind, attributes, causes=(parent,)), kind)
    begun = begin(name, kind, trace_id, attributes)
    return _NOTHING if begun is None else OpenSpan(begun, kind)


def begin(name: str, kind: Kind, trace_id: UUID | None = None, attributes: Attributes = NONE) -> "Span | None":
    """Begin the root of a trace, if sampled; its caller ends it, and it is no current span."""
    if _tracer is None:
        return None
    number = (trace_id or uuid7()).int
    return _tracer.begin(name, kind, attributes, trace_id=number) if _tracer.draws(number) else None


def child(name: str, kind: Kind, attributes: Attributes = NONE) -> "Span | None":
    """Begin a child of the present span, if there is one; its caller ends it."""
    parent = _current.get()
    return None if parent is None or _tracer is None else _tracer.begin(name, kind, attributes, causes=(parent,))


def span(name: str, kind: Kind = "internal", attributes: Attributes = NONE) -> "AbstractContextManager[Span | None]":
    """Open a child of the present span, if there is one."""
    parent = _current.get()
    if parent is None or _tracer is None:
        return _NOTHING
    return OpenSpan(_tracer.begin(name, kind, attributes, causes=(parent,)), kind)


def together(
    name: str, causes: "Sequence[Span | str]", kind: Kind = "internal", attributes: Attributes = NONE
) -> "AbstractContextManager[Span | None]":
    """Open a span for several causes: in the trace of the first, linked with the others both ways."""
    if not causes or _tracer is None:
        return _NOTHING
    opened = _tracer.begin(name, kind, attributes, causes=causes)
    for cause in causes[1:]:
        if not isinstance(cause, str):
            cause.add_link(opened.get_span_context())
    return OpenSpan(opened, kind)


def apart() -> Context:
    """Return a copy of this context without its trace, for a task that goes on to serve others."""
    context = copy_context()
    context.run(_current.set, None)
    return context


def traceparent() -> str | None:
    """Return the `traceparent` for what is caused here: a job, an event, a call."""
    parent = _current.get()
    return None if parent is None or _tracer is None else _tracer.traceparent(parent)


def carried(row_id: UUID) -> str | None:
    """Return the `traceparent` of a trace that has its subject's id, if it was sampled."""
    if _tracer is None or not _tracer.draws(row_id.int):
        return None
    return f"00-{row_id.int:032x}-{row_id.int & (1 << 64) - 1:016x}-01"


def ids() -> tuple[str, str] | None:
    """Return the ids of the present trace and span, as text."""
    parent = _current.get()
    if parent is None:
        return None
    context = parent.get_span_context()
    return format(context.trace_id, "032x"), format(context.span_id, "016x")


class OpenSpan:
    """A span around a block: current in it, ended after it, with the class of the error if it raised."""

    __slots__ = ("_kind", "_span", "_token")

    def __init__(self, opened: "Span", kind: Kind) -> None:
        self._span = opened
        self._kind = kind
        self._token: Token[Span | None] | None = None

    def __enter__(self) -> "Span":
        self._token = _current.set(self._span)
        return self._span

    def __exit__(self, error: type[BaseException] | None, *_error: object) -> None:
        assert self._token is not None, "entered"
        _current.reset(self._token)
        end(self._span, error, fails=self._kind != "internal")


def end(ended: "Span", error: type[BaseException] | None = None, *, fails: bool = True) -> None:
    """End a span, with the class of the error if there was one.

    A refusal that a verb raises is an answer: the request's own span decides whether that is a failure (`fails`).
    """
    if error is not None:
        ended.set_attribute("error.type", error.__qualname__)
        if fails and _tracer is not None and issubclass(error, Exception):
            _tracer.fail(ended, error.__qualname__)
    ended.end()


def of_http(served: "Span", method: str, route: str, status: int) -> None:
    """Add a request's attributes to its span: its route's template, since a path holds ids and a query anything."""
    known = method if method in _METHODS else "HTTP"
    served.update_name(f"{known} {route}")
    served.set_attribute("http.request.method", method if method in _METHODS else "_OTHER")
    served.set_attribute("http.route", route)
    served.set_attribute("http.response.status_code", status)
    if (status >= _SERVER_ERROR or not status) and _tracer is not None:
        served.set_attribute("error.type", str(status))
        _tracer.fail(served, str(status))


def name_of(function: object) -> str:
    """Return the name of a verb's span: its module and name, without the package."""
    module, name = getattr(function, "__module__", ""), getattr(function, "__qualname__", type(function).__qualname__)
    return f"{module.removeprefix('carteira.')}.{name}"
