"""Seals files: each is cut into segments, which are encrypted and authenticated one by one (AES-256-GCM).

This is the STREAM construction (Hoang, Reyhanitabar, Rogaway and Vizár, 2015): the nonce is the segment's number, and
the associated data binds document, version, number and whether it is the last, so that no segment can be changed,
moved, dropped, added, or taken for another file's. The data key is made for one version and used for nothing else,
which makes counted nonces safe.
"""

import secrets
from dataclasses import dataclass
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from carteira.documents.errors import FileDamaged

SEGMENT_BYTES = 256 * 1024
KEY_BYTES = 32
_CONTEXT = b"carteira.documents.segment.v1"


def new_data_key() -> bytes:
    """Return a new key for one version of one document."""
    return secrets.token_bytes(KEY_BYTES)


@dataclass(frozen=True)
class FileSealer:
    """Seals and opens the segments of one version of one document."""

    document_id: UUID
    version_id: UUID
    key: bytes

    def _bound(self, index: int, *, last: bool) -> tuple[bytes, bytes]:
        data = _CONTEXT + self.document_id.bytes + self.version_id.bytes + index.to_bytes(4) + bytes([last])
        return index.to_bytes(12), data

    def seal(self, index: int, clear: bytes, *, last: bool) -> bytes:
        """Encrypt a segment."""
        nonce, data = self._bound(index, last=last)
        return AESGCM(self.key).encrypt(nonce, clear, data)

    def open(self, index: int, sealed: bytes, *, last: bool) -> bytes:
        """Decrypt a segment.

        Raises:
            FileDamaged: it is not what was sealed at this place under this key.
        """
        nonce, data = self._bound(index, last=last)
        try:
            return AESGCM(self.key).decrypt(nonce, sealed, data)
        except InvalidTag as error:
            raise FileDamaged from error
