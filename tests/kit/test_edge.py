"""Rules of every request: request ids, limits on size and time, errors that become problems, access."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any
from uuid import UUID, uuid4

import httpx
import pytest
import structlog
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from carteira.kit.ops import metrics
from carteira.kit.web.access import Principal, Who, claims, public, reads
from carteira.kit.web.edge import Edge
from carteira.kit.web.json_route import JsonRoute
from carteira.kit.web.problems import Conflict
from tests.support.client import client_of
from tests.support.kit_app import application

router = APIRouter(route_class=JsonRoute)
anyone = [public("a test")]
STREAM_LIMIT_SECONDS = 0.6


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    amount: int


@router.post("/things", dependencies=anyone)
@router.post("/large", dependencies=anyone)
async def take(request: Request) -> int:
    return len(await request.body())


@router.post("/parsed", dependencies=anyone)
async def parse(body: Body) -> str:
    return body.name


@router.get("/slow", dependencies=anyone)
async def slow() -> None:
    await asyncio.Event().wait()


@router.get("/stream", dependencies=anyone)
async def stream(request: Request) -> StreamingResponse:
    request.app.state.go_on = asyncio.Event()

    async def parts() -> AsyncIterator[bytes]:
        yield b"first "
        await request.app.state.go_on.wait()
        yield b"second"

    return StreamingResponse(parts())


@router.post("/go-on", dependencies=anyone)
async def go_on(request: Request) -> None:
    request.app.state.go_on.set()


@router.get("/broken", dependencies=anyone)
async def broken() -> None:
    raise RuntimeError("the secret reason")


@router.get("/conflict", dependencies=anyone)
async def conflict() -> None:
    raise Conflict("Já existe.", errors=[{"field": "code", "message": "Repetido."}])


@router.get("/things/{thing_id}", dependencies=anyone)
async def thing(thing_id: UUID) -> UUID:
    return thing_id


@router.get("/me")
async def me(who: Who) -> UUID:
    return who.user_id


@router.get("/guarded", dependencies=[reads("a test")])
async def guarded(who: Annotated[Principal, claims("x:read", "x:write")]) -> UUID:
    return who.user_id


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(application(router, timeout_seconds=0.05)) as client:
        yield client


def problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Assert that an answer is a problem of ours."""
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert (response.status_code, body["status"], body["code"]) == (status, status, code)
    assert body["type"] == f"urn:carteira:problem:{code}"
    assert body["request_id"] == response.headers["x-request-id"]
    assert body["title"]
    assert body["detail"]
    return body


async def test_a_request_id_is_taken_or_made(client: httpx.AsyncClient) -> None:
    taken = await client.get("/conflict", headers={"X-Request-ID": "from-the_caller:1.0"})
    assert taken.headers["x-request-id"] == "from-the_caller:1.0"
    problem(taken, 409, "conflict")
    for bad in ("", "two words", "x" * 129, "new\tline", '{"json": 1}', "ç", "529.982.247-25", "order_52998224725"):
        made = await client.get("/conflict", headers={b"X-Request-ID": bad.encode("latin-1")})
        assert UUID(made.headers["x-request-id"]).version == 7
    one, other = await client.get("/nowhere"), await client.get("/nowhere")
    assert one.headers["x-request-id"] != other.headers["x-request-id"]


def counted() -> set[tuple[str, str]]:
    samples = [sample for metric in metrics.requests_total.collect() for sample in metric.samples]
    return {(sample.labels["method"], sample.labels["route"]) for sample in samples}


async def test_invented_methods_and_paths_make_no_time_series(client: httpx.AsyncClient) -> None:
    metrics.render()
    before = counted()
    for method in ("PURGE", "MKCOL", "X" * 40, "PATCH"):
        for path in ("/large", "/things", f"/nowhere/{method}"):
            assert (await client.request(method, path)).status_code in {404, 405}
    metrics.render()
    assert counted() - before <= {("_OTHER", "unmatched"), ("PATCH", "unmatched")}


async def test_every_answer_is_hardened(client: httpx.AsyncClient) -> None:
    for path in ("/conflict", "/broken", "/nowhere", f"/things/{uuid4()}"):
        headers = (await client.get(path)).headers
        assert (headers["x-content-type-options"], headers["cache-control"]) == ("nosniff", "no-store")
        assert (headers["x-frame-options"], headers["referrer-policy"]) == ("DENY", "no-referrer")


async def test_a_body_over_the_limit_is_413_by_its_length(client: httpx.AsyncClient) -> None:
    assert (await client.post("/things", content=b"x" * 1_000)).json() == 1_000
    problem(await client.post("/things", content=b"x" * 1_001), 413, "payload_too_large")
    assert (await client.post("/large", content=b"x" * 10_000)).json() == 10_000
    problem(await client.post("/large", content=b"x" * 10_001), 413, "payload_too_large")


@pytest.mark.parametrize("path", ["/things", "/parsed"])
async def test_a_body_over_the_limit_is_413_when_it_comes_in_chunks(client: httpx.AsyncClient, path: str) -> None:
    sent = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1_000):
            sent += 1
            yield b"x" * 100

    problem(await client.post(path, content=chunks()), 413, "payload_too_large")
    assert sent <= 12, "the rest is not read"


