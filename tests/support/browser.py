"""Helpers of the browser tests."""

from typing import Any

from playwright.async_api import Page

CALL = """async ([method, path, token, body]) => {
    const headers = {'Content-Type': 'application/json', ...(token ? {Authorization: `Bearer ${token}`} : {})};
    const answer = await fetch(path, {method, headers, body: body === null ? undefined : JSON.stringify(body)});
    return {status: answer.status, body: await answer.json()};
}"""


async def call(page: Page, method: str, path: str, body: object = None, token: str | None = None) -> tuple[int, Any]:
    answer = await page.evaluate(CALL, [method, path, token, body])
    return answer["status"], answer["body"]


_AT_REST = """new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))
    .then(() => Promise.allSettled(document.getAnimations().map((one) => one.finished)))"""


async def at_rest(page: Page) -> None:
    """Wait until the page has been painted and no colour transition is running."""
    await page.evaluate(_AT_REST)
