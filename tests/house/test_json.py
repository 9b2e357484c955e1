"""Every route that takes JSON uses the one strict reader, also routes that read their bodies themselves.

Pages take forms; the few that take JSON from a script use the same reader.
"""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fastapi.routing import APIRoute, iter_route_contexts

from carteira.app import create_app
from carteira.embedded import Endpoints
from carteira.kit.web.json_route import JsonRoute
from carteira.web.routing import PageRoute
from tests.support.app import RunningApp, running_app, settings_for
from tests.support.contract import openapi_document
from tests.support.databases import NewDatabase

AUTHORIZER = "/transactions/authorizer"
"""The processor's routes: a malformed body gets an answer of its own, and money is read from the body's text."""
OPERATIONS = [
    (method.upper(), path)
    for path, operations in openapi_document()["paths"].items()
    for method, operation in operations.items()
    if "application/json" in operation.get("requestBody", {}).get("content", {})
    and not path.startswith((AUTHORIZER, "/transactions/simulate"))
]
BODIES = [b'{"amount": 1, "amount": 2}', b'[{"a": {"b": 1, "b": 1}}]', b'{"a": NaN}', b'{"a": 1e999}', rb'["\ud800"]']


@pytest.fixture(scope="module")
async def app(
    new_database: NewDatabase, endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RunningApp]:
    stores = {"redis_url": endpoints.redis_url, "aws_endpoint_url": endpoints.aws_endpoint_url}
    settings = settings_for(tmp_path_factory.mktemp("json"), database_url=new_database("json"), **stores)
    async with running_app(settings) as running:
        yield running


@pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=str)
async def test_a_body_with_two_meanings_is_422(app: RunningApp, method: str, path: str) -> None:
    url = path.replace("{cpf}", "52998224725").replace("{", "").replace("}", "")
    for name in ("user_id", "document_id", "purchase_id", "client_id"):
        url = url.replace(f"/{name}", "/01a21c5a-0000-7000-8000-000000000000")
    headers = app.bearer("*") | {"Content-Type": "application/json"}
    for body in BODIES:
        answer = await app.client.request(method, url, content=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input"), (body, answer.text)
        assert answer.json()["errors"][0]["field"] == "body", answer.text


@pytest.mark.parametrize(
    ("method", "path"),
    [
        (method.upper(), path)
        for path, operations in openapi_document()["paths"].items()
        for method in operations
        if not path.startswith(AUTHORIZER)
    ],
    ids=str,
)
async def test_a_query_that_says_something_twice_is_422(app: RunningApp, method: str, path: str) -> None:
    url = re.sub(r"{\w+}", "1", path)
    answer = await app.client.request(method, f"{url}?limit=1&limit=2", headers=app.bearer("*"))
    assert answer.status_code == 422, answer.text
    assert {"field": "limit", "message": "Este parâmetro aparece mais de uma vez."} in answer.json()["errors"]


@pytest.mark.parametrize("path", ["/transport-cards/9076123412341234/debit", "/transport-cards"])
async def test_a_header_with_two_values_is_422(app: RunningApp, path: str) -> None:
    """A route of the lane and an ordinary one; the same value twice has one meaning."""
    who, other = app.bearer()["Authorization"], app.bearer()["Authorization"]
    for headers, field in (
        ([("Authorization", who), ("Authorization", other)], "authorization"),
        ([("Authorization", who), ("Idempotency-Key", "a"), ("Idempotency-Key", "b")], "idempotency-key"),
    ):
        answer = await app.client.post(path, json={"amount": 1}, headers=headers)
        assert answer.status_code == 422, answer.text
        assert answer.json()["errors"] == [{"field": field, "message": "Este cabeçalho aparece com dois valores."}]
    same = [("Authorization", who), ("Idempotency-Key", "a"), ("Idempotency-Key", "a")]
    assert (await app.client.post(path, json={"amount": 1}, headers=same)).status_code in {201, 404}


def test_every_route_of_ours_is_one_that_reads_strictly(database_url: str, tmp_path: Path) -> None:
    application = create_app(settings_for(tmp_path, database_url=database_url))
    lenient = [
        f"{sorted(route.methods or ())} {route.path}"
        for route in iter_route_contexts(application.api.routes)
        if isinstance(route.original_route, APIRoute)
        and not isinstance(route.original_route, JsonRoute | PageRoute)
        and (route.methods or set()) - {"GET", "HEAD"}
    ]
    assert not lenient, "name JsonRoute as the router's route_class"
