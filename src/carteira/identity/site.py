"""Where people reach this server: what passkeys are bound to, and where providers send people back to."""

from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request

from carteira.identity.errors import SignInUnavailable
from carteira.identity.passkeys import Site
from carteira.identity.runtime import IdentityDep


def _base(identity: IdentityDep, request: Request) -> str:
    if identity.config.public_url is not None:
        return identity.config.public_url.rstrip("/")
    if not identity.config.development:  # a request's Host is whatever the client says
        raise SignInUnavailable
    return f"{request.url.scheme}://{request.url.netloc}"


BaseDep = Annotated[str, Depends(_base)]
"""A route parameter: `PUBLIC_URL`, or in development the request's own address."""


def _site(base: BaseDep) -> Site:
    parts = urlsplit(base)
    return Site(rp_id=parts.hostname or "", origin=f"{parts.scheme}://{parts.netloc}".lower())


SiteDep = Annotated[Site, Depends(_site)]
"""A route parameter: what passkeys are bound to."""
