"""Spans sent over OTLP by OpenTelemetry's SDK; imported only where traces are on (`kit.ops.tracing`)."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from itertools import islice
from threading import Thread

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanLimits
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from carteira.kit.ops.log import scrub
from carteira.kit.ops.tracing import Attributes, SpanId, TraceSpan, TracingConfig

CLOSE_SECONDS = 2.0
_KINDS = {kind.name.lower(): kind for kind in SpanKind}
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_SCOPE = InstrumentationScope("carteira")
_UNSET = Status(StatusCode.UNSET)
_OURS = frozenset({"db.query.text"})
"""Attributes that hold the code's own texts and need no scrubbing."""
_scrubbed = lru_cache(maxsize=1_024)(scrub)


class _Service(Resource):
    """The service's resource, with a cheap hash: the encoder needs it for each span."""

    def __hash__(self) -> int:
        return id(self)


class OtlpSink:
    """Takes spans in the event loop; a thread of the SDK sends them. Spans beyond the SDK's queue are dropped."""

    def __init__(self, config: TracingConfig) -> None:
        self._service = _Service(Resource.create(dict(config.resource)).attributes)
        self._limits = SpanLimits()
        self._exporter = _exporter(config)
        self._processor = BatchSpanProcessor(self._exporter)

    def take(self, span: TraceSpan) -> None:
        """Queue an ended span, scrubbed: the last defence against personal data and secrets in traces."""
        limits = self._limits
        self._processor.on_end(
            ReadableSpan(
                span.name,
                _context(span.id),
                None if span.parent is None else _context(span.parent),
                self._service,
                self._clean(span.attributes, limits.max_span_attributes),
                [
                    Event(name, self._clean(attributes, limits.max_event_attributes), at)
                    for name, attributes, at in span.events[: limits.max_events]
                ],
                [Link(_context(other)) for other in span.links[: limits.max_links]],
                _KINDS[span.kind],
                status=_UNSET if span.failed is None else Status(StatusCode.ERROR, span.failed),
                start_time=span.started_at,
                end_time=span.ended_at,
                instrumentation_scope=_SCOPE,
            )
        )

    def _clean(self, attributes: Attributes, most: int | None) -> Mapping[str, str | int | float | bool]:
        longest = self._limits.max_span_attribute_length
        return {
            name: (value if name in _OURS else _scrubbed(value))[:longest] if isinstance(value, str) else value
            for name, value in islice(attributes.items(), most)
        }

    def close(self) -> None:
        """Send the waiting spans and end, within `CLOSE_SECONDS`.

        The SDK would wait 30 s for a silent collector, which is all the time that Kubernetes gives a process to end. So
        it waits in a daemon thread, which ends with the process.
        """
        ending = Thread(target=self._processor.shutdown, name="last traces", daemon=True)
        ending.start()
        ending.join(CLOSE_SECONDS)
        if ending.is_alive():
            self._exporter.shutdown()


def _context(own: SpanId) -> SpanContext:
    return SpanContext(own.trace, own.span, own.is_remote, _SAMPLED)


@contextmanager
def _without_headers_of_the_environment() -> Iterator[None]:
    """Hide the headers' variables: the settings have read them, and the SDK would add them and log what it rejects."""
    names = ("OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS")
    kept = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)


@_without_headers_of_the_environment()
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

    from carteira.kit.ops.status_session import StatusSession  # noqa: PLC0415 - it imports requests, which only traced processes need

    return OverHttp(endpoint=config.endpoint, headers=headers, session=StatusSession())
