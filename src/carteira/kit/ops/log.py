"""Structured logs: one line an event, with the request's id and trace, and without personal data or secrets."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog
from opentelemetry import trace

_SECRET_NAMES = re.compile(r"passw|secret|token|authorization|cookie|api_?key|(^|_)code$|senha", re.IGNORECASE)
_PERSONAL = (
    # A CPF may hang on an underscore, but not on letters or digits: ids and amounts are not CPFs.
    (re.compile(r"(?<![^\W_])\d{3}\.?\d{3}\.?\d{3}-?\d{2}(?![^\W_])"), "[cpf]"),
    (re.compile(r"\b[\w.+-]+@[\w-]+(\.[\w-]+)+\b"), "[email]"),
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"), "[token]"),
    (re.compile(r"://([^:/@\s]*):([^@/\s]+)@"), r"://\1:[secret]@"),
    # PostgreSQL repeats the values that it refused: a whole row, or a key.
    (
        re.compile(
            r"(Failing row contains|Key \([^)]*\)=) ?\(.*?\)(?= already exists| is not present|\.\s*$)",
            re.DOTALL | re.MULTILINE,
        ),
        r"\1 [values]",
    ),
)
_KEPT = frozenset({"timestamp", "level", "logger", "request_id", "trace_id", "span_id"})


def scrub(text: str) -> str:
    """Take CPFs, e-mail addresses, tokens and passwords in URLs out of a text."""
    for pattern, replacement in _PERSONAL:
        text = pattern.sub(replacement, text)
    return text


def _scrub_value(name: str, value: Any) -> Any:  # noqa: ANN401 - log values are anything
    if name in _KEPT:
        return value
    if _SECRET_NAMES.search(name) and value is not None:
        return "[secret]"
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, dict):
        return {key: _scrub_value(str(key), item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_scrub_value("", item) for item in value]
    return value if isinstance(value, int | float | bool) or value is None else scrub(str(value))


def _scrub_event(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Last line of defence: nothing that looks personal or secret leaves, whoever logged it."""
    return {name: _scrub_value(name, value) for name, value in event.items()}


def _trace_ids(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = format(context.trace_id, "032x")
        event["span_id"] = format(context.span_id, "016x")
    return event


def configure(*, level: str = "info", form: str = "json") -> None:
    """Send structlog's and the standard library's records through one chain to standard error."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _trace_ids,
    ]
    last: list[structlog.types.Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        _scrub_event,
    ]
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[*last, renderer]))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    logging.raiseExceptions = False  # a line that cannot be written would be printed raw, with all that it holds
    for noisy in ("uvicorn.access", "httpx", "httpcore", "procrastinate", "alembic", "botocore", "aiobotocore"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
    for owned in ("uvicorn", "uvicorn.error"):
        logging.getLogger(owned).handlers = []
        logging.getLogger(owned).propagate = True
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
