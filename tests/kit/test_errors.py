"""Unexpected errors are events, identified by a fingerprint, and sent by Sentry's protocol without values."""

import asyncio
import json
import logging
import socket
from collections.abc import Callable

import pytest
import structlog
from prometheus_client import REGISTRY
from pydantic import SecretStr, ValidationError

from carteira.kit.ops import errors, tracing
from carteira.kit.ops.errors import ErrorEvent
from carteira.kit.ops.tracing import TracingConfig
from carteira.kit.outbound.sentry import (
    MINUTE,
    MOST_A_MINUTE,
    MOST_COUNTED,
    MOST_EQUAL_A_MINUTE,
    ReportLimit,
    reporting_errors,
)
from carteira.settings import Settings
from tests.kit.test_log import SECRETS, leaks, logging_as
from tests.support import rude
from tests.support.otlp import receiving
from tests.support.rude import Rude
from tests.support.sentry import receiving_errors
from tests.support.waiting import wait_until


def fail(number: int) -> None:
    if number:
        raise LookupError(f"no person {SECRETS[0]}")
    raise ValueError(SECRETS[2])


def other(number: int) -> None:
    fail(number)


def caught(call: object, number: int = 1) -> BaseException:
    try:
        call(number)  # type: ignore[operator] # one of the two above
    except (LookupError, ValueError) as error:
        return error
    raise AssertionError


def caused_by(error: BaseException) -> BaseException:
    made = RuntimeError(SECRETS[2])
    made.__cause__ = error
    return made


def known(error: BaseException) -> str:
    return errors.report(error, message="failed", logger="test")


def not_reported() -> float:
    return REGISTRY.get_sample_value("carteira_errors_not_reported_total") or 0


def test_an_errors_fingerprint_has_its_kind_and_its_functions() -> None:
    frames = (errors.Frame("carteira.a", "b", "x.py", 1),)
    moved = (errors.Frame("carteira.a", "b", "y.py", 99), errors.Frame("json", "loads", "z.py", 3))
    elsewhere = (errors.Frame("carteira.a", "c", "x.py", 1),)
    same, lines, place, kind = (
        errors.fingerprint((errors.Cause(name, "builtins", where),))
        for name, where in (("E", frames), ("E", moved), ("E", elsewhere), ("F", frames))
    )
    assert same == lines, "neither lines nor other people's code change it"
    assert len({same, place, kind}) == 3
    assert known(caught(fail)) == known(caught(other)), "tests are not the product's code"
    assert known(caught(fail)) != known(caught(fail, 0))
    assert known(caused_by(caught(fail))) != known(caused_by(caught(fail, 0))), "the cause counts"


def test_logged_errors_are_reported_once_and_warnings_are_not() -> None:
    events: list[ErrorEvent] = []
    before = REGISTRY.get_sample_value("carteira_errors_total", {"kind": "LookupError"}) or 0
    with logging_as("json") as output, errors.listening(events.append):
        structlog.contextvars.bind_contextvars(request_id="abc")
        logger, library = structlog.get_logger("carteira.test"), logging.getLogger("library")
        for say in (logger, library):
            try:
                fail(1)
            except LookupError as error:
                say.exception("failed")
                say.error("failed", exc_info=error)
                say.warning("tried again", exc_info=True)
        logger.error("no exception")
        logger.error("none now", exc_info=True)  # noqa: LOG014 - no exception is being handled
    assert [(event.message, event.logger) for event in events] == [
        ("failed", "carteira.test"), ("failed", "carteira.test"), ("library", "library"), ("library", "library"),
    ]  # fmt: skip
    assert {event.fingerprint for event in events} == {known(caught(fail))}
    assert {event.request_id for event in events} == {"abc"}
    lines = [json.loads(line) for line in output.getvalue().splitlines()]
    assert [line.get("fingerprint") for line in lines].count(events[0].fingerprint) == 4
    assert leaks(output.getvalue()) == []
    assert REGISTRY.get_sample_value("carteira_errors_total", {"kind": "LookupError"}) == before + 5


