"""Google sign-in in Chromium: to the other site, and back with the cookie that only this browser has."""

import json
from typing import Any
from uuid import uuid4

from playwright.async_api import Browser, Page
from validate_docbr import CPF

from tests.support.browser import call
from tests.support.oidc_provider import Provider
from tests.support.server import Server


async def enter(page: Page, server: Server, subject: str) -> dict[str, Any]:
    await page.goto(server.url + "/auth/google/login")
    await page.fill("input[name=sub]", subject)
    await page.click("button:text-is('Authorize')")
    await page.wait_for_url(server.url + "/auth/google/callback**")
    content: dict[str, Any] = json.loads(await page.inner_text("body"))
    return content


async def test_a_person_signs_up_and_in_by_google(
    page: Page, browser: Browser, server: Server, provider: Provider
) -> None:
    subject = uuid4().hex
    email = f"joana.{subject}@gmail.com"
    provider.knows(subject, name="Joana Prado", email=email, email_verified=True)
    offered = await enter(page, server, subject)
    await page.goto(server.url + "/docs")  # an answer that is no page may call nobody
    body = {"registration_token": offered["registration_token"], "cpf": CPF().generate(), "phone": "11912345678"}
    status, tokens = await call(page, "POST", "/auth/social/register", body | {"birth_date": "1991-02-03"})
    assert status == 201, tokens
    back = await enter(page, server, subject)
    assert back["user_id"] == tokens["user_id"]

    # A callback's address sent to another person signs nobody in: their browser has no such cookie.
    await page.goto(server.url + "/auth/google/login")
    sent = provider.agree(page.url, subject)
    stranger = await browser.new_context()
    refused = await (await stranger.new_page()).goto(sent)
    assert refused is not None
    assert refused.status == 401
    await stranger.close()

    lines = server.log.read_text()
    assert "/auth/{provider}/callback" in lines
    asked = provider.seen()
    secrets = {item[name] for item in asked for name in ("state", "nonce", "code", "code_verifier") if name in item}
    secrets |= {offered["registration_token"], body["cpf"], email, subject}
    secrets |= {given[name] for given in (tokens, back) for name in ("access_token", "refresh_token")}
    assert len(secrets) > 15
    assert not [secret for secret in secrets if secret in lines], "a secret reached the log"
