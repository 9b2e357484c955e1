"""Sealed links: short-lived, for one purpose, bound to what they name. Nothing is stored for them.

A token is authenticated and encrypted: whoever is shown a proof learns no id from its address.
"""

import base64
import binascii
import struct
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from carteira.documents.errors import LinkRefused
from carteira.documents.keys import MasterKeyRing
from carteira.kit.values.clock import clock

Purpose = Literal["file", "proof"]
LIFETIME: dict[Purpose, timedelta] = {"file": timedelta(minutes=5), "proof": timedelta(minutes=10)}
MAX_TOKEN = 256
_UUID_BYTES = 16


def sign(ring: MasterKeyRing, purpose: Purpose, *ids: UUID) -> tuple[str, datetime]:
    """Make a token that names ids, in their order; give it with the instant at which it ends."""
    expires_at = (clock.now() + LIFETIME[purpose]).replace(microsecond=0)
    content = struct.pack(">Q", int(expires_at.timestamp())) + b"".join(one.bytes for one in ids)
    return base64.urlsafe_b64encode(ring.seal_token(purpose, content)).decode().rstrip("="), expires_at


def read(ring: MasterKeyRing, purpose: Purpose, token: str) -> list[UUID]:
    """Give the ids that a token names.

    Raises:
        LinkRefused: it was made for another purpose or by somebody else, was changed, or has ended.
    """
    try:
        sealed = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error) as error:
        raise LinkRefused from error
    content = ring.open_token(purpose, sealed)
    if content is None:
        raise LinkRefused
    (ends,) = struct.unpack(">Q", content[:8])
    if clock.now().timestamp() >= ends:
        raise LinkRefused
    rest = content[8:]
    return [UUID(bytes=rest[start : start + _UUID_BYTES]) for start in range(0, len(rest), _UUID_BYTES)]
