"""A request's client address: the one place that reads proxies' headers, and only those of trusted proxies."""

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from carteira.kit.values.networks import TrustedProxies

TRACEPARENT = "carteira.traceparent"
"""The key in the scope of the trace that a request is part of."""
_BY_PROXY = "carteira_by_proxy"
_SCHEMES = {b"http": "http", b"https": "https"}


def client_address(request: Request) -> str:
    """Return the client's address; empty if the transport has none."""
    return request.client.host if request.client else ""


def is_proxied(request: Request) -> bool:
    """Return whether a trusted proxy forwarded the request, so that its headers can be believed."""
    return bool(request.scope.get(_BY_PROXY))


class ClientAddress:
    """ASGI: puts the client's own address and scheme into the scope, where a trusted proxy names them.

    The same holds for the trace: an untrusted caller must not choose what is traced here.
    """

    def __init__(self, app: ASGIApp, trusted: TrustedProxies) -> None:
        self.app = app
        self.trusted = trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope."""
        if scope["type"] == "http" and self.trusted.networks and scope["client"] is not None:
            peer = scope["client"][0]
            if peer in self.trusted:
                scope = self._forwarded_scope(scope, peer)
        await self.app(scope, receive, send)

    def _forwarded_scope(self, scope: Scope, peer: str) -> Scope:
        named: list[str] = []
        scheme = scope["scheme"]
        state: dict[str, object] = {}
        for name, value in scope["headers"]:
            if name == b"x-forwarded-for":
                named += value.decode("latin-1").split(",")
            elif name == b"x-forwarded-proto":
                scheme = _SCHEMES.get(value.strip().lower(), scheme)
            elif name == b"traceparent":
                state[TRACEPARENT] = value.decode("latin-1")
        return {
            **scope,
            **state,
            "client": (self.trusted.client(peer, named), 0),
            "scheme": scheme,
            _BY_PROXY: True,
        }
