"""Seals secrets that must be read again, such as an authenticator's, with AES-256-GCM under a ring's keys."""

import hmac
import os
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from carteira.kit.security.key_ring import KeyRing, RingKey

_NONCE_BYTES = 12


class Sealer(KeyRing):
    """Seals a person's secret so that it opens only for that person's row."""

    settling = timedelta(days=31)
    """Longer than the life of sealed values that are never resealed: links about contacts (720 hours) and pending
    operations."""

    def seal(self, owner: UUID, secret: bytes) -> bytes:
        """Encrypt, bound to the owner, under the active key."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + AESGCM(self.active.key).encrypt(nonce, secret, owner.bytes)

    def open(self, owner: UUID, sealed: bytes) -> bytes:
        """Decrypt, under whichever key it was sealed.

        Raises:
            ValueError: it was sealed by another key or for another owner, or was changed.
        """
        return self.unseal(owner, sealed)[0]

    def unseal(self, owner: UUID, sealed: bytes) -> tuple[bytes, RingKey]:
        """Decrypt, and return the text with its key. Raises as `open`."""
        for key in reversed(self.keys()):
            try:
                clear = AESGCM(key.key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], owner.bytes)
            except InvalidTag:
                continue
            return clear, key
        raise ValueError("sealed with another key or for another owner")


@dataclass(frozen=True, slots=True)
class SealedWalk:
    """A walk over sealed rows: the numbers opened by the active key, by a former one, by none; and the last id."""

    on_active: int = 0
    on_former: int = 0
    unreadable: int = 0
    last: UUID | None = None
    """None: there were no more rows."""

    def __add__(self, other: "SealedWalk") -> "SealedWalk":
        """Return the sum, which ends where the other walk ended."""
        return SealedWalk(
            self.on_active + other.on_active,
            self.on_former + other.on_former,
            self.unreadable + other.unreadable,
            other.last,
        )


class KeyedDigest:
    """Makes keyed digests of a short secret (a CPF), for comparison only; the keys are read at each use."""

    def __init__(self, ring: KeyRing, purpose: str) -> None:
        self._ring = ring
        self._purpose = purpose.encode()

    def __call__(self, secret: str) -> bytes:
        """Return the digest under the active key, of 32 bytes."""
        return self._under(self._ring.active, secret)

    def all(self, secret: str) -> list[bytes]:
        """Return the digests under each key, the active one's first, so that rows from before a rotation are found."""
        return [self._under(key, secret) for key in reversed(self._ring.keys())]

    def _under(self, key: RingKey, secret: str) -> bytes:
        derived = hmac.digest(key.key, self._purpose, "sha256")
        return hmac.digest(derived, secret.encode("utf-8", "replace"), "sha256")
