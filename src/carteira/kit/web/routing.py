"""Which route a request is for: found by its method's first candidates, not by asking every route of the product.

FastAPI asks one route after the other, each with a regular expression, and those of included routers twice. There are
some hundreds. Here routes are filed by the first part of their path; what no filed route takes is FastAPI's to answer,
404 and 405 too.
"""

from collections import defaultdict
from collections.abc import Iterable

from fastapi import FastAPI
from fastapi.routing import APIRoute, APIRouter
from starlette.routing import Match
from starlette.types import ASGIApp, Receive, Scope, Send


def add_routes(api: FastAPI, routers: Iterable[APIRouter]) -> None:
    """Have an application serve routers' routes, found by the first part of their path.

    Raises:
        TypeError: a router holds something else than routes of its own.
    """
    for router in routers:
        for route in router.routes:
            if not isinstance(route, APIRoute):
                raise TypeError(f"{route!r} is not a route of the router's own")
            api.router.routes.append(route)
    api.router.middleware_stack = _FiledRoutes(api.router, api.router.middleware_stack)


def first_part(path: str) -> str:
    """Return what routes are filed by: `/a/b` is filed by `a`."""
    return path[1:].partition("/")[0]


class _FiledRoutes:
    """ASGI: hands a request to its route; what has none in its file goes to `otherwise`."""

    def __init__(self, router: APIRouter, otherwise: ASGIApp) -> None:
        self._router = router
        self._otherwise = otherwise
        self._files: dict[str, list[APIRoute]] = {}
        self._filed = -1

    def _file(self) -> None:
        """File the routes anew: some were added since."""
        files: defaultdict[str, list[APIRoute]] = defaultdict(list)
        for route in self._router.routes:
            if isinstance(route, APIRoute):
                files[first_part(route.path_format)].append(route)
        self._files = dict(files)
        self._filed = len(self._router.routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope."""
        if scope["type"] == "http":
            if self._filed != len(self._router.routes):
                self._file()
            path: str = scope["path"].removeprefix(scope.get("root_path", ""))
            for route in self._files.get(first_part(path), ()):
                match, found = route.matches(scope)
                if match == Match.FULL:
                    scope["router"] = self._router
                    scope.update(found)
                    await route.handle(scope, receive, send)
                    return
        await self._otherwise(scope, receive, send)
