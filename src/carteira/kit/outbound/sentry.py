"""Sends errors to a server with Sentry's protocol; the library is an extra, imported only with a DSN.

Its own instrumentation is off. Events are built here from names and places in the code and the ids of request and
trace: no values, no local variables, no error texts.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from carteira import __version__
from carteira.kit.ops import errors
from carteira.kit.ops.errors import Cause, ErrorEvent

CLOSE_SECONDS = 2.0


@asynccontextmanager
async def telling_of_errors(dsn: str | None, environment: str) -> AsyncIterator[None]:
    """Send errors for as long as the block lasts; without a DSN, do nothing. A thread of the library sends them."""
    if dsn is None:
        yield
        return
    from sentry_sdk import Client  # noqa: PLC0415 - an extra, and slow to import

    from carteira.kit.outbound.sentry_transport import StatusTransport  # noqa: PLC0415 - it imports the client, for reported errors alone

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
    try:
        with errors.telling(lambda event: _capture(client, event)):
            yield
    finally:
        await asyncio.to_thread(client.close, timeout=CLOSE_SECONDS)


def _capture(client: Any, event: ErrorEvent) -> None:  # noqa: ANN401 - the extra may be absent where types are checked
    client.capture_event(told(event))


def told(event: ErrorEvent) -> dict[str, Any]:
    """Return an error as Sentry's protocol has it."""
    trace = {} if event.trace is None else {"trace": {"trace_id": event.trace[0], "span_id": event.trace[1]}}
    return {
        "level": "error",
        "logger": event.logger,
        "fingerprint": [event.fingerprint],
        "message": event.said,
        "exception": {"values": [_exception(cause) for cause in reversed(event.causes)]},
        "tags": {"fingerprint": event.fingerprint, **({"request_id": event.request_id} if event.request_id else {})},
        "contexts": trace,
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
