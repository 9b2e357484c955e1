"""Routes of pages: who asks is told by their cookie, and whatever changes something comes from a form of ours."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute

from carteira.web import csrf
from carteira.web.rendering import browser_at

_SAFE = frozenset({"GET", "HEAD"})


class PageRoute(APIRoute):
    """A page, or what a form of it does."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Take who asks from the cookie; refuse what no page of ours sends."""
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            browser = browser_at(request)
            request.state.by_cookie = browser.principal
            if request.method not in _SAFE:
                csrf.refuse_other_sites(request, request.app.state.public_url)
                token = request.headers.get(csrf.HEADER) or (await request.form()).get(csrf.FIELD)
                if not (isinstance(token, str) and csrf.fits(browser.secret, token)):
                    raise csrf.FormNotOurs
            try:
                return await handler(request)
            finally:
                await request.close()  # a form's files

        return handle


def pages() -> APIRouter:
    """Make a router of pages: they are no part of the contract, and each route names its access as all do."""
    return APIRouter(route_class=PageRoute, include_in_schema=False, default_response_class=HTMLResponse)