async def test_sentry_gets_event_place_and_trace_and_no_values() -> None:
    with receiving_errors() as sentry, receiving() as receiver, logging_as("json"):
        config = TracingConfig(f"{receiver.http_url}/v1/traces", resource={"service.name": "t"})
        async with reporting_errors(sentry.dsn, "staging"), tracing.running(config):
            with tracing.root("request", "server"):
                structlog.get_logger("carteira.test").error(
                    "it failed", exc_info=caused_by(caught(fail)), request_id="abc", secret=SECRETS[3]
                )
        (event,) = sentry.events
        (span,) = receiver.spans
    assert (event["level"], event["logger"], event["environment"]) == ("error", "carteira.test", "staging")
    assert event["release"].startswith("carteira@")
    assert [(value["type"], value.get("value")) for value in event["exception"]["values"]] == [
        ("LookupError", None), ("RuntimeError", None),
    ]  # fmt: skip
    place = event["exception"]["values"][0]["stacktrace"]["frames"][-1]
    assert (place["module"], place["in_app"]) == (__name__, False)
    assert event["fingerprint"] == [event["tags"]["fingerprint"]]
    assert event["tags"]["request_id"] == "abc"
    assert (event["contexts"]["trace"]["trace_id"], event["contexts"]["trace"]["span_id"]) == (span.trace, span.id)
    assert json.loads(span.events[0])["error.fingerprint"] == event["fingerprint"][0]
    everything = "".join(sentry.texts + receiver.texts)
    assert not [text for text in SECRETS if text in everything]


async def test_of_a_storm_some_errors_are_reported_a_minute_and_the_rest_is_counted() -> None:
    clock = [0.0]
    before = not_reported()
    with receiving_errors() as sentry:
        async with reporting_errors(sentry.dsn, "staging", ReportLimit(lambda: clock[0])):
            for _ in range(1_000):
                known(caught(fail))
            known(caught(fail, 0))
            assert not_reported() == before + 1_000 - MOST_EQUAL_A_MINUTE
            clock[0] += MINUTE
            for number in range(200):
                known(caught(fail))
                known(type(f"Error{number}", (Exception,), {})())
    reported = [
        (event["exception"]["values"][-1]["type"], event.get("contexts", {}).get("equal_errors"))
        for event in sentry.events
    ]
    first, second = reported[: MOST_EQUAL_A_MINUTE + 1], reported[MOST_EQUAL_A_MINUTE + 1 :]
    assert first == [("LookupError", None)] * MOST_EQUAL_A_MINUTE + [("ValueError", None)], "another error is reported"
    assert second[0] == ("LookupError", {"not_reported": 1_000 - MOST_EQUAL_A_MINUTE})
    assert second[1:4] == [("Error0", None), ("LookupError", None), ("Error1", None)]
    assert len(second) == len({kind for kind, _ in second}) + MOST_EQUAL_A_MINUTE - 1 == MOST_A_MINUTE
    assert not_reported() == before + 1_000 - MOST_EQUAL_A_MINUTE + 400 - MOST_A_MINUTE


def test_the_memory_of_unreported_errors_is_bounded() -> None:
    clock = [0.0]
    limit = ReportLimit(lambda: clock[0])
    made = [f"{number:016x}" for number in range(MOST_A_MINUTE + 2 * MOST_COUNTED)]
    admitted = [limit.admit(one) for one in made]
    assert admitted == [0] * MOST_A_MINUTE + [None] * (2 * MOST_COUNTED)
    clock[0] += MINUTE
    assert limit.admit(made[MOST_A_MINUTE + MOST_COUNTED - 1]) == 1
    assert limit.admit(made[MOST_A_MINUTE + MOST_COUNTED]) == 0, "the metric alone has counted it"


async def test_without_an_address_nothing_is_reported_and_one_that_is_down_delays_nothing() -> None:
    async with reporting_errors(None, "development"):
        known(caught(fail))
    async with reporting_errors("http://key@127.0.0.1:9/7", "development"):
        known(caught(fail))


@pytest.mark.parametrize("badly", [rude.silent, rude.garbled, rude.dripping, rude.endless])
async def test_a_server_of_errors_that_answers_badly_costs_neither_time_nor_memory(
    badly: Callable[[Rude, socket.socket], None],
) -> None:
    with rude.answering(badly) as server:
        async with asyncio.timeout(20), reporting_errors(f"http://key@127.0.0.1:{server.port}/7", "development"):
            for _ in range(500):
                known(caught(fail))
            await asyncio.to_thread(wait_until, lambda: server.asked > 0, "the server is asked")
        assert server.sent < 16_000_000 * server.asked, "no more than sockets hold is taken of what has no end"


async def test_a_redirect_takes_errors_nowhere() -> None:
    with rude.answering(rude.redirecting) as server:
        async with reporting_errors(f"http://key@127.0.0.1:{server.port}/7", "development"):
            known(caught(fail))
        assert server.asked
    assert not [line for line in server.lines if "elsewhere" in line]


@pytest.mark.parametrize("dsn", ["sentry", "https://sentry.example/7", "https://key@sentry.example", "ftp://key@x/7"])
def test_an_invalid_address_is_refused(dsn: str) -> None:
    with pytest.raises(ValidationError, match="sentry_dsn"):
        Settings(_env_file=None, sentry_dsn=SecretStr(dsn))
