"""The client of an application in this process."""

import httpx
from starlette.types import ASGIApp


def client_of(app: ASGIApp, token: str | None = None, *, address: str = "127.0.0.1") -> httpx.AsyncClient:
    """Return a client without cookies that calls an ASGI application from an address."""
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app, client=(address, 1)),
        base_url="http://carteira",
        headers={"Authorization": f"Bearer {token}"} if token else {},
        timeout=60,
    )
