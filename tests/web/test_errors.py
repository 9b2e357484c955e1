"""Errors are pages for people and problems for clients; no cache stores any part of a page."""

import re

import pytest
from fastapi import Request

from carteira.kit.db.errors import DatabaseDown
from carteira.kit.web.problems import DependencyDown
from carteira.web import answer_with, assets
from tests.support.app import RunningApp
from tests.support.pages import PlainBrowser
from tests.support.people import register


async def test_a_missing_page_offers_help(browser: PlainBrowser) -> None:
    for path in ("/app/nada", "/nada", "/app/extrato/x/y"):
        shown = await browser.get(path)
        assert shown.status == 404
        assert "Não achamos esta página" in shown.text
        assert "/" in shown.links


async def test_a_client_gets_a_problem_where_a_person_gets_a_page(app: RunningApp, browser: PlainBrowser) -> None:
    for accept in ("application/json", "*/*"):
        answer = await app.client.get("/nowhere", headers={"Accept": accept})
        assert (answer.headers["content-type"], answer.json()["code"]) == ("application/problem+json", "not_found")
    shown = await browser.get("/users/me")
    assert shown.status == 401
    assert "www-authenticate" not in shown.answer.headers
    assert "Entre para continuar" in shown.text


async def test_a_database_that_is_down_says_that_no_money_moved(
    app: RunningApp, browser: PlainBrowser, monkeypatch: pytest.MonkeyPatch
) -> None:
    await browser.sign_in(await register(app))

    def down() -> None:
        raise DatabaseDown

    monkeypatch.setattr(app.database, "transaction", down)
    shown = await browser.get("/app")
    assert shown.status == 503
    assert "Seu dinheiro não mudou." in shown.text
    assert "/app" in shown.links
    assert re.search(r"Código para o atendimento: [0-9a-f-]{8}", shown.text)


@pytest.mark.parametrize("path", ["//outro.example/x", "/\\outro.example", "/app/extrato", "/"])
async def test_an_error_offers_its_own_address_again_and_no_other_host(app: RunningApp, path: str) -> None:
    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "root_path": "", "app": app.api}
    request = Request(scope | {"server": ("carteira.local", 80), "headers": [(b"accept", b"text/html")]})
    answer = answer_with(app.api.state.web)(request, DependencyDown())
    assert answer.status_code == 503
    assert ("Tentar de novo" in bytes(answer.body).decode()) is (path in {"/app/extrato", "/"})
    assert b"outro.example" not in answer.body


async def test_an_unforeseen_error_of_a_form_does_not_promise_too_much(
    app: RunningApp, browser: PlainBrowser, monkeypatch: pytest.MonkeyPatch
) -> None:
    await browser.sign_in(await register(app))
    page = await browser.open("/app/menu")

    def breaks() -> None:
        raise RuntimeError("not foreseen")

    monkeypatch.setattr(app.database, "transaction", breaks)
    shown = await browser.send(page, "/app/sair")
    assert shown.status == 500
    assert "Não temos certeza se o pedido entrou. Confira o extrato antes de repetir." in shown.text


async def test_a_too_large_body_is_refused_by_the_edge_as_a_page(browser: PlainBrowser) -> None:
    page = await browser.open("/app/entrar")
    sent = await browser.send(page, "/app/entrar", username="x" * 2_000_000)
    assert sent.status == 413
    assert "passa do tamanho permitido" in sent.text


@pytest.mark.parametrize("path", ["/", "/app/entrar", "/app/criar-conta", "/app/senha", "/nada"])
async def test_no_page_runs_or_draws_anything_inline_or_is_kept(browser: PlainBrowser, path: str) -> None:
    shown = await browser.get(path)
    headers = shown.answer.headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["x-frame-options"] == "DENY"
    assert not re.search(r"<style|<script(?![^>]*src=)|\sstyle=|\son[a-z]+=", shown.answer.text)
    assert not [link for name, link in shown.attributes if name in {"src", "href", "action"} and "//" in link]


async def test_pages_and_files_come_compressed_where_the_browser_takes_it(browser: PlainBrowser) -> None:
    for encoding in ("br", "gzip"):
        answer = await browser.client.get("/app/entrar", headers={"Accept-Encoding": encoding})
        assert answer.headers["content-encoding"] == encoding
        assert "Accept-Encoding" in answer.headers["vary"]
    plain = await browser.client.get("/app/entrar", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers


async def test_files_are_kept_for_good_under_their_digest(browser: PlainBrowser) -> None:
    version = assets.load().version
    page = await browser.get("/app/entrar")
    loaded = {link for name, link in page.attributes if name in {"src", "href"} and link.startswith("/static/")}
    assert loaded
    for link in loaded:
        assert link.startswith(f"/static/{version}/")
        answer = await browser.client.get(link.partition("#")[0])
        assert answer.status_code == 200, link
        assert "immutable" in answer.headers["cache-control"]
    old = await browser.client.get("/static/000000000000/tokens.css")
    assert (old.status_code, old.headers["cache-control"]) == (200, "no-cache")
    assert (await browser.client.get(f"/static/{version}/..%2f__init__.py")).status_code == 404
    assert (await browser.client.get(f"/static/{version}/LICENSES.md")).status_code == 404


async def test_a_page_without_forms_gives_nobody_a_cookie(browser: PlainBrowser) -> None:
    assert "set-cookie" not in (await browser.get("/")).answer.headers
    assert "set-cookie" in (await browser.get("/app/entrar")).answer.headers
