"""No log line contains personal data or secrets, whoever logs it and however."""

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import structlog
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from carteira.kit.db.engine import Database
from carteira.kit.ops import log, tracing
from carteira.kit.ops.log import scrub
from carteira.kit.values.ids import uuid7

SECRETS = (
    *("529.982.247-25", "52998224725", "maria.silva+1@exemplo.com.br", "Segredo123"),
    *("eyJhbGciOiJFZDI1NTE5In0.eyJzdWIiOiJ4In0.c2ln", "s3nh4-do-banco", "Rua das Flores 10"),
)


@contextmanager
def logging_as(form: str) -> Iterator[io.StringIO]:
    """Log as the server does, into a text."""
    root, output = logging.getLogger(), io.StringIO()
    handlers, level, known, told = list(root.handlers), root.level, structlog.get_config(), logging.raiseExceptions
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stderr", output)
        log.configure(form=form)
        yield output
    root.handlers, root.level, logging.raiseExceptions = handlers, level, told
    structlog.configure(**known)
    structlog.contextvars.clear_contextvars()


@pytest.fixture(params=["json", "console"])
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def leaks(output: str) -> list[str]:
    assert output, "nothing was logged"
    return [secret for secret in SECRETS if secret in output]


def test_planted_secrets_do_not_leave(form: str) -> None:
    cpf, digits, email, password, token, url_password, _ = SECRETS
    logger = structlog.get_logger("test")
    with logging_as(form) as output:
        logger.info("person %s %s", cpf, email)
        logger.info("values", cpf=digits, who={"email": email, "deep": [{"senha": password}, (token,)]})
        logger.info("names", password=password, new_password=password, Authorization=password, api_key=password)
        logger.info("names", cookie=password, refresh_token=password, code=password, reset_code=password)
        logger.info("url", url=f"postgresql://carteira:{url_password}@db/x", cache=f"redis://:{url_password}@cache/0")
        logger.info("glued", key=f"user_{digits}", path=f"/people/{cpf}/x", mail=f"<{email}>", raw=digits.encode())
        logging.getLogger("library").warning("CPF %s of %s: %s", digits, email, token)
    assert leaks(output.getvalue()) == []
    assert "person [cpf] [email]" in output.getvalue()


def test_planted_secrets_do_not_leave_in_exceptions(form: str) -> None:
    cpf, _, email, *_ = SECRETS

    def fail() -> None:
        try:
            {"": ""}[f"no person {cpf}"]
        except LookupError as error:
            raise ValueError(f"could not write to {email}") from error

    with logging_as(form) as output:
        logger = structlog.get_logger("test")
        try:
            fail()
        except ValueError as error:
            logger.exception("failed")
            logger.error("failed", exc_info=error)  # noqa: TRY400 - the test logs in several ways
            logger.error("failed", error=error)  # noqa: TRY400 - the test logs in several ways
            logging.getLogger("library").exception("failed")
    assert leaks(output.getvalue()) == []
    assert output.getvalue().count("could not write to [email]") == 4


async def test_a_failed_statement_does_not_log_its_values(form: str, database: Database) -> None:
    address = SECRETS[-1]
    create = """CREATE TEMPORARY TABLE people (id int PRIMARY KEY, address text UNIQUE, age int CHECK (age > 0))
                ON COMMIT DROP"""
    insert = text("INSERT INTO people VALUES (:id, :address, :age)")

    async def fill(rows: list[tuple[int, int]]) -> None:
        async with database.transaction() as tx:
            await tx.execute(text(create))
            for number, age in rows:
                await tx.execute(insert, {"id": number, "address": f"{address}\n{address}", "age": age})

    with logging_as(form) as output:
        for rows in ([(1, 0)], [(1, 5), (2, 5)]):  # a check's error shows the whole row, a unique key's its value
            with pytest.raises(DBAPIError) as caught:
                await fill(rows)
            structlog.get_logger("test").error("failed", exc_info=caught.value)
            structlog.get_logger("test").error("failed", error=str(caught.value))
    assert leaks(output.getvalue()) == []
    assert "people_age_check" in output.getvalue(), "the failure itself is logged"
    assert "people_address_key" in output.getvalue()


def test_a_line_that_cannot_be_written_is_not_printed_raw() -> None:
    cpf = SECRETS[0]

    class Unspeakable:
        def __str__(self) -> str:
            raise ValueError(cpf)

    with logging_as("json") as output:
        structlog.get_logger("test").info("broken", cpf=cpf, value=Unspeakable())
    assert cpf not in output.getvalue()


def test_a_line_is_json_with_its_request_and_trace() -> None:
    begun = tracing.TraceSpan("span", "server", {}, tracing.SpanId(uuid7().int, 1), None)
    with logging_as("json") as output, tracing.OpenSpan(begun):
        structlog.contextvars.bind_contextvars(request_id="abc")
        structlog.get_logger("carteira.test").info("happened", amount=100, ok=True, ratio=0.5, nothing=None)
    line = json.loads(output.getvalue())
    told = (line["event"], line["level"], line["logger"], line["request_id"])
    assert told == ("happened", "info", "carteira.test", "abc")
    assert (line["amount"], line["ok"], line["ratio"], line["nothing"]) == (100, True, 0.5, None)
    assert (line["trace_id"], line["span_id"]) == (format(begun.id.trace, "032x"), "0" * 15 + "1")
    assert line["timestamp"].endswith("Z")


def test_ids_and_amounts_are_not_taken_for_personal_data() -> None:
    harmless = "entry 01a202a5-c31d-7dfc-9a7c-594812345678 of 1234567890123 centavos at 2026-11-22T09:45:48.123456Z"
    assert scrub(harmless) == harmless
