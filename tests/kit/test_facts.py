"""Facts of storage, outbound calls and security become the problems that the one table names."""

import httpx
import pytest
from fastapi import APIRouter

from carteira.kit.db.errors import CommitUnknown, DatabaseDown, OperationInProgress, TextNotStorable
from carteira.kit.outbound.http import ServiceDown
from carteira.kit.security.rate_limits import LimitReached
from carteira.kit.security.tokens import InvalidToken
from carteira.kit.web import problems
from carteira.kit.web.access import public
from tests.support.client import client_of
from tests.support.kit_app import application

FACTS: list[tuple[Exception, int, str, str | None]] = [
    (DatabaseDown(), 503, "database_down", "5"),
    (CommitUnknown(), 503, "database_down", "5"),
    (ServiceDown(), 503, "dependency_down", "5"),
    (OperationInProgress(), 409, "operation_in_progress", None),
    (TextNotStorable(), 422, "invalid_input", None),
    (InvalidToken(), 401, "not_authenticated", None),
    (LimitReached(17), 429, "too_many_requests", "17"),
    (LimitReached(0), 429, "too_many_requests", "1"),
]


@pytest.mark.parametrize(("fact", "status", "code", "retry_after"), FACTS, ids=lambda value: type(value).__name__)
async def test_each_fact_is_answered_as_its_problem(
    fact: Exception, status: int, code: str, retry_after: str | None
) -> None:
    router = APIRouter()

    @router.get("/fact", dependencies=[public("a test")])
    async def fail() -> None:
        raise fact

    async with client_of(application(router)) as client:
        answer: httpx.Response = await client.get("/fact")
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers.get("retry-after") == retry_after
    assert answer.headers["content-type"] == problems.MEDIA_TYPE
    assert ("www-authenticate" in answer.headers) == (status == 401)


def test_unexpected_errors_are_500_and_lost_connections_are_not() -> None:
    assert type(problems.problem_of(ValueError("secret"))) is problems.Problem
    assert problems.problem_of(ConnectionResetError()).code == "database_down"
