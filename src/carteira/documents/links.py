"""Signed links: short-lived, for one purpose, bound to what they name. Nothing is stored for them."""

import base64
import binascii
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

import orjson

from carteira.documents.errors import LinkRefused
from carteira.documents.keys import KeyRing
from carteira.kit.clock import clock

Purpose = Literal["file", "proof"]
LIFETIME: dict[Purpose, timedelta] = {"file": timedelta(minutes=5), "proof": timedelta(minutes=10)}
MAX_TOKEN = 512


def _encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def sign(ring: KeyRing, purpose: Purpose, *ids: UUID) -> tuple[str, datetime]:
    """Make a token that names ids, in their order; give it with the instant at which it ends."""
    expires_at = (clock.now() + LIFETIME[purpose]).replace(microsecond=0)
    content = orjson.dumps([int(expires_at.timestamp()), *(str(one) for one in ids)])
    return f"{_encode(content)}.{_encode(ring.sign(purpose, content))}", expires_at


def read(ring: KeyRing, purpose: Purpose, token: str) -> list[UUID]:
    """Give the ids that a token names.

    Raises:
        LinkRefused: it was made for another purpose or by somebody else, was changed, or has ended.
    """
    body, _, signature = token.partition(".")
    try:
        content, given = _decode(body), _decode(signature)
    except (ValueError, binascii.Error) as error:
        raise LinkRefused from error
    if not ring.signed(purpose, content, given):
        raise LinkRefused
    ends, *ids = orjson.loads(content)
    if clock.now().timestamp() >= ends:
        raise LinkRefused
    return [UUID(one) for one in ids]
