"""Master keys: each wraps the data keys of files, and is rotated without touching a file."""

import secrets
from contextlib import suppress

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from carteira.documents.errors import FileDamaged
from carteira.kit.security.key_ring import KEY_BYTES, KeyRing, RingKey

NONCE_BYTES = 12
TAG_BYTES = 16


class MasterKeyMissing(LookupError):
    """A file was wrapped with a master key that is not in the key file."""


class MasterKeyRing(KeyRing):
    """The master keys of a file."""

    def wrap(self, data_key: bytes, context: bytes) -> tuple[str, bytes]:
        """Encrypt a data key, bound to its context; return the master key's id and the wrapped key."""
        master = self.active
        nonce = secrets.token_bytes(NONCE_BYTES)
        return master.id, nonce + AESGCM(master.key).encrypt(nonce, data_key, master.id.encode() + b"\0" + context)

    def unwrap(self, key_id: str, wrapped: bytes, context: bytes) -> bytes:
        """Decrypt a data key.

        Raises:
            MasterKeyMissing: the key file does not have the master key.
            FileDamaged: the wrapped key was changed, or belongs to another context.
        """
        master = next((key for key in self.keys() if key.id == key_id), None)
        if master is None:
            raise MasterKeyMissing(key_id)
        try:
            nonce, sealed = wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:]
            return AESGCM(master.key).decrypt(nonce, sealed, key_id.encode() + b"\0" + context)
        except (InvalidTag, ValueError) as error:
            raise FileDamaged from error

    def seal_token(self, purpose: str, content: bytes) -> bytes:
        """Seal a text for one purpose, under a key derived for it: others cannot make, change or read it."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + AESGCM(_token_key(self.active, purpose)).encrypt(nonce, content, purpose.encode())

    def open_token(self, purpose: str, sealed: bytes) -> bytes | None:
        """Return a sealed text, if it was sealed for the purpose under a key that is still in the file."""
        if len(sealed) < NONCE_BYTES + TAG_BYTES:
            return None
        for key in reversed(self.keys()):
            with suppress(InvalidTag):
                return AESGCM(_token_key(key, purpose)).decrypt(
                    sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], purpose.encode()
                )
        return None


def _token_key(master: RingKey, purpose: str) -> bytes:
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=b"carteira.documents.link." + purpose.encode()).derive(master.key)
