"""Unexpected errors as events, sent to listeners, with a fingerprint that groups equal ones.

Each log line of level error with an exception makes one (`kit.ops.log`). The error's own text is left out, since it may
repeat personal data; the log has it, scrubbed.
"""

import hashlib
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from prometheus_client import Counter

from carteira.kit.ops import tracing

MOST_CAUSES = 5
_PACKAGE = "carteira."

errors_total = Counter("carteira_errors", "Unexpected errors, by the exception's kind", ["kind"])


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame of an error's traceback, the outermost first."""

    module: str
    function: str
    file: str
    line: int

    @property
    def is_ours(self) -> bool:
        """Whether the frame is in the product's own code."""
        return self.module.startswith(_PACKAGE)


@dataclass(frozen=True, slots=True)
class Cause:
    """An exception of an error's chain, the last one first."""

    kind: str
    module: str
    frames: tuple[Frame, ...]


@dataclass(frozen=True, slots=True)
class ErrorEvent:
    """An unexpected error, its place in the code, its request and its trace."""

    fingerprint: str
    message: str
    """The log line's message, or the logger's name where a library logged it."""
    logger: str
    causes: tuple[Cause, ...]
    request_id: str | None
    trace: tuple[str, str] | None


Listener = Callable[[ErrorEvent], None]
_listeners: list[Listener] = []


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Send errors to a listener for as long as the block lasts. It must not raise, wait or log an error."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def report(error: BaseException, *, message: str, logger: str, request_id: str | None = None) -> str:
    """Send an error to all listeners, and return its fingerprint."""
    causes = tuple(_causes(error))
    known = fingerprint(causes)
    errors_total.labels(causes[0].kind).inc()
    span = tracing.current()
    if span is not None:
        attributes = {
            "exception.type": causes[0].kind,
            "error.fingerprint": known,
            "exception.stacktrace": _places(causes),
        }
        span.add_event("exception", attributes)
    event = ErrorEvent(known, message, logger, causes, request_id, tracing.ids())
    for listener in _listeners:
        listener(event)
    return known


def fingerprint(causes: tuple[Cause, ...]) -> str:
    """Return the digest of an error: the classes of its chain and the functions of ours in its traceback.

    Line numbers are left out, so that an error keeps its fingerprint in a release that moves lines.
    """
    parts = [
        (cause.kind, [(frame.module, frame.function) for frame in cause.frames if frame.is_ours]) for cause in causes
    ]
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _causes(error: BaseException) -> Iterator[Cause]:
    link: BaseException | None = error
    for _ in range(MOST_CAUSES):
        if link is None:
            return
        yield Cause(type(link).__qualname__, type(link).__module__, tuple(_frames(link)))
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def _frames(error: BaseException) -> Iterator[Frame]:
    for frame, line in traceback.walk_tb(error.__traceback__):
        code = frame.f_code
        yield Frame(frame.f_globals.get("__name__", "?"), code.co_qualname, code.co_filename, line)


def _places(causes: tuple[Cause, ...]) -> str:
    return "\n".join(
        line
        for cause in causes
        for line in (cause.kind, *(f"  {frame.module}:{frame.line} {frame.function}" for frame in cause.frames))
    )
