"""Where people reach this server: what passkeys are bound to, and where providers send people back to."""

from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request

from carteira.identity.errors import SignInUnavailable
from carteira.identity.passkeys.service import Site
from carteira.identity.runtime import IdentityDep

_OWN_PORTS = {"http": 80, "https": 443}


def base_address(identity: IdentityDep, request: Request) -> str | None:
    """Give `PUBLIC_URL`, or in development the request's own address: its Host is whatever the client says."""
    if identity.config.public_url is not None:
        return identity.config.public_url.rstrip("/")
    return f"{request.url.scheme}://{request.url.netloc}" if identity.config.development else None


def _base(identity: IdentityDep, request: Request) -> str:
    base = base_address(identity, request)
    if base is None:
        raise SignInUnavailable
    return base


BaseDep = Annotated[str, Depends(_base)]
"""A route parameter: `PUBLIC_URL`, or in development the request's own address."""


def _site(base: BaseDep) -> Site:
    """Give the origin as browsers write it: lower case, without the scheme's own port."""
    parts = urlsplit(base)
    host = parts.hostname or ""
    port = "" if parts.port in (None, _OWN_PORTS.get(parts.scheme)) else f":{parts.port}"
    return Site(rp_id=host, origin=f"{parts.scheme}://{host}{port}")


SiteDep = Annotated[Site, Depends(_site)]
"""A route parameter: what passkeys are bound to."""
