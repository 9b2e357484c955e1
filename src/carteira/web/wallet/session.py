"""The beginning and the end of a browser's session, for every way of signing in."""

from fastapi import Response

from carteira import identity
from carteira.kit.db.session import Tx
from carteira.web.page import WebPage


async def cookie_for(tx: Tx, page: WebPage, tokens: identity.Tokens, *, keep: bool) -> str:
    """Make a session's cookie and end the session that the browser had before."""
    if page.browser.session:
        await identity.sign_browser_out(tx, page.identity.access, page.browser.session)
    return await identity.issue_cookie(tx, tokens.session_id, keep=keep)


async def signed_in(page: WebPage, tokens: identity.Tokens, *, keep: bool, next_page: str) -> Response:
    """Answer a sign-in: set the browser's cookies and redirect it."""
    async with page.database.transaction() as tx:
        cookie = await cookie_for(tx, page, tokens, keep=keep)
    return led_on(page, tokens, cookie, keep=keep, next_page=next_page)


def led_on(page: WebPage, tokens: identity.Tokens, cookie: str, *, keep: bool, next_page: str) -> Response:
    """Redirect a browser after sign-in to its page, or to the change of a generated password."""
    response = page.go("/app/nova-senha" if tokens.must_change_password else page.next_page(next_page))
    page.browser.sign_in(response, cookie, keep=keep)
    identity.remember_device(page.identity, response, tokens)
    return response
