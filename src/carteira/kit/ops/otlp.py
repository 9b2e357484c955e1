"""Spans made by OpenTelemetry's SDK and sent over OTLP; imported only where traces are on (`kit.ops.tracing`)."""

import re
from collections.abc import Mapping, Sequence
from threading import Timer
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from carteira.kit.ops.log import scrub
from carteira.kit.ops.tracing import SAMPLED_BITS, Attributes, Kind, TracingConfig

_KINDS = {kind.name.lower(): kind for kind in SpanKind}
_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
CLOSE_SECONDS = 2.0
_SPAN_BITS = (1 << 64) - 1
_OURS = frozenset({"db.query.text"})
"""Attributes that hold the code's own texts and need no scrubbing."""


class _Ids(IdGenerator):
    """Generates ids: wanted ones for a trace's root, random ones otherwise."""

    def __init__(self) -> None:
        self.wanted: int | None = None
        self._random = RandomIdGenerator()

    def generate_trace_id(self) -> int:
        """Return the wanted id; the SDK asks once for each root."""
        return self.wanted or self._random.generate_trace_id()

    def generate_span_id(self) -> int:
        """Return the id of a span."""
        wanted, self.wanted = self.wanted, None
        return wanted & _SPAN_BITS if wanted else self._random.generate_span_id()


class OtlpTracer:
    """Makes spans, in the event loop; a thread of the SDK sends them."""

    def __init__(self, config: TracingConfig) -> None:
        self._bound = int(config.ratio * (SAMPLED_BITS + 1))
        self._heeds_parent = config.heeds_parent
        self._ids = _Ids()
        self._provider = TracerProvider(
            sampler=ALWAYS_ON,  # a trace that is not sampled makes no span at all
            resource=Resource.create(dict(config.resource)),
            shutdown_on_exit=False,
            id_generator=self._ids,
        )
        self._exporter = Scrubbed(_exporter(config))
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("carteira")

    def draws(self, trace_id: int) -> bool:
        """Return whether a trace id is sampled; all processes with one ratio agree."""
        return trace_id & SAMPLED_BITS < self._bound

    def admits(self, traceparent: str) -> bool | None:
        """Return whether a trace from elsewhere is continued here: by its parent's flag, or else by its id.

        None if the text names none.
        """
        parent = _read(traceparent)
        if parent is None:
            return None
        return parent.trace_flags.sampled if self._heeds_parent else self.draws(parent.trace_id)

    def begin(
        self,
        name: str,
        kind: Kind,
        attributes: Attributes,
        *,
        trace_id: int | None = None,
        causes: Sequence[Span | str] = (),
    ) -> Span:
        """Begin a span, a child of the first cause and linked with the others; without causes, the root of a trace."""
        contexts = [context for cause in causes if (context := _context(cause)) is not None]
        within = Context()
        if contexts:
            within = set_span_in_context(NonRecordingSpan(contexts[0]), within)
        else:
            self._ids.wanted = trace_id
        links = [Link(context) for context in contexts[1:]]
        return self._tracer.start_span(name, within, _KINDS[kind], attributes, links, record_exception=False)

    def fail(self, span: Span, kind: str) -> None:
        """Mark a span as failed, with the class of its error."""
        span.set_status(Status(StatusCode.ERROR, kind))

    def traceparent(self, span: Span) -> str:
        """Return a span's `traceparent` header (W3C Trace Context)."""
        context = span.get_span_context()
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-01"

    def close(self) -> None:
        """Send the waiting spans and end; do not wait longer for a collector that does not answer."""
        enough = Timer(CLOSE_SECONDS, self._exporter.shutdown)
        enough.start()
        self._provider.shutdown()
        enough.cancel()


def _context(cause: Span | str) -> SpanContext | None:
    return _read(cause) if isinstance(cause, str) else cause.get_span_context()


def _read(traceparent: str) -> SpanContext | None:
    """Read a `traceparent`; None if it is none."""
    found = _TRACEPARENT.fullmatch(traceparent)
    if found is None:
        return None
    trace_id, span_id, flags = (int(part, 16) for part in found.groups())
    context = SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags))
    return context if context.is_valid else None


def _exporter(config: TracingConfig) -> SpanExporter:
    """Return the exporter; its certificate, compression and time-out come from the SDK's own variables."""
    headers = dict(config.headers)
    if config.protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (  # noqa: PLC0415 - one of the two is used
            OTLPSpanExporter as OverGrpc,
        )

        return OverGrpc(endpoint=config.endpoint, headers=headers)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - one of the two is used
        OTLPSpanExporter as OverHttp,
    )

    return OverHttp(endpoint=config.endpoint, headers=headers)


class Scrubbed(SpanExporter):
    """Scrubs spans: the last defence against personal data and secrets in traces."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans, scrubbed."""
        return self._exporter.export([_scrubbed(span) for span in spans])

    def shutdown(self) -> None:
        """End."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Wait for spans that are being sent."""
        return self._exporter.force_flush(timeout_millis)


def _scrubbed(span: ReadableSpan) -> ReadableSpan:
    return ReadableSpan(
        span.name,
        span.context,
        span.parent,
        span.resource,
        _clean(span.attributes),
        [Event(event.name, _clean(event.attributes), event.timestamp) for event in span.events],
        span.links,
        span.kind,
        status=span.status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _clean(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    return {
        name: scrub(value) if isinstance(value, str) and name not in _OURS else value
        for name, value in (attributes or {}).items()
    }
