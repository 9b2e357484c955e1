"""Every JSON route answers 422 to an unknown parameter, by one mechanism: no filter is ignored."""

import re
from collections.abc import AsyncIterator

import pytest
from fastapi.routing import APIRoute, iter_route_contexts

from carteira.kit.web.json_route import JsonRoute
from tests.support.app import RunningApp, running_app, settings_for
from tests.support.contract import openapi_document

OPEN = {
    "/auth/{provider}/callback",
    "/auth/code",
    "/auth/contacts/confirm",
    "/auth/contacts/undo",
    "/auth/invitation",
    "/payments/provider/pix",
}
"""Routes that providers call, and that they and mail programs send browsers to: they add parameters of their own."""
AUTHORIZER = "/transactions/authorizer"
OPERATIONS = [
    (method.upper(), path)
    for path, item in openapi_document()["paths"].items()
    for method in item
    if not path.startswith(AUTHORIZER)
]
SOME = "01a21c5a-0000-7000-8000-000000000000"


@pytest.fixture(scope="module")
async def app(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningApp]:
    async with running_app(settings_for(tmp_path_factory.mktemp("queries"), database_url=database_url)) as running:
        yield running


async def test_only_routes_for_others_accept_any_query(app: RunningApp) -> None:
    routes = [route.original_route for route in iter_route_contexts(app.api.routes)]
    ours = [route for route in routes if isinstance(route, APIRoute) and isinstance(route, JsonRoute)]
    assert len(ours) > len(OPERATIONS)
    assert {route.path for route in ours if route.known_queries() is None} == OPEN


async def test_routes_match_the_contract(app: RunningApp) -> None:
    paths = app.api.openapi()["paths"]
    for route in iter_route_contexts(app.api.routes):
        original = route.original_route
        known = original.known_queries() if isinstance(original, JsonRoute) else None
        if not isinstance(original, JsonRoute) or not original.include_in_schema or known is None:
            continue
        for method in original.methods or ():
            told = paths[re.sub(r":rest\}", "}", original.path)][method.lower()].get("parameters", ())
            assert {one["name"] for one in told if one["in"] == "query"} == known, original.path


async def test_an_unknown_parameter_is_422(app: RunningApp) -> None:
    everything = app.bearer("*")
    for method, path in OPERATIONS:
        url = re.sub(r"\{\w+\}", SOME, path)
        answer = await app.client.request(method, f"{url}?nunca_houve=1", headers=everything)
        if path in OPEN and (method == "GET" or path == "/payments/provider/pix"):
            assert "nunca_houve" not in answer.text
            continue
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input"), (method, path, answer.text)
        errors = answer.json()["errors"]
        assert [error["field"] for error in errors] == ["nunca_houve"]
        assert errors[0]["message"].startswith("Parâmetro desconhecido")


async def test_errors_suggest_the_intended_parameter(app: RunningApp) -> None:
    answer = await app.person().get("/transactions?acount=x")
    assert answer.json()["errors"][0]["message"] == "Parâmetro desconhecido. Você quis dizer `account`?"
    answer = await app.person().get("/transactions?zzz=x")
    assert "`account`, `code`" in answer.json()["errors"][0]["message"]


async def test_thousands_of_unknown_parameters_are_reported_by_some(app: RunningApp) -> None:
    """A request's head has room for twenty thousand names: the answer must not be a hundred times its size."""
    for query in ("&".join(f"p{number}" for number in range(9_000)), "&".join(f"p{n % 4_000}" for n in range(9_000))):
        answer = await app.person().get(f"/transactions?{query}")
        assert answer.status_code == 422
        assert len(answer.json()["errors"]) <= 40
        assert len(answer.content) < len(query)


WRITES = [(method, path) for method, path in OPERATIONS if method != "GET" and not path.endswith("/merchants/{name}")]
"""A merchant's name may have any character, a slash too."""


async def test_a_slash_too_many_is_404_for_writes(app: RunningApp) -> None:
    everything = app.bearer("*")
    for method, path in WRITES:
        url = re.sub(r"\{\w+\}", SOME, path) + "/"
        answer = await app.client.request(method, url, headers=everything, follow_redirects=False)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), (method, path, answer.text)


async def test_a_name_left_out_of_a_path_is_404(app: RunningApp) -> None:
    for method, url in (("DELETE", "/users/"), ("PUT", "/benefits/merchants/"), ("DELETE", "/benefits/merchants/")):
        answer = await app.client.request(method, url, headers=app.bearer("*"), json={"mcc": "5811"})
        assert answer.status_code == 404, (url, answer.text)


UNDATED = {
    "/benefits/accounts/imports/{import_id}/lines",
    "/benefits/employers/{employer_id}/members",
    "/chatbot/topics",
    "/claims",
    "/roles",
    "/transit/denied-cards",
}
"""Lists of the present state: by person, by name or by number."""


def parameters_of(path: str) -> set[str]:
    return {parameter["name"] for parameter in openapi_document()["paths"][path]["get"].get("parameters", ())}


async def test_every_list_and_statement_takes_a_period_and_keeps_to_it(app: RunningApp) -> None:
    lists = {path for method, path in OPERATIONS if method == "GET" and "cursor" in parameters_of(path)}
    assert {path for path in lists if not {"from", "to"} <= parameters_of(path)} == UNDATED
    assert len(lists - UNDATED) >= 20
    everything = app.bearer("*")
    for path in lists - UNDATED:
        url = path.replace("{cpf}", "52998224725").replace("{account}", "123")
        url = re.sub(r"\{\w+\}", SOME, url)
        for period in ("from=2999-01-01", "to=1990-12-31"):
            answer = await app.client.get(f"{url}?{period}", headers=everything)
            assert answer.status_code in {200, 403, 404}, (url, answer.text)
            assert answer.json().get("items", []) == [], url
        answer = await app.client.get(f"{url}?from=nunca", headers=everything)
        assert [error["field"] for error in answer.json()["errors"]] == ["from"], url
