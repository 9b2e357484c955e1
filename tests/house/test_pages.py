"""Every page is listed in the reference, sends a stranger to sign in, and takes forms of this site only."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import RouteContext, iter_route_contexts

from carteira.app import create_app
from carteira.http_server.application import Application
from carteira.kit.web.access import Public
from carteira.web.routing import PageRoute, UploadRoute
from tests.house.test_routes import accesses
from tests.support.app import settings_for
from tests.support.client import client_of
from tests.support.source import ROOT, SOURCE

TEMPLATES = sorted((SOURCE / "web" / "templates").rglob("*.html"))
SCREENS = [one for one in TEMPLATES if '{% extends "console.html" %}' in one.read_text()]
FILE = {"file": ("rg.pdf", b"%PDF-1.7", "application/pdf")}
LINK = "link.html"
"""Its form goes to a route of the API, under the secret of a message's link."""
PERSONAL = {"cpf", "email", "phone", "username", "telefone", "celular"}
REFERENCE = ROOT / "docs" / "reference" / "pages.md"


@pytest.fixture
def application(database_url: str, tmp_path: Path) -> Application:
    return create_app(settings_for(tmp_path, database_url=database_url))


@pytest.fixture
async def stranger(application: Application) -> AsyncIterator[httpx.AsyncClient]:
    async with application.api.router.lifespan_context(application.api), client_of(application) as client:
        yield client


def pages_of(application: Application) -> list[RouteContext]:
    return [
        route for route in iter_route_contexts(application.api.routes) if isinstance(route.original_route, PageRoute)
    ]


def is_upload(route: RouteContext) -> bool:
    """Return whether a route checks the token itself, before it reads the file; a page checks the session first."""
    return isinstance(route.original_route, UploadRoute)


def is_public(route: RouteContext) -> bool:
    return any(isinstance(access, Public) for access in accesses(route.dependant))


def address_of(route: RouteContext) -> str:
    return re.sub(r"\{[^}]+\}", str(uuid4()), route.path or "")


@pytest.mark.parametrize("screen", SCREENS, ids=lambda screen: screen.name)
def test_a_screen_of_the_console_has_a_heading_besides_its_panel(screen: Path) -> None:
    assert "<h1" in screen.read_text().split("{% block panel %}")[0]


def test_no_page_is_in_the_contract(application: Application) -> None:
    assert len(pages_of(application)) >= 15
    assert not {route.path for route in pages_of(application)} & set(application.api.openapi()["paths"])


async def test_a_stranger_is_led_to_sign_in_and_back(application: Application, stranger: httpx.AsyncClient) -> None:
    tried = 0
    for route in pages_of(application):
        if is_public(route) or "GET" not in (route.methods or ()):
            continue
        answer = await stranger.get(address_of(route))
        assert answer.status_code == 303, route.path
        assert answer.headers["location"].startswith("/app/entrar"), route.path
        tried += 1
    assert tried >= 4


async def test_each_form_is_refused_without_its_browsers_token(
    application: Application, stranger: httpx.AsyncClient
) -> None:
    tried = 0
    for route in pages_of(application):
        for method in (route.methods or set()) - {"GET", "HEAD"}:
            for data, files in (({}, None), ({"csrf": "x" * 88}, None), ({"csrf": "x" * 88}, FILE), ({}, FILE)):
                answer = await stranger.request(
                    method, address_of(route), data=data, files=files, headers={"Accept": "application/json"}
                )
                first = (401, "not_authenticated") if files and is_upload(route) else (403, "form_not_ours")
                assert (answer.status_code, answer.json()["code"]) == first, route.path
            tried += 1
    assert tried >= 8


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_each_form_that_posts_carries_the_token_and_nothing_is_inline(path: Path) -> None:
    text = path.read_text()
    if path.name != LINK:
        for form in re.findall(r"<form\b[^>]*method=\"post\".*?</form>", text, re.DOTALL):
            assert "csrf_field" in form, form[:120]
    assert not re.search(r"<style|<script(?![^>]*src=)|\sstyle=|\son[a-z]+=|\|safe\b|hx-on|js:|\bclick\[", text)


def asked_in_addresses(dependant: Dependant) -> set[str]:
    inner = (asked_in_addresses(inner) for inner in dependant.dependencies)
    return {field.alias.lower() for field in [*dependant.query_params, *dependant.path_params]}.union(*inner)


def test_no_address_names_a_person(application: Application) -> None:
    """A search sends the person's name in a form's body: addresses stay in logs, histories and on other screens."""
    named = {route.path: asked_in_addresses(route.dependant) & PERSONAL for route in pages_of(application)}
    assert {path: names for path, names in named.items() if names} == {}
    shown = [form for path in TEMPLATES for form in re.findall(r"<form\b[^>]*>.*?</form>", path.read_text(), re.DOTALL)]
    by_address = [form for form in shown if 'method="post"' not in form.partition(">")[0]]
    assert by_address
    for form in by_address:
        assert PERSONAL.isdisjoint(re.findall(r"\bname=\"(\w+)\"", form)), form[:120]


def test_every_page_is_in_the_reference(application: Application) -> None:
    served = {
        (method, re.sub(r"\{\w+\}", "{}", route.path or ""))
        for route in pages_of(application)
        for method in route.methods or ()
        if method != "HEAD"
    }
    told = {
        (method, re.sub(r"\{\w+\}", "{}", path))
        for path, methods in re.findall(r"^\| `(/[^`]*)` \| ([A-Z, ]+) \|", REFERENCE.read_text(), re.MULTILINE)
        for method in methods.split(", ")
    }
    assert told == served
