"""Where people reach this server: the one source of the links that it hands out, and the prefix that it stands under.

`PUBLIC_URL` says the first, for a request's `Host` is whatever the client says; without it, in development, the
request's own address counts. `ROOT_PATH` says the second, whether the proxy in front takes the prefix off or leaves it
on.
"""

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from carteira.kit.web.state import PUBLIC_URL


def public_address(request: Request) -> str:
    """Give the address that links begin with, without a slash at the end."""
    configured = PUBLIC_URL.of(request.app)
    return configured or str(request.base_url).rstrip("/")


def route_path(request: Request) -> str:
    """Give a request's path as routes have it, without the prefix."""
    path: str = request.scope["path"]
    return path.removeprefix(request.scope.get("root_path", ""))


def without_root_path(scope: Scope, root_path: str) -> Scope:
    """Give the scope with the path as routes have it, where a proxy left the prefix on."""
    path: str = scope["path"]
    if not root_path or not (path == root_path or path.startswith(root_path + "/")):
        return scope
    length = len(root_path)
    return {**scope, "path": path[length:] or "/", "raw_path": scope["raw_path"][length:] or b"/"}


class UnderRootPath:
    """ASGI: tells the framework of the prefix, as ASGI wants it, for the links that it makes itself."""

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        self.app = app
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope, changed in place: who is outside reads its route afterwards."""
        if scope["type"] == "http" and self._root_path:
            scope["root_path"] = self._root_path
            scope["path"] = self._root_path + scope["path"]
            scope["raw_path"] = self._root_path.encode() + scope["raw_path"]
        await self.app(scope, receive, send)