async def test_a_slow_route_is_503(client: httpx.AsyncClient) -> None:
    problem(await client.get("/slow"), 503, "request_timed_out")


async def test_a_body_that_does_not_come_is_503() -> None:
    messages = []

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Any) -> None:  # noqa: ANN401 - an ASGI message
        messages.append(message)

    scope = {"type": "http", "method": "POST", "path": "/things", "query_string": b"", "headers": []}
    await application(router, timeout_seconds=0.05)(scope, receive, send)
    assert messages[0]["status"] == 503
    assert json.loads(messages[1]["body"])["code"] == "request_timed_out"


async def test_a_long_download_is_not_a_slow_route() -> None:
    async with client_of(application(router, timeout_seconds=STREAM_LIMIT_SECONDS)) as client:
        download = asyncio.create_task(client.get("/stream"))
        for _ in range(2):
            assert (await client.get("/slow")).status_code == 503, "the limit of a request that began later"
        await client.post("/go-on")
        assert (await download).text == "first second"


async def test_an_answer_that_comes_as_the_time_runs_out_is_503() -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        async def answer() -> None:
            time.sleep(0.05)  # noqa: ASYNC251 - the loop is busy with something else as well
            await asyncio.sleep(0)
            await send({"type": "http.response.start", "status": 200, "headers": []})

        async with asyncio.TaskGroup() as group:
            group.create_task(answer())

    edge = Edge(app, max_body_bytes=100, body_limits={}, timeout_seconds=0.01)
    async with client_of(edge) as client:
        problem(await client.get("/"), 503, "request_timed_out")


async def test_an_unhandled_error_is_a_problem_without_its_reason(client: httpx.AsyncClient) -> None:
    response = await client.get("/broken")
    problem(response, 500, "internal_error")
    assert not {"secret", "RuntimeError", "Traceback"} & set(response.text.split())


async def test_the_frameworks_own_errors_are_problems(client: httpx.AsyncClient) -> None:
    problem(await client.get("/nowhere"), 404, "not_found")
    response = await client.delete("/me")
    problem(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "GET"


async def test_each_broken_field_is_named_and_never_repeated(client: httpx.AsyncClient) -> None:
    body = problem(await client.post("/parsed", json={"amount": "hunter2", "more": 1}), 422, "invalid_input")
    assert {error["field"]: error["message"] for error in body["errors"]} == {
        "name": "Campo obrigatório.",
        "amount": "Envie um número inteiro.",
        "more": "Campo desconhecido.",
    }
    assert "hunter2" not in json.dumps(body)
    assert problem(await client.get("/things/x"), 422, "invalid_input")["errors"][0]["field"] == "thing_id"


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe", b"null", b"[]", b'"x"', b"[" * 900, b'{"name": "\\ud800"}']
)
async def test_rubbish_is_422(client: httpx.AsyncClient, content: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    assert problem(await client.post("/parsed", content=content, headers=headers), 422, "invalid_input")


async def test_nobody_passes_without_a_good_token(client: httpx.AsyncClient) -> None:
    for value in (None, "Bearer", "Bearer x", f"Basic {uuid4()}", str(uuid4())):
        headers = {"Authorization": value} if value else {}
        for path in ("/me", "/guarded"):
            response = await client.get(path, headers=headers)
            problem(response, 401, "not_authenticated")
            assert response.headers["www-authenticate"].startswith("Bearer")


async def test_every_claim_named_is_needed(client: httpx.AsyncClient) -> None:
    someone = uuid4()

    async def status(claims: str) -> int:
        headers = {"Authorization": f"Bearer {someone}/{claims}"}
        assert (await client.get("/me", headers=headers)).json() == str(someone)
        return (await client.get("/guarded", headers=headers)).status_code

    held = ("", "x", "x:read", "x:write", "x:reader,x:write", "x:read,x:write", "*")
    tried = {claims: await status(claims) for claims in held}
    assert [claims for claims, answer in tried.items() if answer == 200] == ["x:read,x:write", "*"]
    assert set(tried.values()) == {200, 403}
    response = await client.get("/guarded", headers={"Authorization": f"Bearer {someone}"})
    problem(response, 403, "forbidden")


async def test_each_requests_log_line_names_its_caller(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("carteira.kit.web.edge.log", structlog.get_logger("carteira.http"))  # one that is not cached
    someone = uuid4()
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        await client.get("/guarded", headers={"Authorization": f"Bearer {someone}"})
        await client.get("/guarded")
        await client.get("/nowhere")
        await client.get(f"/things/{someone}")
    told = [
        (line["status"], line.get("actor_kind"), line.get("actor_id"), line.get("problem"))
        for line in lines
        if line["event"] == "request"
    ]
    assert told == [
        (403, "person", str(someone), "forbidden"),
        (401, None, None, "not_authenticated"),
        (404, None, None, "not_found"),
        (200, None, None, None),
    ]


async def test_only_http_is_bounded() -> None:
    seen: list[str] = []

    async def receive() -> dict[str, Any]:
        return {"type": "lifespan.shutdown" if seen else "lifespan.startup"}

    async def send(message: Any) -> None:  # noqa: ANN401 - an ASGI message
        seen.append(message["type"])

    await application(router)({"type": "lifespan"}, receive, send)
    assert seen == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
