"""The server's public address, which passkeys are bound to and providers send people back to."""

from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request

from carteira.identity.passkeys.service import Site
from carteira.kit.web.public_address import public_address

_OWN_PORTS = {"http": 80, "https": 443}


async def _base(request: Request) -> str:
    return public_address(request)


BaseDep = Annotated[str, Depends(_base)]
"""A route parameter: the server's public address."""


async def _site(base: BaseDep) -> Site:
    """Return the origin as browsers write it: in lower case, without the scheme's default port."""
    parts = urlsplit(base)
    host = parts.hostname or ""
    port = "" if parts.port in (None, _OWN_PORTS.get(parts.scheme)) else f":{parts.port}"
    return Site(rp_id=host, origin=f"{parts.scheme}://{host}{port}")


SiteDep = Annotated[Site, Depends(_site)]
"""A route parameter: the binding of passkeys."""
