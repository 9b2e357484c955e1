"""The served application: lean endpoints by path prefix, and the API behind its edge."""

from collections.abc import Mapping

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from carteira.http_server.connections import Bounds, Connections
from carteira.kit.module import LANE, ConnectionLane
from carteira.kit.web.public_address import without_root_path


class Application:
    """The whole server: lean endpoints by path prefix first, then the edge and FastAPI.

    A module may set a lane (`LANE`); `http_server.protocol` offers data to it before all of these.
    """

    def __init__(
        self,
        api: FastAPI,
        app: ASGIApp,
        gates: Mapping[str, ASGIApp],
        bounds: Bounds | None = None,
        root_path: str = "",
    ) -> None:
        self.api = api
        self.connections = Connections(bounds or Bounds())
        self._app = app
        self._gates = gates
        self._root_path = root_path

    @property
    def lane(self) -> ConnectionLane | None:
        """The lane, if a module has set one."""
        return LANE.get(self.api)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection's scope."""
        if scope["type"] == "http":
            scope = without_root_path(scope, self._root_path)
            path: str = scope["path"]
            for prefix, gate in self._gates.items():
                if path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in {"", "/"}:
                    await gate(scope, receive, send)
                    return
        await self._app(scope, receive, send)
