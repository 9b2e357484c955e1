"""Traces: what one request did, from its head to the job that it caused, as spans that a collector is sent.

Off, nothing of OpenTelemetry's SDK is imported, and a span is a look at a variable. On, whatever begins (a request, a
job) is drawn first: if it is not among the sampled, nothing below it makes a span either. Attributes are constants of
the code, names and counts: never what somebody sent. ADR 0032 says why it is so.
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
"""Of a trace's id, those by which it is drawn: random in a UUIDv7 as in an id of OpenTelemetry's own."""


@dataclass(frozen=True)
class TracingConfig:
    """Where traces go, whose they are, and how many.

    Attributes:
        endpoint: The collector's address; over HTTP the whole one, with its path.
        protocol: OTLP over HTTP or gRPC.
        headers: What each export says beside, a token for example.
        ratio: How many of what begins here are traced, 0 to 1.
        heeds_parent: Whether who calls decides, where a trusted caller's `traceparent` came.
        resource: What OpenTelemetry tells of the service, by attribute.
    """

    endpoint: str
    protocol: Literal["grpc", "http/protobuf"] = "http/protobuf"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    ratio: float = 1.0
    heeds_parent: bool = True
    resource: Mapping[str, str] = field(default_factory=dict)


class Tracer(Protocol):
    """What makes spans and sends them: `kit.ops.otlp`."""

    def draws(self, trace_id: int) -> bool:
        """Return whether a trace of this id is among the sampled."""
        ...

    def admits(self, traceparent: str) -> bool | None:
        """Return whether a trace that began elsewhere goes on here; None if the text names none."""
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
        """Say that a span failed, by the kind of its error."""
        ...

    def traceparent(self, span: "Span") -> str:
        """Return what carries a span to another process."""
        ...

    def close(self) -> None:
        """Send what is waiting, and end."""
        ...


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SERVER_ERROR = 500
_tracer: Tracer | None = None
_current: ContextVar["Span | None"] = ContextVar("span", default=None)
_NOTHING: "AbstractContextManager[Span | None]" = nullcontext(None)


@asynccontextmanager
async def running(config: TracingConfig | None) -> AsyncIterator[None]:
    """Trace for as long as the block lasts; without a configuration, do nothing."""
    global _tracer  # noqa: PLW0603 - one a process, as its log is
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
    """Return the span that goes on here; None if nothing is traced."""
    return _current.get()


def root(
    name: str, kind: Kind, *, attributes: Attributes = NONE, trace_id: UUID | None = None, parent: str | None = None
) -> "AbstractContextManager[Span | None]":
    """Open the first span of this process, if it is drawn: of the trace that `parent` carried here, or of a new one.

    `trace_id` is for what has an id of its own that is found again: the trace has the same one.
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
    """Begin the root of a trace that its user ends, if it is drawn; it is nobody's current span."""
    if _tracer is None:
        return None
    number = (trace_id or uuid7()).int
    return _tracer.begin(name, kind, attributes, trace_id=number) if _tracer.draws(number) else None


def child(name: str, kind: Kind, attributes: Attributes = NONE) -> "Span | None":
    """Begin a part of what goes on, if that is traced; its user ends it."""
    parent = _current.get()
    return None if parent is None or _tracer is None else _tracer.begin(name, kind, attributes, causes=(parent,))


def span(name: str, kind: Kind = "internal", attributes: Attributes = NONE) -> "AbstractContextManager[Span | None]":
    """Open a part of what goes on, if that is traced."""
    parent = _current.get()
    if parent is None or _tracer is None:
        return _NOTHING
    return OpenSpan(_tracer.begin(name, kind, attributes, causes=(parent,)), kind)


def together(
    name: str, causes: "Sequence[Span | str]", kind: Kind = "internal", attributes: Attributes = NONE
) -> "AbstractContextManager[Span | None]":
    """Open what is done for several at once: in the trace of the first, linked with the others, and they with it."""
    if not causes or _tracer is None:
        return _NOTHING
    opened = _tracer.begin(name, kind, attributes, causes=causes)
    for cause in causes[1:]:
        if not isinstance(cause, str):
            cause.add_link(opened.get_span_context())
    return OpenSpan(opened, kind)


def apart() -> Context:
    """Return a context like this one, but of no trace: for a task that goes on to serve others."""
    context = copy_context()
    context.run(_current.set, None)
    return context


def traceparent() -> str | None:
    """Return what carries the trace to what is caused here: a job, an event, another service."""
    parent = _current.get()
    return None if parent is None or _tracer is None else _tracer.traceparent(parent)


def carried(row_id: UUID) -> str | None:
    """Return the `traceparent` of what was traced under an id of its own, if it was drawn."""
    if _tracer is None or not _tracer.draws(row_id.int):
        return None
    return f"00-{row_id.int:032x}-{row_id.int & (1 << 64) - 1:016x}-01"


def ids() -> tuple[str, str] | None:
    """Return the ids of the trace and of the span that goes on, as text."""
    parent = _current.get()
    if parent is None:
        return None
    context = parent.get_span_context()
    return format(context.trace_id, "032x"), format(context.span_id, "016x")


class OpenSpan:
    """A span while its block lasts: current there, ended after it, with the kind of the error that it ended by."""

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
    """End a span, with the kind of the error that it ended by.

    A refusal that a verb raises is an answer: whether the request failed, its own span says (`fails`).
    """
    if error is not None:
        ended.set_attribute("error.type", error.__qualname__)
        if fails and _tracer is not None and issubclass(error, Exception):
            _tracer.fail(ended, error.__qualname__)
    ended.end()


def of_http(served: "Span", method: str, route: str, status: int) -> None:
    """Say what a request was, by its route's template: a path has ids in it, and a query anything."""
    known = method if method in _METHODS else "HTTP"
    served.update_name(f"{known} {route}")
    served.set_attribute("http.request.method", method if method in _METHODS else "_OTHER")
    served.set_attribute("http.route", route)
    served.set_attribute("http.response.status_code", status)
    if (status >= _SERVER_ERROR or not status) and _tracer is not None:
        served.set_attribute("error.type", str(status))
        _tracer.fail(served, str(status))


def name_of(function: object) -> str:
    """Return what the span of a verb is called: its module and name, without the package's."""
    module, name = getattr(function, "__module__", ""), getattr(function, "__qualname__", type(function).__qualname__)
    return f"{module.removeprefix('carteira.')}.{name}"
