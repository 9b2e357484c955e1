"""A browser's session: its cookie, where its forms may come from, its end, and what remains on a shared computer."""

import re
from datetime import timedelta
from urllib.parse import quote
from uuid import UUID, uuid4

import pytest
from fastapi.routing import iter_route_contexts
from sqlalchemy import text

from carteira.kit.values.clock import clock
from carteira.web import csrf
from carteira.web.rendering import is_local
from carteira.web.routers import UPLOADS
from carteira.web.routing import PageRoute
from tests.support.app import RunningApp
from tests.support.pages import PlainBrowser, Shown
from tests.support.people import register, sign_in


def cookies_set(shown: Shown) -> dict[str, str]:
    found = [header.partition("=") for header in shown.answer.headers.get_list("set-cookie")]
    return {name: rest for name, _, rest in found}


async def live_sessions(app: RunningApp, user_id: UUID) -> int:
    query = text("SELECT count(*) FROM sessions WHERE user_id = :id AND revoked_at IS NULL")
    async with app.database.transaction() as tx:
        return await tx.scalar(query, {"id": user_id}) or 0


async def test_a_person_signs_in_sees_their_home_and_signs_out(app: RunningApp, browser: PlainBrowser) -> None:
    person = await register(app)
    home = await browser.sign_in(person)
    assert home.status == 200
    assert "Maria" in home.text
    assert home.answer.headers["cache-control"] == "no-store"
    menu = await browser.open("/app/menu")
    out = await browser.send(menu, "/app/sair")
    assert out.answer.headers["clear-site-data"] == '"cache", "storage"'
    assert "Max-Age=0" in cookies_set(out)["carteira_session"]
    assert (await browser.get("/app")).answer.headers["location"] == "/app/entrar"
    await browser.sign_in(person)
    everywhere = await browser.send(await browser.open("/app/acesso"), "/app/acesso/aparelhos/sair")
    assert everywhere.answer.headers["clear-site-data"] == '"cache", "storage"'


async def test_a_session_that_was_ended_opens_nothing_with_its_old_cookie(
    app: RunningApp, browser: PlainBrowser
) -> None:
    person = await register(app)
    await browser.sign_in(person)
    old = browser.client.cookies["carteira_session"]
    await browser.send(await browser.open("/app/menu"), "/app/sair")
    browser.client.cookies.set("carteira_session", old, domain="carteira.local", path="/")
    answer = await browser.get("/app/menu")
    assert answer.status == 303
    assert answer.answer.headers["location"].startswith("/app/entrar?para=/app/menu")
    assert "Você ficou um tempo sem usar" in (await browser.follow(answer)).text


async def test_signing_out_elsewhere_ends_the_browsers_session_at_once(app: RunningApp, browser: PlainBrowser) -> None:
    person = await register(app)
    await browser.sign_in(person)
    assert (await browser.get("/app/menu")).status == 200
    by_token = await sign_in(person, app.client)
    assert (await by_token.call("DELETE", "/auth/sessions")).status_code == 204
    assert (await browser.get("/app/menu")).status == 303


async def test_a_browser_that_is_idle_too_long_is_signed_out(app: RunningApp, browser: PlainBrowser) -> None:
    await browser.sign_in(await register(app))
    app.api.state.identity.cookies._known.clear()  # noqa: SLF001 - the cache of a process that has not seen it
    clock.advance(timedelta(minutes=31))
    assert (await browser.get("/app/menu")).status == 303


async def test_a_browser_that_stays_signed_in_keeps_its_cookie(app: RunningApp, browser: PlainBrowser) -> None:
    person = await register(app)
    page = await browser.open("/app/entrar")
    sent = await browser.send(page, "/app/entrar", username=person.cpf, password=person.password, keep="sim")
    assert "Max-Age=2592000" in cookies_set(sent)["carteira_session"]
    app.api.state.identity.cookies._known.clear()  # noqa: SLF001 - the cache of a process that has not seen it
    clock.advance(timedelta(days=6))
    assert (await browser.get("/app/menu")).status == 200


async def test_a_new_sign_in_gets_a_new_cookie_and_ends_the_session_before(
    app: RunningApp, browser: PlainBrowser
) -> None:
    first, second = await register(app), await register(app)
    browser.client.cookies.set("carteira_session", "chosen-by-somebody-else", domain="carteira.local", path="/")
    await browser.sign_in(first)
    given = browser.client.cookies["carteira_session"]
    assert given != "chosen-by-somebody-else"
    page = await browser.open("/app/nova-senha")
    assert page.status == 200
    assert await live_sessions(app, first.id) == 1
    form = (await browser.open("/app/menu")).form("/app/sair").fields
    answer = await browser.client.post(
        "/app/entrar", data={"csrf": form["csrf"], "username": second.cpf, "password": second.password}
    )
    assert answer.status_code == 303
    assert browser.client.cookies["carteira_session"] != given
    assert await live_sessions(app, first.id) == 0


async def test_a_cookie_opens_nothing_of_the_api_and_a_token_no_page(app: RunningApp, browser: PlainBrowser) -> None:
    person = await register(app)
    await browser.sign_in(person)
    answer = await browser.client.get("/users/me", headers={"Accept": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")
    bearer = await sign_in(person, app.client)
    assert (await app.client.get("/app/menu", headers=bearer.headers)).status_code == 303


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://outro.example"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Origin": "null", "Host": ""},
    ],
)
async def test_another_sites_form_is_refused_even_with_the_token(
    app: RunningApp, browser: PlainBrowser, headers: dict[str, str]
) -> None:
    await browser.sign_in(await register(app))
    form = (await browser.open("/app/menu")).form("/app/sair").fields
    answer = await browser.client.post("/app/sair", data=form, headers=headers)
    assert answer.status_code == 403
    assert (await browser.get("/app/menu")).status == 200


