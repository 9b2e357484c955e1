"""Find a request's route by an index of the first segment of routes' paths.

FastAPI matches routes one by one with regular expressions, and those of included routers twice. The product has
hundreds of routes. A request that no indexed route matches goes on to FastAPI, which answers 404 or 405.
"""

from collections import defaultdict
from collections.abc import Iterable

from fastapi import FastAPI
from fastapi.routing import APIRoute, APIRouter
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import ASGIApp, Receive, Scope, Send

from carteira.kit.web.lean_route import LeanRoute


class _Rest(Convertor[str]):
    """The rest of a path, slashes included, at least one character: `{name:rest}`."""

    regex = ".+"

    def convert(self, value: str) -> str:
        """Return the text itself."""
        return value

    def to_string(self, value: str) -> str:
        """Return the text itself."""
        return value


register_url_convertor("rest", _Rest())


def add_routes(api: FastAPI, routers: Iterable[APIRouter]) -> "ShortCut":
    """Add routers' routes to an application, which has its error handlers; return what serves it.

    Raises:
        TypeError: a router holds something other than its own routes.
    """
    for router in routers:
        for route in router.routes:
            if not isinstance(route, APIRoute):
                raise TypeError(f"{route!r} is not a route of the router's own")
            api.router.routes.append(route)
    index = _Index(api.router)
    api.router.middleware_stack = _IndexedRoutes(index, api.router.middleware_stack)
    return ShortCut(api, index)


def first_segment(path: str) -> str:
    """Return the first segment of a path: `a` of `/a/b`."""
    return path[1:].partition("/")[0]


class _Index:
    """Finds the route of a scope."""

    def __init__(self, router: APIRouter) -> None:
        self._router = router
        self._index: dict[str, list[APIRoute]] = {}
        self._indexed = -1

    def _build(self) -> None:
        """Build the index again: routes were added since."""
        index: defaultdict[str, list[APIRoute]] = defaultdict(list)
        for route in self._router.routes:
            if isinstance(route, APIRoute):
                index[first_segment(route.path_format)].append(route)
        self._index = dict(index)
        self._indexed = len(self._router.routes)

    def find(self, scope: Scope) -> APIRoute | None:
        """Return the route that answers a request, and set it in the scope; None: the index has none."""
        if _ROUTE in scope:
            found: APIRoute | None = scope[_ROUTE]
            return found
        if self._indexed != len(self._router.routes):
            self._build()
        scope[_ROUTE] = None
        path: str = scope["path"].removeprefix(scope.get("root_path", ""))
        for route in self._index.get(first_segment(path), ()):
            match, child_scope = route.matches(scope)
            if match == Match.FULL:
                scope["router"] = self._router
                scope.update(child_scope)
                scope[_ROUTE] = route
                return route
        return None


_ROUTE = "carteira.route"


class _IndexedRoutes:
    """ASGI application: hands a request to its route, and to `otherwise` if the index has none for it."""

    def __init__(self, index: _Index, otherwise: ASGIApp) -> None:
        self._index = index
        self._otherwise = otherwise

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope."""
        route = self._index.find(scope) if scope["type"] == "http" else None
        if route is None:
            await self._otherwise(scope, receive, send)
        else:
            await route.handle(scope, receive, send)


class ShortCut:
    """ASGI application: answers lean routes without FastAPI's layers around each route, and passes it the others.

    A lean route needs only the error handlers, which are called here. Unhandled errors go to the caller.
    """

    def __init__(self, api: FastAPI, index: _Index) -> None:
        self._api = api
        self._index = index
        self._handlers = {kind: handle for kind, handle in api.exception_handlers.items() if kind is not Exception}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope."""
        route = self._index.find(scope) if scope["type"] == "http" else None
        if route is not None and isinstance(route.app, LeanRoute):
            scope["app"] = self._api
            response = await self._respond(route.app, scope, receive)
            await response(scope, receive, send)
        else:
            await self._api(scope, receive, send)

    async def _respond(self, lean: LeanRoute, scope: Scope, receive: Receive) -> Response:
        try:
            return await lean.respond(scope, receive)
        except Exception as error:
            handle = next((self._handlers[kind] for kind in type(error).__mro__ if kind in self._handlers), None)
            if handle is None:
                raise
            response = handle(Request(scope, receive), error)
            return response if isinstance(response, Response) else await response
