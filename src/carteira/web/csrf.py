"""Forms that only our own pages send: a token that belongs to the browser, and what the browser says of the sender.

The token is a keyed digest of the browser's cookie (its session's, or a visitor's before there is one). In each answer
it is masked anew, so that what an attacker has compressed beside it tells nothing of it (BREACH).
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
    """A form came from another site, or from a page of a session that is over."""

    code = "form_not_ours"
    title = "Página aberta há muito tempo"
    detail = "Esta página ficou aberta tempo demais, ou você entrou de novo em outra aba. Abra-a de novo e repita."


def _digest(secret: str) -> bytes:
    return hmac.digest(secret.encode(), b"carteira: forms", hashlib.sha256)


def masked_token(secret: str) -> str:
    """Make a form's token for a browser's cookie, another one each time."""
    mask = secrets.token_bytes(_BYTES)
    hidden = bytes(a ^ b for a, b in zip(mask, _digest(secret), strict=True))
    return base64.urlsafe_b64encode(mask + hidden).decode()


def fits(secret: str, token: str) -> bool:
    """Tell whether a token is one of a browser's cookie."""
    try:
        raw = base64.urlsafe_b64decode(token.encode("ascii", "replace"))
    except (binascii.Error, ValueError):
        return False
    if not secret or len(raw) != 2 * _BYTES:
        return False
    shown = bytes(a ^ b for a, b in zip(raw[:_BYTES], raw[_BYTES:], strict=True))
    return hmac.compare_digest(shown, _digest(secret))


def refuse_other_sites(request: Request, public_url: str | None) -> None:
    """Refuse a request that another site had the browser send; the token counts besides, where browsers say nothing.

    Raises:
        FormNotOurs: the browser says that another site sends it.
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
    except ValueError:  # a bracket without its other
        return ""
