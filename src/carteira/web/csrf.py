"""Protection against CSRF: a form token of the browser's, and its Fetch Metadata.

The token is a keyed digest of the browser's cookie (its session's, or a visitor's before there is one). Each answer
masks it anew, so that compressed content beside it discloses nothing (BREACH).
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from urllib.parse import urlsplit

from fastapi import Request

from carteira.kit.web.problems import Forbidden

FIELD = "csrf"
HEADER = "x-csrf-token"
_BYTES = 32


class FormNotOurs(Forbidden):
    """A form came from another site, or from a page of an ended session."""

    code = "form_not_ours"
    title = "Página aberta há muito tempo"
    detail = "Esta página ficou aberta tempo demais, ou você entrou de novo em outra aba. Abra-a de novo e repita."


def _digest(secret: str) -> bytes:
    return hmac.digest(secret.encode(), b"carteira: forms", hashlib.sha256)


def masked_token(secret: str) -> str:
    """Return a form's token for a browser's cookie, masked anew each time."""
    mask = secrets.token_bytes(_BYTES)
    hidden = bytes(a ^ b for a, b in zip(mask, _digest(secret), strict=True))
    return base64.urlsafe_b64encode(mask + hidden).decode()


def fits(secret: str, token: str) -> bool:
    """Return whether a token belongs to a browser's cookie."""
    try:
        raw = base64.urlsafe_b64decode(token.encode("ascii", "replace"))
    except (binascii.Error, ValueError):
        return False
    if not secret or len(raw) != 2 * _BYTES:
        return False
    shown = bytes(a ^ b for a, b in zip(raw[:_BYTES], raw[_BYTES:], strict=True))
    return hmac.compare_digest(shown, _digest(secret))


def refuse_other_sites(request: Request, public_url: str | None) -> None:
    """Refuse a request that another site caused. The token protects browsers that send no such header.

    Raises:
        FormNotOurs: the browser names another site.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        if site != "same-origin":
            raise FormNotOurs
        return
    origin = request.headers.get("origin")
    if origin is None:
        return
    ours = {request.headers.get("host", "")} | ({urlsplit(public_url).netloc} if public_url else set())
    if _host_of(origin) not in ours - {""}:
        raise FormNotOurs


def _host_of(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:  # an unbalanced bracket
        return ""
