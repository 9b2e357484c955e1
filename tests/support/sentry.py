"""A server with the part of Sentry's protocol that errors need: it receives envelopes and keeps their events."""

import gzip
import itertools
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import brotli

KEY = "0123456789abcdef0123456789abcdef"
_UNPACK = {"gzip": gzip.decompress, "br": brotli.decompress, None: bytes}


class Sentry:
    """The received events, and all bodies as they were sent."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.texts: list[str] = []
        self.dsn = ""


@contextmanager
def receiving_errors() -> Iterator[Sentry]:
    """Receive errors until the end of the block."""
    sentry = Sentry()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            text = _UNPACK[self.headers.get("Content-Encoding")](body).decode()
            known = self.path == "/api/7/envelope/" and f"sentry_key={KEY}" in self.headers["X-Sentry-Auth"]
            if known:
                sentry.texts.append(text)
                lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
                sentry.events += [event for item, event in itertools.pairwise(lines) if item.get("type") == "event"]
            self.send_response(200 if known else 403)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        sentry.dsn = f"http://{KEY}@127.0.0.1:{server.server_port}/7"
        yield sentry
        server.shutdown()
        thread.join()
