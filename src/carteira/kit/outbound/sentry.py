"""Sends errors to a server with Sentry's protocol; the library is an extra, imported only with a DSN.

Its own instrumentation is off. Events are built here from names and places in the code and the ids of request and
trace, without values, local variables or error texts. Building and sending one takes a millisecond, so a process
reports a limited number a minute and counts the rest.
"""

import asyncio
import time
from collections import Counter as Count
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from threading import RLock
from typing import Any

from prometheus_client import Counter

from carteira import __version__
from carteira.kit.ops import errors
from carteira.kit.ops.errors import Cause, ErrorEvent

CLOSE_SECONDS = 2.0
MINUTE = 60.0
MOST_A_MINUTE = 60
"""Most reports of a process in a minute."""
MOST_EQUAL_A_MINUTE = 5
"""Most reports of one fingerprint in a minute."""
MOST_COUNTED = 1_000
"""Most fingerprints with a count of their own: a fingerprint depends on the depth of a failed recursion, so callers can
cause many.
"""

not_reported_total = Counter(
    "carteira_errors_not_reported",
    "Unexpected errors that were not reported to `SENTRY_DSN`, because of the limit per minute",
)


class ReportLimit:
    """Admits so many reports a minute, and counts the errors that are left out of them.

    Any thread may call it, even while it is in a call already: the garbage collector, which runs in any thread at any
    time, logs the errors of tasks that nobody awaited.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = RLock()
        self._ends_at = now() + MINUTE
        self._reports = 0
        self._reports_of: Count[str] = Count()
        self._left_out: Count[str] = Count()

    def admit(self, fingerprint: str) -> int | None:
        """Return how many equal errors were left out since the last report; None: leave this one out too."""
        with self._lock:
            if self._now() >= self._ends_at:
                self._ends_at = self._now() + MINUTE
                self._reports = 0
                self._reports_of.clear()
            if self._reports < MOST_A_MINUTE and self._reports_of[fingerprint] < MOST_EQUAL_A_MINUTE:
                self._reports += 1
                self._reports_of[fingerprint] += 1
                return self._left_out.pop(fingerprint, 0)
            if fingerprint in self._left_out or len(self._left_out) < MOST_COUNTED:
                self._left_out[fingerprint] += 1
            return None


@asynccontextmanager
async def reporting_errors(dsn: str | None, environment: str, limit: ReportLimit | None = None) -> AsyncIterator[None]:
    """Send errors for as long as the block lasts; without a DSN, do nothing. A thread of the library sends them."""
    if dsn is None:
        yield
        return
    from sentry_sdk import Client  # noqa: PLC0415 - an extra, and slow to import

    from carteira.kit.outbound.sentry_transport import StatusTransport  # noqa: PLC0415 - it imports the client, which only reports need

    client = Client(
        dsn,
        transport=StatusTransport,
        release=f"carteira@{__version__}",
        environment=environment,
        default_integrations=False,
        auto_enabling_integrations=False,
        auto_session_tracking=False,
        data_collection={"user_info": False},
        include_local_variables=False,
        max_breadcrumbs=0,
    )
    admitted = limit or ReportLimit()
    try:
        with errors.listening(lambda event: _report(client, admitted, event)):
            yield
    finally:
        await asyncio.to_thread(client.close, timeout=CLOSE_SECONDS)


def _report(client: Any, limit: ReportLimit, event: ErrorEvent) -> None:  # noqa: ANN401 - the extra's types may be absent
    left_out = limit.admit(event.fingerprint)
    if left_out is None:
        not_reported_total.inc()
    else:
        client.capture_event(sentry_event(event, left_out))


def sentry_event(event: ErrorEvent, left_out: int = 0) -> dict[str, Any]:
    """Return an error in the form of Sentry's protocol, with the number of equal errors left out before it."""
    contexts: dict[str, dict[str, Any]] = {}
    if event.trace is not None:
        contexts["trace"] = {"trace_id": event.trace[0], "span_id": event.trace[1]}
    if left_out:
        contexts["equal_errors"] = {"not_reported": left_out}
    return {
        "level": "error",
        "logger": event.logger,
        "fingerprint": [event.fingerprint],
        "message": event.message,
        "exception": {"values": [_exception(cause) for cause in reversed(event.causes)]},
        "tags": {"fingerprint": event.fingerprint, **({"request_id": event.request_id} if event.request_id else {})},
        "contexts": contexts,
    }


def _exception(cause: Cause) -> dict[str, Any]:
    frames = [
        {
            "module": frame.module,
            "function": frame.function,
            "filename": frame.file.rpartition("site-packages/")[2],
            "lineno": frame.line,
            "in_app": frame.is_ours,
        }
        for frame in cause.frames
    ]
    return {"type": cause.kind, "module": cause.module, "stacktrace": {"frames": frames}}