async def test_a_form_needs_its_browsers_own_token(app: RunningApp, browser: PlainBrowser) -> None:
    other = PlainBrowser(app)
    await browser.sign_in(await register(app))
    foreign = (await other.open("/app/entrar")).form("/app/entrar").fields["csrf"]
    for token in (foreign, "", "x" * 88, "é"):
        answer = await browser.client.post("/app/sair", data={"csrf": token})
        assert answer.status_code == 403, token
        assert "aberta tempo demais" in answer.text
    assert (await browser.client.post("/app/sair")).status_code == 403
    await other.client.aclose()


async def test_a_token_is_masked_anew_each_time(browser: PlainBrowser) -> None:
    tokens = {(await browser.open("/app/entrar")).form("/app/entrar").fields["csrf"] for _ in range(3)}
    assert len(tokens) == 3
    secret = browser.client.cookies["carteira_visitor"]
    assert all(csrf.fits(secret, token) for token in tokens)


async def test_a_sign_in_returns_to_the_requested_page(app: RunningApp, browser: PlainBrowser) -> None:
    person = await register(app)
    page = await browser.open("/app/menu")
    assert page.answer.url.path == "/app/entrar"
    sent = await browser.send(page, "/app/entrar", username=person.email.upper(), password=person.password)
    assert sent.answer.headers["location"] == "/app/menu"


@pytest.mark.parametrize(
    "wanted",
    [
        "https://outro.example",
        "//outro.example",
        "/\\outro.example",
        "/app/../../x",
        "/app/%2e%2e/%2E%2e/x",
        "/app/%5c%5coutro.example",
        "/appx",
        "javascript:alert(1)",
        "/app\t/x",
        "/auth/login",
        "/application",
    ],
)
async def test_no_link_leads_anywhere_else(app: RunningApp, browser: PlainBrowser, wanted: str) -> None:
    assert not is_local(wanted)
    person = await register(app)
    page = await browser.get("/app/entrar?para=" + quote(wanted, safe=""))
    sent = await browser.send(page, "/app/entrar", username=person.cpf, password=person.password, para=wanted)
    assert sent.answer.headers["location"] == "/app"
    assert (await browser.get("/app/entrar?para=" + quote(wanted, safe=""))).answer.headers["location"] == "/app"


async def test_no_kind_of_form_is_accepted_from_a_session_without_its_token(
    app: RunningApp, browser: PlainBrowser
) -> None:
    await browser.sign_in(await register(app))
    as_a_client = {"Accept": "application/json"}  # a page tells a citizen nothing of the console
    tried = 0
    for route in iter_route_contexts(app.api.routes):
        if not isinstance(route.original_route, PageRoute) or "POST" not in (route.methods or ()):
            continue
        address = re.sub(r"\{[^}]+\}", str(uuid4()), route.path or "")
        answer = await browser.client.post(
            address, data={"message": "oi"}, files={"x": ("a.txt", b"x", "text/plain")}, headers=as_a_client
        )
        if not any(address.startswith(under) for under in UPLOADS):  # those check first whose document it is
            assert answer.json()["code"] == "form_not_ours", route.path
        tried += 1
    assert tried > 40


@pytest.mark.parametrize(
    "path",
    [
        "/app/acesso/aparelhos/sair",
        "/app/acesso/duas-etapas",
        "/app/acesso/duas-etapas/ligar",
        "/app/acesso/duas-etapas/desligar",
        "/app/acesso/chaves/opcoes",
        "/app/dados/baixar",
        "/app/dados/contato/email",
        "/app/dados/encerrar",
    ],
)
async def test_a_form_that_was_opened_in_time_and_sent_too_late_asks_who_it_is(
    app: RunningApp, browser: PlainBrowser, path: str
) -> None:
    person = await register(app)
    await browser.sign_in(person, keep="sim")
    form = (await browser.open("/app/acesso")).form("/app/acesso/aparelhos/sair").fields
    clock.advance(timedelta(minutes=20))
    answer = await browser.client.post(path, data=form | {"email": "outro@exemplo.com.br", "code": "123456"})
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/app/confirmar?para=")
    assert await live_sessions(app, person.id) == 1


@pytest.mark.parametrize("charset", ["punycode", "unicode_escape", "utf-7"])
async def test_a_form_names_no_other_encoding(app: RunningApp, browser: PlainBrowser, charset: str) -> None:
    await browser.sign_in(await register(app))
    token = (await browser.open("/app/menu")).form("/app/sair").fields["csrf"]
    body = b'--x\r\nContent-Disposition: form-data; name="pedido"\r\n\r\n\\ud800\r\n--x--\r\n'
    headers = {"Content-Type": f"multipart/form-data; boundary=x; charset={charset}", "X-CSRF-Token": token}
    assert (await browser.client.post("/app/transporte/novo", content=body, headers=headers)).status_code == 422


async def test_a_broken_referer_leads_home(browser: PlainBrowser) -> None:
    page = await browser.open("/app/entrar")
    form = page.form("/app/entrar").fields
    answer = await browser.client.post("/app/transporte/novo", data=form, headers={"Referer": "http://["})
    assert (answer.status_code, answer.headers["location"]) == (303, "/app/entrar")
