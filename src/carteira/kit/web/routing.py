"""Find a request's route by an index of the first segment of routes' paths.

FastAPI matches routes one by one with regular expressions, and those of included routers twice. The product has
hundreds of routes. A request that no indexed route matches goes on to FastAPI, which answers 404 or 405.
"""

from collections import defaultdict
from collections.abc import Iterable

from fastapi import FastAPI
from fastapi.routing import APIRoute, APIRouter
from starlette.convertors import Convertor, register_url_convertor
from starlette.routing import Match
from starlette.types import ASGIApp, Receive, Scope, Send


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


def add_routes(api: FastAPI, routers: Iterable[APIRouter]) -> None:
    """Add routers' routes to an application, and an index by which it finds them.

    Raises:
        TypeError: a router holds something other than its own routes.
    """
    for router in routers:
        for route in router.routes:
            if not isinstance(route, APIRoute):
                raise TypeError(f"{route!r} is not a route of the router's own")
            api.router.routes.append(route)
    api.router.middleware_stack = _IndexedRoutes(api.router, api.router.middleware_stack)


def first_segment(path: str) -> str:
    """Return the first segment of a path: `a` of `/a/b`."""
    return path[1:].partition("/")[0]


class _IndexedRoutes:
    """ASGI application: hands a request to its route, and to `otherwise` if the index has none for it."""

    def __init__(self, router: APIRouter, otherwise: ASGIApp) -> None:
        self._router = router
        self._otherwise = otherwise
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

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope."""
        if scope["type"] == "http":
            if self._indexed != len(self._router.routes):
                self._build()
            path: str = scope["path"].removeprefix(scope.get("root_path", ""))
            for route in self._index.get(first_segment(path), ()):
                match, found = route.matches(scope)
                if match == Match.FULL:
                    scope["router"] = self._router
                    scope.update(found)
                    await route.handle(scope, receive, send)
                    return
        await self._otherwise(scope, receive, send)
