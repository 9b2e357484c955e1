"""The public address of this server, which all its links begin with, and the path prefix that it is served under.

`PUBLIC_URL` sets the address, since a client can send any `Host`; in development the default is the request's own
address. `ROOT_PATH` sets the prefix, whether or not the proxy in front strips it.
"""

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from carteira.kit.web.state import PUBLIC_URL


def public_address(request: Request) -> str:
    """Return the address that links begin with, without a trailing slash."""
    configured = PUBLIC_URL.of(request.app)
    return configured or str(request.base_url).rstrip("/")


def route_path(request: Request) -> str:
    """Return a request's path as routes have it, without the prefix."""
    path: str = request.scope["path"]
    return path.removeprefix(request.scope.get("root_path", ""))


def without_root_path(scope: Scope, root_path: str) -> Scope:
    """Return the scope with the path as routes have it, if a proxy left the prefix on."""
    path: str = scope["path"]
    if not root_path or not (path == root_path or path.startswith(root_path + "/")):
        return scope
    length = len(root_path)
    return {**scope, "path": path[length:] or "/", "raw_path": scope["raw_path"][length:] or b"/"}


class UnderRootPath:
    """ASGI: sets `root_path` for the links that the framework makes itself."""

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        self.app = app
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope, changed in place: outer middleware reads its route afterwards."""
        if scope["type"] == "http" and self._root_path:
            scope["root_path"] = self._root_path
            scope["path"] = self._root_path + scope["path"]
            scope["raw_path"] = self._root_path.encode() + scope["raw_path"]
        await self.app(scope, receive, send)
