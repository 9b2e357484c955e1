"""Each address of the console as a stranger, a citizen and each role that ships: access, and the refusals of others."""

import re
from uuid import uuid4

import pytest
from fastapi.routing import RouteContext, iter_route_contexts

from carteira.identity.roles.shipped import ADMINISTRATOR, CITIZEN, ROLES
from carteira.kit.web.access import Claims
from carteira.web.console import live
from carteira.web.console.screens import GROUPS, HOME
from carteira.web.routing import PageRoute
from tests.house.test_routes import accesses
from tests.support.app import RunningApp
from tests.support.console import desk_of
from tests.support.pages import PlainBrowser, Shown

ENDLESS = live.PATH
"""Addresses that stream for as long as they are open: tests/browser/test_console.py tests them."""


def screens_of(app: RunningApp) -> list[tuple[str, str, frozenset[str]]]:
    """Return each method and address under the console, with the claims that it demands."""
    return [
        (method, route.path or "", frozenset(claim for one in _claims(route) for claim in one.claims))
        for route in iter_route_contexts(app.api.routes)
        if isinstance(route.original_route, PageRoute) and (route.path or "").startswith(HOME)
        for method in sorted(route.methods or ())
        if method != "HEAD"
    ]


def _claims(route: RouteContext) -> list[Claims]:
    return [access for access in accesses(route.dependant) if isinstance(access, Claims)]


async def ask(browser: PlainBrowser, method: str, path: str, token: str) -> Shown:
    address = re.sub(r"\{[^}]+\}", lambda _: str(uuid4()), path)
    data = {"csrf": token} if method == "POST" else None
    return Shown(await browser.client.request(method, address, data=data))


async def token_of(browser: PlainBrowser) -> str:
    page = await browser.open("/app/menu")
    return page.form("/app/sair").fields["csrf"]


async def test_a_stranger_is_led_to_sign_in(app: RunningApp) -> None:
    browser = PlainBrowser(app)
    for method, path, _ in screens_of(app):
        if method == "GET":
            shown = await ask(browser, method, path, "")
            assert (shown.status, shown.answer.headers["location"].partition("?")[0]) == (303, "/app/entrar"), path
    await browser.client.aclose()


async def test_a_citizen_finds_nothing(app: RunningApp) -> None:
    async with desk_of(app, CITIZEN) as browser:
        token = await token_of(browser)
        for method, path, _ in screens_of(app):
            shown = await ask(browser, method, path, token)
            assert shown.status == 404, (method, path)
            assert "console" not in shown.answer.text, (method, path)
        assert HOME not in (await browser.open("/app/menu")).links


@pytest.mark.parametrize("role", [ADMINISTRATOR, *ROLES])
async def test_a_role_finds_only_the_screens_of_its_claims(app: RunningApp, role: str) -> None:
    async with desk_of(app, role) as browser:
        token = await token_of(browser)
        assert HOME in (await browser.open("/app/menu")).links
        for method, path, demanded in screens_of(app):
            if path == ENDLESS and (role == ADMINISTRATOR or demanded <= ROLES[role]):
                continue
            shown = await ask(browser, method, path, token)
            if role == ADMINISTRATOR or demanded <= ROLES[role]:
                assert shown.status < 500 and shown.status != 403, (method, path, shown.text)  # noqa: PT018 - the two values are one outcome
            else:
                assert shown.status == 403, (method, path)
                assert "Seu acesso não inclui isto" in shown.text, (method, path)
                assert any(claim in shown.text for claim in demanded - ROLES[role]), (method, path)
        drawn = {screen for group in GROUPS for screen in group.screens}
        hidden = {one.path for one in drawn if role != ADMINISTRATOR and not set(one.claims) <= ROLES[role]}
        home = await browser.open(HOME)
        assert home.status == 200
        assert not hidden & set(home.links), "a role's pages link to nothing that it may not see"
        assert {one.path for one in drawn} - hidden <= set(home.links)
