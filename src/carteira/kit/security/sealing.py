"""Secrets that must be read again, such as an authenticator's: sealed with AES-256-GCM."""

import hmac
import os
import secrets
from pathlib import Path
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from carteira.kit.ops.private_files import create_private_file

_NONCE_BYTES = 12
_KEY_BYTES = 32


class Sealer:
    """Seals a person's secret so that it opens only for that person's row."""

    def __init__(self, path: Path) -> None:
        self._cipher = AESGCM(_load_or_create(path))

    def seal(self, owner: UUID, secret: bytes) -> bytes:
        """Encrypt, bound to the owner."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, secret, owner.bytes)

    def open(self, owner: UUID, sealed: bytes) -> bytes:
        """Decrypt.

        Raises:
            ValueError: another key or owner sealed it, or it was changed.
        """
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], owner.bytes)
        except InvalidTag as error:
            raise ValueError("sealed with another key or for another owner") from error


class KeyedDigest:
    """Turns a short secret (a CPF) into what can be compared and not turned back; the key is read at the first."""

    def __init__(self, path: Path, purpose: str) -> None:
        self._path = path
        self._purpose = purpose.encode()
        self._key: bytes | None = None

    def __call__(self, secret: str) -> bytes:
        """Return the digest, of 32 bytes."""
        if self._key is None:
            self._key = hmac.digest(_load_or_create(self._path), self._purpose, "sha256")
        return hmac.digest(self._key, secret.encode("utf-8", "replace"), "sha256")


def _load_or_create(path: Path) -> bytes:
    if not path.exists():
        create_private_file(path, secrets.token_hex(_KEY_BYTES).encode())
    key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    if len(key) != _KEY_BYTES:
        raise ValueError(f"{path}: the sealing key is {_KEY_BYTES} bytes in hexadecimal")
    return key
