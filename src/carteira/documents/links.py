"""Sealed links: short-lived, for one purpose, bound to their ids. Nothing is stored for them.

A link to a file ends with the session that asked for it. A token is authenticated and encrypted: a proof's address
discloses no id.
"""

import base64
import binascii
import struct
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from carteira import identity
from carteira.documents import service
from carteira.documents.errors import LinkRefused
from carteira.documents.keys import MasterKeyRing
from carteira.kit.db.session import Tx
from carteira.kit.values.clock import clock
from carteira.kit.web.access import Principal

Purpose = Literal["file", "proof"]
LIFETIME: dict[Purpose, timedelta] = {"file": timedelta(minutes=5), "proof": timedelta(minutes=10)}
MAX_TOKEN = 256
_UUID_BYTES = 16

File = tuple[UUID, UUID, UUID]
"""A file: its owner, document and version."""


def sign(ring: MasterKeyRing, purpose: Purpose, *ids: UUID) -> tuple[str, datetime]:
    """Return a token for ids, in their order, and the instant of its expiry."""
    expires_at = (clock.now() + LIFETIME[purpose]).replace(microsecond=0)
    content = struct.pack(">Q", int(expires_at.timestamp())) + b"".join(one.bytes for one in ids)
    return base64.urlsafe_b64encode(ring.seal_token(purpose, content)).decode().rstrip("="), expires_at


def read(ring: MasterKeyRing, purpose: Purpose, token: str) -> list[UUID]:
    """Return the ids of a token.

    Raises:
        LinkRefused: it is foreign or for another purpose, was changed, or has expired.
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


def sign_file(ring: MasterKeyRing, who: Principal, file: File) -> tuple[str, datetime]:
    """Return a token for a file, valid while the requesting session is live."""
    asked_in = () if who.session_id is None else (who.session_id,)
    return sign(ring, "file", *file, *asked_in)


async def make_file_path(
    tx: Tx, ring: MasterKeyRing, who: Principal, document_id: UUID, version: int | None = None
) -> tuple[str, datetime]:
    """Return the download path of a person's own file (the newest, or a version), and its expiry.

    Raises:
        DocumentNotFound: there is no such document, or it is another person's.
        FileMissing: it has no file, or no such version.
    """
    version_id = await service.current_version(tx, who.user_id, document_id, version)
    token, expires_at = sign_file(ring, who, (who.user_id, document_id, version_id))
    return f"/documents/{document_id}/file?token={token}", expires_at


def read_file(ring: MasterKeyRing, token: str) -> tuple[UUID, UUID, UUID, UUID | None]:
    """Return a token's file, and the session that requested it; None: a token without a session did.

    Raises:
        LinkRefused: as `read`.
    """
    owner_id, document_id, version_id, *asked_in = read(ring, "file", token)
    return owner_id, document_id, version_id, asked_in[0] if asked_in else None


async def require_live(tx: Tx, session_id: UUID | None) -> None:
    """Require that the session that requested a link is live.

    Raises:
        LinkRefused: it has ended.
    """
    if session_id is not None and not await identity.session_is_live(tx, session_id):
        raise LinkRefused


async def open_linked(tx: Tx, ring: MasterKeyRing, document_id: UUID, token: str) -> service.OpenedFile:
    """Open the file that a document's link names.

    Raises:
        LinkRefused: as `read`; or it is another document's, or its session has ended.
        DocumentNotFound, FileDamaged: as `service.open_file`.
    """
    owner_id, linked_id, version_id, asked_in = read_file(ring, token)
    if linked_id != document_id:
        raise LinkRefused
    await require_live(tx, asked_in)
    return await service.open_file(tx, ring, owner_id, document_id, version_id)
