"""Links in messages about contact points: sealed tokens, so that the database stores nothing of them."""

import base64
import binascii
from datetime import timedelta
from uuid import UUID

from carteira.identity.contacts.points import KINDS, Kind
from carteira.identity.errors import ContactLinkRefused
from carteira.kit.security.opaque_tokens import digest
from carteira.kit.security.sealing import Sealer
from carteira.kit.values.clock import clock

CONFIRM_DAYS = 7
MAX_TOKEN = 200
_ID_BYTES, _TIME_BYTES, _PRINT_BYTES = 16, 8, 16
_UNDO, _CONFIRM = b"undo", b"confirm"


def undo_token(sealer: Sealer, change_id: UUID) -> str:
    """Make the token that undoes a change."""
    return _pack(sealer, change_id, _UNDO)


def read_undo(sealer: Sealer, token: str) -> UUID:
    """Return the change that a token may undo.

    Raises:
        ContactLinkRefused: it is foreign.
    """
    change_id, content = _unpack(sealer, token)
    if content != _UNDO:
        raise ContactLinkRefused
    return change_id


def confirm_token(sealer: Sealer, user_id: UUID, kind: Kind, value: str) -> str:
    """Make the token that confirms a contact point, valid for `CONFIRM_DAYS` and for this value only."""
    until = int((clock.now() + timedelta(days=CONFIRM_DAYS)).timestamp())
    place = KINDS.index(kind)
    return _pack(sealer, user_id, _CONFIRM + until.to_bytes(_TIME_BYTES) + bytes([place]) + fingerprint(kind, value))


def read_confirm(sealer: Sealer, token: str) -> tuple[UUID, Kind, bytes]:
    """Return the person, the kind and the value's fingerprint of the contact point that a token confirms.

    Raises:
        ContactLinkRefused: it is foreign or too old.
    """
    user_id, content = _unpack(sealer, token)
    purpose, rest = content[: len(_CONFIRM)], content[len(_CONFIRM) :]
    if purpose != _CONFIRM or int.from_bytes(rest[:_TIME_BYTES]) < clock.now().timestamp():
        raise ContactLinkRefused
    return user_id, KINDS[rest[_TIME_BYTES]], rest[_TIME_BYTES + 1 :]


def fingerprint(kind: Kind, value: str) -> bytes:
    """Return the digest of a contact point, stored where it is only compared."""
    return digest(f"{kind}:{value.lower()}")[:_PRINT_BYTES]


def _pack(sealer: Sealer, owner: UUID, content: bytes) -> str:
    return base64.urlsafe_b64encode(owner.bytes + sealer.seal(owner, content)).rstrip(b"=").decode()


def _unpack(sealer: Sealer, token: str) -> tuple[UUID, bytes]:
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        owner = UUID(bytes=raw[:_ID_BYTES])
        return owner, sealer.open(owner, raw[_ID_BYTES:])
    except (ValueError, binascii.Error) as error:
        raise ContactLinkRefused from error
