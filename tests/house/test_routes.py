"""Deny by default: each route names its access, and none answers a stranger unless it is declared public."""

import inspect
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import fastapi.routing
import httpx
import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts

from carteira.app import create_app, modules_of
from carteira.http_server.application import Application
from carteira.kit.web.access import Acts, Claims, Looks, PlainReads, Public, SignedIn
from carteira.kit.web.docs import ASSETS
from carteira.modules import OPTIONAL_MODULES, REGISTRY
from carteira.settings import Settings
from carteira.web.routing import PageRoute
from tests.support.app import settings_for
from tests.support.client import client_of


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return settings_for(tmp_path, database_url=database_url)


@pytest.fixture
def application(settings: Settings) -> Application:
    return create_app(settings)


def accesses(dependant: Dependant) -> Iterator[SignedIn | Claims | Public]:
    """Return every access among a route's dependencies, at any depth."""
    if isinstance(dependant.call, SignedIn | Claims | Public):
        yield dependant.call
    for inner in dependant.dependencies:
        yield from accesses(inner)


def routes_of(application: Application) -> list[RouteContext]:
    """Return every route, those of included routers too, except the scripts and styles of `/docs`."""
    return [route for route in iter_route_contexts(application.api.routes) if route.path != ASSETS]


def test_each_route_names_its_access(application: Application) -> None:
    routes = routes_of(application)
    assert all(isinstance(route.original_route, APIRoute) for route in routes)
    assert {"/health", "/metrics", "/docs", "/ledger/accounts/{account_id}"} <= {route.path for route in routes}
    for route in routes:
        named = list(accesses(route.dependant))
        assert named, f"{route.methods} {route.path} names no access"
        kinds = {isinstance(access, Public) for access in named}
        assert len(kinds) == 1, f"{route.path} is declared public and asks for an access, too"
        assert all(access.why for access in named if isinstance(access, Public)), f"{route.path} gives no reason"
        assert all(access.claims for access in named if isinstance(access, Claims)), f"{route.path} names no claim"


def kinds(dependant: Dependant) -> Iterator[Acts | Looks | PlainReads]:
    """Return every kind among a route's dependencies, at any depth."""
    if isinstance(dependant.call, Acts | Looks | PlainReads):
        yield dependant.call
    for inner in dependant.dependencies:
        yield from kinds(inner)


def test_each_route_with_a_claim_declares_its_audit(application: Application) -> None:
    actions: dict[type, set[str]] = {Acts: set(), Looks: set()}
    for route in routes_of(application):
        named = list(kinds(route.dependant))
        by_claim = any(isinstance(access, Claims) for access in accesses(route.dependant))
        assert len(named) == 1 if by_claim else len(named) <= 1, (
            f"{route.methods} {route.path}: declare whether it acts, looks or reads"
        )
        for kind in named:
            if isinstance(kind, PlainReads):
                assert kind.why, f"{route.path} gives no reason"
                assert route.methods == {"GET"}, f"{route.path} changes something"
            else:
                actions[type(kind)] |= set(kind.actions if isinstance(kind, Acts) else [kind.action])
    assert not actions[Acts] & actions[Looks], "acts and looks have different names"
    assert len(actions[Acts]) >= 25
    assert len(actions[Looks]) >= 20


def calls(dependant: Dependant) -> Iterator[object]:
    """Return everything that a route's dependencies call, at any depth, and the route itself."""
    yield dependant.call
    for inner in dependant.dependencies:
        yield from calls(inner)


def test_no_dependency_is_sent_to_a_thread(application: Application) -> None:
    """FastAPI runs plain functions in a thread, which costs 0.1 ms for a microsecond of work."""
    for route in routes_of(application):
        for call in calls(route.dependant):
            function = call if inspect.isfunction(call) else type(call).__call__
            runs_here = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
            assert runs_here or route.path == "/metrics", f"{route.path} depends on the plain function {call}"


@pytest.fixture
async def stranger(application: Application) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        application.api.router.lifespan_context(application.api),
        client_of(application) as client,
    ):
        yield client


async def test_a_stranger_gets_nowhere_but_in_public(application: Application, stranger: httpx.AsyncClient) -> None:
    tried = 0
    for route in routes_of(application):
        if any(isinstance(access, Public) for access in accesses(route.dependant)):
            continue
        path = re.sub(r"\{[^}]+\}", str(uuid4()), route.path or "")
        for method in route.methods or ():
            if isinstance(route.original_route, PageRoute):
                continue  # test_pages.py opens them as a stranger
            response = await stranger.request(method, path)
            assert (response.status_code, response.json()["code"]) == (401, "not_authenticated"), (method, path)
            tried += 1
    assert tried >= 5


async def test_no_request_waits_for_routes_to_be_worked_out(
    stranger: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(*_values: object, **_options: object) -> None:
        pytest.fail("a request had a route worked out")

    monkeypatch.setattr(fastapi.routing, "get_dependant", late)
    assert (await stranger.get("/nowhere")).status_code == 404
    assert (await stranger.post("/benefits/credits")).status_code == 401


def paths_to_try(application: Application) -> dict[str, str]:
    """Return the plainest path of each optional module that a signed-in person reads."""
    read = [
        route.path or ""
        for route in routes_of(application)
        if "GET" in (route.methods or ())
        and not any(isinstance(access, Public) for access in accesses(route.dependant))
    ]
    return {
        entry.name: min(
            (path for path in read if path.startswith(entry.paths)), key=lambda path: (path.count("{"), path)
        )
        for entry in REGISTRY
        if entry.optional
    }


@pytest.mark.parametrize("modules", ["none", *OPTIONAL_MODULES])
async def test_each_module_starts_alone_and_a_module_that_is_off_has_nothing(
    application: Application, settings: Settings, modules: str
) -> None:
    paths = paths_to_try(application)
    settings = settings.model_copy(update={"carteira_modules": modules})
    alone = create_app(settings)
    on = {modules} - {"none"}
    tags = {str(tag) for route in routes_of(alone) for tag in route.tags}
    assert tags & set(OPTIONAL_MODULES) == on
    assert {"identity", "ledger"} <= tags
    assert {module.name for module in modules_of(settings)} == {
        entry.name for entry in REGISTRY if not entry.optional
    } | on
    async with (
        alone.api.router.lifespan_context(alone.api),
        client_of(alone) as client,
    ):
        for module, path in paths.items():
            answer = await client.get(re.sub(r"\{[^}]+\}", "52998224725", path))
            assert answer.status_code == (401 if module in on else 404), path
        authorized = await client.post("/transactions/authorizer", content=b"{}")
        assert authorized.status_code == (200 if "benefits" in on else 404)
        assert (await client.get("/ledger/reconciliation")).status_code == 401
        promised = (await client.get("/openapi.json")).json()["paths"]
        assert {module for module, path in paths.items() if path in promised} == on
