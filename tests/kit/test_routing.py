"""The index finds the route that FastAPI would find."""

from pathlib import Path

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.routing import Match
from starlette.types import Scope

from carteira.app import create_app
from carteira.kit.web.json_route import JsonRoute
from carteira.kit.web.routing import add_routes, first_segment
from tests.support.app import settings_for

cards = APIRouter(route_class=JsonRoute, prefix="/cards")
cards_too = APIRouter(route_class=JsonRoute)


@cards.get("/mine")
async def get_mine() -> str:
    return "mine"


@cards.get("/{number}")
async def get_card(number: str) -> str:
    return number


@cards_too.post("/cards/{number}")
async def post_card(number: str) -> str:
    return f"posted {number}"


@cards_too.get("/files/{path:path}")
async def get_file(path: str) -> str:
    return path


@pytest.fixture
def client() -> httpx.AsyncClient:
    api = FastAPI(redirect_slashes=False)
    add_routes(api, [cards, cards_too])

    @api.get("/late")
    async def get_late() -> str:
        return "late"

    return httpx.AsyncClient(transport=httpx.ASGITransport(api), base_url="http://test")


async def test_the_first_route_that_takes_a_request_answers_it(client: httpx.AsyncClient) -> None:
    answers = {path: (await client.get(path)).json() for path in ("/cards/mine", "/cards/7", "/files/a/b", "/late")}
    assert answers == {"/cards/mine": "mine", "/cards/7": "7", "/files/a/b": "a/b", "/late": "late"}
    assert (await client.post("/cards/7")).json() == "posted 7"


async def test_unknown_paths_get_the_usual_problem(client: httpx.AsyncClient) -> None:
    assert [(await client.get(path)).status_code for path in ("/", "/card", "/cards", "/cards/", "/cards/7/")] == [
        *(404, 404, 404, 404, 404)
    ]
    refused = await client.put("/cards/7")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET")


def test_a_router_within_a_router_is_refused() -> None:
    outer = APIRouter()
    outer.include_router(cards)
    with pytest.raises(TypeError, match="not a route"):
        add_routes(FastAPI(), [outer])


def test_the_index_finds_every_route_of_the_product(database_url: str, tmp_path: Path) -> None:
    api = create_app(settings_for(tmp_path, database_url=database_url)).api
    routes = [route for route in api.routes if isinstance(route, APIRoute)]
    assert len(routes) > 200
    for route in routes:
        path = route.path_format.replace("{", "").replace("}", "")
        assert first_segment(path) == first_segment(route.path_format), f"{path} is missing from the index"
        for method in route.methods or ():
            scope: Scope = {"type": "http", "path": path, "method": method, "headers": []}
            first = next(each for each in routes if each.matches(scope)[0] == Match.FULL)
            indexed = [each for each in routes if first_segment(each.path_format) == first_segment(path)]
            assert next(each for each in indexed if each.matches(scope)[0] == Match.FULL) is first
