"""`/docs` and `/redoc` in a browser, under their content security policy."""

import pytest
from playwright.async_api import Page

from tests.support.server import Server


@pytest.mark.parametrize(("path", "shown"), [("/docs", ".opblock-tag-section"), ("/redoc", ".redoc-wrap")])
async def test_the_contract_is_shown_and_nothing_is_blocked(page: Page, server: Server, path: str, shown: str) -> None:
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    await page.goto(server.url + path)
    try:
        await page.locator(shown).first.wait_for()
    finally:
        # ReDoc's own logo would come from another host, which would learn who reads the contract.
        blocked = [text for text in said if "Content Security Policy" in text and "cdn.redoc.ly" not in text]
        assert not blocked, said
