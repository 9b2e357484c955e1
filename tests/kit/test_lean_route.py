"""A lean route gives FastAPI's answers: for correct bodies, headers and paths, and for each wrong one."""

from collections.abc import AsyncIterator
from datetime import date
from typing import Annotated

import httpx
import pytest
from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import BaseModel, ConfigDict
from starlette.types import ASGIApp, Message
from structlog.testing import capture_logs

from carteira.kit.db.engine import Database
from carteira.kit.web.access import public
from carteira.kit.web.json_route import JsonRoute
from carteira.kit.web.lean_route import LeanRoute, lean
from tests.support.client import client_of
from tests.support.kit_app import application

ORDINARY, LEAN = "/ordinary", "/lean"
router = APIRouter(route_class=JsonRoute, dependencies=[public("a test's")])


class Coin(BaseModel):
    """The routes' body."""

    model_config = ConfigDict(extra="forbid", strict=True)
    amount: int


async def _described(request: Request, key: Annotated[str | None, Header(alias="x-key", max_length=3)] = None) -> str:
    return f"{request.method} {key}"


@router.post(ORDINARY + "/{number}")
@router.post(LEAN + "/{number}", dependencies=[lean("a test's")])
async def move(number: int, coin: Coin, told: Annotated[str, Depends(_described)]) -> dict[str, object]:
    return {"number": number, "amount": coin.amount, "told": told}


@router.get(ORDINARY + "/{name}/lines")
@router.post(LEAN + "/{name}/lines", dependencies=[lean("a test's")])
async def lines(
    name: str,
    kind: Annotated[str, Query(max_length=3)],
    limit: Annotated[int, Query(ge=1)] = 20,
    tags: Annotated[list[str] | None, Query(alias="tag")] = None,
    since: date | None = None,
) -> dict[str, object]:
    return {"name": name, "kind": kind, "limit": limit, "tags": tags, "since": since}


@router.post(LEAN + "/plain/{number}", dependencies=[lean("a test's")])
async def plain(number: int) -> Response:
    return Response(str(number))


@pytest.fixture(scope="module")
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(served()) as client:
        yield client


def served() -> ASGIApp:
    """The routes as the product serves them; their database is never asked."""
    return application(router, database=Database("postgresql://nobody@127.0.0.1:1/none"))


JSON = {"content-type": "application/json"}
ASKED = [
    ("7", b'{"amount":5}', JSON),
    ("7", b'{"amount":5}', JSON | {"x-key": "abc"}),
    ("7", b'{"amount":5}', JSON | {"x-key": "abcd"}),
    ("seven", b'{"amount":"5"}', JSON | {"x-key": "abcd"}),
    ("7", b'{"amount":5}', {"content-type": "application/json; charset=utf-8"}),
    ("7", b'{"amount":5}', {"content-type": "application/vnd.x+json"}),
    ("7", b'{"amount":5}', {"content-type": "text/plain"}),
    ("7", b'{"amount":5}', {"content-type": "nonsense"}),
    ("7", b'{"amount":5}', {}),
    ("7", b"", JSON),
    ("7", b"", {}),
    ("7", b"{", JSON),
    ("7", b"null", JSON),
    ("7", b"[]", JSON),
    ("7", b'{"amount":5,"amount":6}', JSON),
    ("7", b'{"amount":5.0}', JSON),
    ("7", b'{"amount":true}', JSON),
    ("7", b'{"amount":99999999999999999999}', JSON),
    ("7", b'{"amount":5,"more":1}', JSON),
    ("7", b"\xff", JSON),
    ("7?x=1", b'{"amount":5}', JSON),
]


@pytest.mark.parametrize(("number", "body", "headers"), ASKED)
async def test_a_lean_route_answers_as_an_ordinary_one(
    client: httpx.AsyncClient, number: str, body: bytes, headers: dict[str, str]
) -> None:
    ordinary, ours = [await client.post(f"{path}/{number}", content=body, headers=headers) for path in (ORDINARY, LEAN)]
    assert ours.status_code == ordinary.status_code
    assert ours.headers["content-type"] == ordinary.headers["content-type"]
    assert ours.json() | {"request_id": ""} == ordinary.json() | {"request_id": ""}


@pytest.mark.parametrize(
    "query",
    [
        "kind=abc",
        "kind=abc&limit=3&tag=a&tag=b&since=2026-01-02",
        "kind=abc&kind=abd&limit=3&limit=4",
        "kind=",
        "kind=abcd&limit=0&since=x",
        "kind=abc&tag=",
        "kind=abc&limit=&since=",
        "limit=x",
        "",
    ],
)
async def test_a_lean_route_reads_a_query_as_an_ordinary_one(client: httpx.AsyncClient, query: str) -> None:
    ordinary = await client.get(f"{ORDINARY}/a%20b/lines?{query}")
    ours = await client.post(f"{LEAN}/a%20b/lines?{query}")
    assert ours.status_code == ordinary.status_code
    assert ours.json() | {"request_id": ""} == ordinary.json() | {"request_id": ""}


@pytest.mark.parametrize("path", [ORDINARY, LEAN])
async def test_a_client_that_leaves_in_the_middle_of_its_body_is_no_error_of_ours(path: str) -> None:
    sent: list[Message] = []
    arriving: list[Message] = [
        {"type": "http.request", "body": b'{"am', "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Message:
        return arriving.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": f"{path}/7", "raw_path": f"{path}/7".encode(), "query_string": b"",
        "headers": [(b"content-type", b"application/json")], "scheme": "http", "server": ("carteira", 80),
        "client": ("127.0.0.1", 1), "http_version": "1.1", "root_path": "",
    }  # fmt: skip
    with capture_logs() as lines:
        await served()(scope, receive, send)
    assert sent[0]["status"] == 422
    assert not [line for line in lines if line["log_level"] == "error"]


async def test_a_route_without_a_body_reads_none(client: httpx.AsyncClient) -> None:
    assert (await client.post(LEAN + "/plain/7", content=b"{", headers=JSON)).text == "7"


def test_only_declared_routes_are_lean() -> None:
    lean_ones = {
        route.path for route in router.routes if isinstance(route, JsonRoute) and isinstance(route.app, LeanRoute)
    }
    assert lean_ones == {LEAN + "/{number}", LEAN + "/{name}/lines", LEAN + "/plain/{number}"}


async def _of_its_own(coin: Coin) -> int:
    return coin.amount


def _not_awaited() -> int:
    return 1


@pytest.mark.parametrize("dependency", [_of_its_own, _not_awaited])
def test_unsupported_dependencies_are_refused_at_the_start(dependency: object) -> None:
    with pytest.raises(TypeError, match="a lean route depends on"):

        @APIRouter(route_class=JsonRoute).post("/x", dependencies=[lean("a test's"), Depends(dependency)])  # type: ignore[arg-type] # any callable
        async def wrong() -> None: ...
