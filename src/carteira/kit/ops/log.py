"""Structured logs: one line per event, with the request's id and trace, without personal data or secrets."""

import json
import logging
import re
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from functools import lru_cache
from typing import Any, TextIO

import orjson
import structlog

from carteira.kit.ops import errors, tracing

_SECRET_NAMES = re.compile(r"passw|secret|token|authorization|cookie|api_?key|(^|_)code$|senha", re.IGNORECASE)
_PERSONAL = (
    # Each pattern has a text that every match contains: a quick test. A CPF may stand next to an underscore, but not
    # next to a letter or digit, so that ids and amounts are not taken for CPFs.
    ("", re.compile(r"(?<![^\W_])\d{3}\.?\d{3}\.?\d{3}-?\d{2}(?![^\W_])"), "[cpf]"),
    ("@", re.compile(r"\b[\w.+-]+@[\w-]+(\.[\w-]+)+\b"), "[email]"),
    ("eyJ", re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"), "[token]"),
    ("://", re.compile(r"://([^:/@\s]*):([^@/\s]+)@"), r"://\1:[secret]@"),
    # PostgreSQL's errors repeat refused values: a whole row, or a key.
    (
        "(",
        re.compile(
            r"(Failing row contains|Key \([^)]*\)=) ?\(.*?\)(?= already exists| is not present|\.\s*$)",
            re.DOTALL | re.MULTILINE,
        ),
        r"\1 [values]",
    ),
)
_ERRORS = frozenset({"error", "critical"})
_KEPT = frozenset({
    "timestamp", "level", "logger", "request_id", "trace_id", "span_id", "fingerprint",
    "method", "route", "actor_kind", "actor_id",
})  # fmt: skip
"""Names whose values are kept as they are: templates of routes, ids and the like hold no personal data."""


def scrub(text: str) -> str:
    """Remove CPFs, e-mail addresses, tokens and passwords in URLs from a text."""
    for needed, pattern, replacement in _PERSONAL:
        if needed in text:
            text = pattern.sub(replacement, text)
    return text


@lru_cache(maxsize=1_024)
def _names_a_secret(name: str) -> bool:
    return _SECRET_NAMES.search(name) is not None


def _scrub_value(name: str, value: Any) -> Any:  # noqa: ANN401 - log values are anything
    if name in _KEPT:
        return value
    if value is not None and _names_a_secret(name):
        return "[secret]"
    if isinstance(value, str):
        return value if value.isalpha() else scrub(value)  # a word without blanks or signs matches no pattern
    if isinstance(value, dict):
        return {key: _scrub_value(str(key), item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_scrub_value("", item) for item in value]
    return value if isinstance(value, int | float | bool) or value is None else scrub(_text_of(value))


def _text_of(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - a value whose `repr` fails must not fail its log line
        return f"[{type(value).__name__}]"


def _scrub_event(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Scrub an event: the last defence against personal data and secrets in logs."""
    return {name: _scrub_value(name, value) for name, value in event.items()}


def _trace_ids(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    ids = tracing.ids()
    if ids is not None:
        event["trace_id"], event["span_id"] = ids
    return event


def _report_error(_logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """If an error is logged with its exception, report it to the listeners and add its fingerprint to the line."""
    exc_info = event.get("exc_info")
    if not exc_info or event.get("level", method) not in _ERRORS:
        return event
    if isinstance(exc_info, tuple):
        exc_info = exc_info[1]
    error = exc_info if isinstance(exc_info, BaseException) else sys.exception()
    if error is not None:
        logger = str(event.get("logger", "carteira"))
        message = logger if "_record" in event else scrub(str(event.get("event", "")))
        request_id = event.get("request_id")
        event["fingerprint"] = errors.report(error, message=message, logger=logger, request_id=request_id)
    return event


class _Lines:
    """A logger for structlog that writes finished lines to a stream."""

    def __init__(self, name: str, stream: TextIO) -> None:
        self.name = name
        self._stream = stream

    def msg(self, line: str) -> None:
        """Write a line; a failure to write fails no request."""
        with suppress(OSError, ValueError):
            self._stream.write(line + "\n")
            self._stream.flush()

    debug = info = warning = error = critical = msg


def _json_line(_logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
    try:
        return orjson.dumps(event).decode()
    except TypeError:  # an integer of more than 64 bits, half a character
        return json.dumps(event)


def configure(*, level: str = "info", form: str = "json") -> None:
    """Send structlog's events and the standard library's records to standard error, in one form and scrubbed alike."""
    stream = sys.stderr
    described: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _trace_ids,
        _report_error,
    ]
    written: list[structlog.types.Processor] = [
        structlog.processors.format_exc_info,
        _scrub_event,
        _json_line if form == "json" else structlog.dev.ConsoleRenderer(colors=stream.isatty()),
    ]
    handler = logging.StreamHandler(stream)
    removed = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=described, processors=[removed, *written])
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    logging.raiseExceptions = False  # if a line cannot be written, logging would print it raw, with all its values
    for noisy in ("uvicorn.access", "httpx", "httpcore", "procrastinate", "alembic", "botocore", "aiobotocore"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
    for owned in ("uvicorn", "uvicorn.error"):
        logging.getLogger(owned).handlers = []
        logging.getLogger(owned).propagate = True
    structlog.configure(
        processors=[*described, *written],
        logger_factory=lambda *name: _Lines(name[0] if name else "carteira", stream),
        wrapper_class=structlog.make_filtering_bound_logger(root.level),
        cache_logger_on_first_use=True,
    )
