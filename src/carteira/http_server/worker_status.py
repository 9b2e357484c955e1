"""The worker's own address: `/health`, `/health/ready` and `/metrics`, beside its jobs and in their event loop."""

import asyncio
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

import uvicorn
from fastapi import FastAPI

from carteira.http_server.application import Application
from carteira.http_server.connections import Bounds
from carteira.http_server.protocol import LaneProtocol
from carteira.kit.web import health, problems
from carteira.kit.web.health import READINESS

GRACE_SECONDS = 2


class _Server(uvicorn.Server):
    """A server that leaves signals to the worker, and waits for `end` instead of polling ten times a second.

    The worker is idle most of the time, when each poll matters.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._ending = asyncio.Event()

    def end(self) -> None:
        """Stop answering."""
        self.should_exit = True
        self._ending.set()

    async def main_loop(self) -> None:
        """Update the date in answers' heads once a second, until the end."""
        while not self.should_exit:
            await self.on_tick(0)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), 1)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Catch none."""
        yield


class WorkerStatus:
    """Serves the worker's state, within the servers' bounds; `checks` decide its readiness."""

    def __init__(
        self, bound: socket.socket, checks: Mapping[str, health.Check], *, metrics_token: str | None, bounds: Bounds
    ) -> None:
        api = FastAPI(openapi_url=None)
        READINESS.set(api, checks)
        problems.install(api)
        api.include_router(health.router)
        api.include_router(health.metrics_router(metrics_token))
        self._socket = bound
        self._server = _Server(
            uvicorn.Config(
                Application(api, api, {}, bounds),
                http=LaneProtocol,
                lifespan="off",
                ws="none",
                access_log=False,
                log_config=None,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )

    async def serve(self) -> None:
        """Answer until `stop`."""
        await self._server.serve(sockets=[self._socket])

    def stop(self) -> None:
        """Stop after the running answers, or after two seconds."""
        self._server.end()


def bind(host: str, port: int) -> socket.socket:
    """Listen on an address; port 0 takes any free one.

    Raises:
        OSError: it is taken, or not ours.
    """
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((host, port))
    return bound
