"""A receiver of traces over both of OTLP's protocols: it stands in for Jaeger, Elastic APM or a collector."""

import gzip
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
from google.protobuf.json_format import MessageToJson
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

KINDS = {1: "internal", 2: "server", 3: "client", 4: "producer", 5: "consumer"}


@dataclass(frozen=True)
class Seen:
    """A span that was received."""

    name: str
    kind: str
    trace: str
    id: str
    parent: str
    links: tuple[tuple[str, str], ...]
    attributes: dict[str, str]
    started: int
    seconds: float
    failed: bool
    service: str
    events: tuple[str, ...] = ()


@dataclass
class Receiver:
    """Everything that was received: spans, headers, and all bodies as they were sent."""

    spans: list[Seen] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    http_url: str = ""
    grpc_url: str = ""

    def take(self, request: ExportTraceServiceRequest, headers: dict[str, str]) -> None:
        self.headers.append(headers)
        self.texts.append(MessageToJson(request, ensure_ascii=False))
        for group in request.resource_spans:
            resource = {each.key: each.value.string_value for each in group.resource.attributes}
            for scope in group.scope_spans:
                self.spans += [
                    Seen(
                        span.name,
                        KINDS[span.kind],
                        span.trace_id.hex(),
                        span.span_id.hex(),
                        span.parent_span_id.hex(),
                        tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
                        {each.key: _text(each.value) for each in span.attributes},
                        span.start_time_unix_nano,
                        (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
                        failed=span.status.code == 2,
                        service=resource["service.name"],
                        events=tuple(
                            json.dumps({each.key: _text(each.value) for each in event.attributes})
                            for event in span.events
                        ),
                    )
                    for span in scope.spans
                ]

    def of(self, trace: str) -> list[Seen]:
        """Return the spans of a trace."""
        return [span for span in self.spans if span.trace == trace]

    def named(self, name: str) -> list[Seen]:
        """Return the spans with a name."""
        return [span for span in self.spans if span.name == name]


def is_whole(spans: list[Seen]) -> bool:
    """Return whether each span's parent is among them, except its one root's."""
    ids = {span.id for span in spans}
    return [span.parent in ids for span in spans].count(False) == 1


def _text(value: object) -> str:
    kind = value.WhichOneof("value")  # type: ignore[attr-defined] # generated
    return str(getattr(value, kind)) if kind else ""


class _Service(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver

    def Export(self, request: ExportTraceServiceRequest, context: grpc.ServicerContext) -> ExportTraceServiceResponse:  # noqa: N802 - OTLP's own name
        self.receiver.take(request, {key: str(value) for key, value in context.invocation_metadata()})
        return ExportTraceServiceResponse()


@contextmanager
def receiving(host: str = "127.0.0.1") -> Iterator[Receiver]:
    """Receive traces until the end of the block; `0.0.0.0` also takes those of containers."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            headers = {name.lower(): value for name, value in self.headers.items()} | {":path": self.path}
            receiver.take(ExportTraceServiceRequest.FromString(body), headers)
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            """Log nothing."""

    pool = ThreadPoolExecutor(2)
    server = grpc.server(pool)
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(_Service(receiver), server)  # type: ignore[no-untyped-call] # generated
    port = server.add_insecure_port(f"{host}:0")
    server.start()
    with ThreadingHTTPServer((host, 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        receiver.http_url = f"http://{host}:{http.server_port}"
        receiver.grpc_url = f"http://{host}:{port}"
        yield receiver
        http.shutdown()
        thread.join()
    server.stop(None).wait()
    pool.shutdown()
