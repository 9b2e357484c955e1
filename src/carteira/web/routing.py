"""Routes of pages: the cookie authenticates, and every change comes from a form of ours."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute
from python_multipart.multipart import parse_options_header

from carteira.kit.web.access import Acts, Looks, PlainReads
from carteira.kit.web.problems import InvalidInput, NotFound
from carteira.kit.web.state import PUBLIC_URL
from carteira.web import csrf
from carteira.web.rendering import browser_at, renderer_of

_SAFE = frozenset({"GET", "HEAD"})


class PageRoute(APIRoute):
    """A page's route, or its form's."""

    takes_files = False
    """Whether a form with a file is left to the route, whose `receive` checks the token before the file."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler: it authenticates by the cookie and refuses forms of other pages."""
        handler = super().get_route_handler()
        calls = [dependency.call for dependency in self.dependant.dependencies]
        kind = next((call for call in calls if isinstance(call, Acts | Looks | PlainReads)), None)

        async def handle(request: Request) -> Response:
            browser = browser_at(request)
            request.state.kind = kind
            request.state.by_cookie = browser.principal
            try:
                if request.method not in _SAFE:
                    await self._require_own_form(request)
                return await handler(request)
            finally:
                await request.close()  # a form's files

        return handle

    async def _require_own_form(self, request: Request) -> None:
        csrf.refuse_other_sites(request, PUBLIC_URL.of(request.app))
        _require_utf8(request)
        if self.takes_files and _has_file(request):
            return
        token = request.headers.get(csrf.HEADER) or (await request.form()).get(csrf.FIELD)
        if not (isinstance(token, str) and csrf.fits(browser_at(request).secret, token)):
            raise csrf.FormNotOurs


class UploadRoute(PageRoute):
    """A page whose form has a file."""

    takes_files = True


def _require_utf8(request: Request) -> None:
    """Refuse a form that names an encoding, as no browser does: some of them fail or yield no text.

    Raises:
        InvalidInput: it names another encoding than UTF-8.
    """
    _, options = parse_options_header(request.headers.get("content-type"))
    if options.get(b"charset", b"utf-8").lower() not in {b"utf-8", b"utf8"}:
        raise InvalidInput("O formulário não está em UTF-8.")


def _has_file(request: Request) -> bool:
    return request.headers.get("content-type", "").startswith("multipart/form-data")


def pages(module: str = "", *, route_class: type[PageRoute] = PageRoute) -> APIRouter:
    """Return a router of pages: they are no part of the contract; each route names its access.

    Pages of an optional module exist only while it is on.
    """

    async def require_module(request: Request) -> None:
        if module not in renderer_of(request).config.modules:
            raise NotFound

    return APIRouter(
        route_class=route_class,
        include_in_schema=False,
        default_response_class=HTMLResponse,
        dependencies=[Depends(require_module)] if module else [],
    )
