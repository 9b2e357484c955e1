"""Master keys: each wraps the data keys of files, and is rotated without touching a file.

They live in one file outside the database, readable by its owner only: `[{"id", "key", "created_at"}, …]`; the last one
is active. A running server sees a changed file at once.
"""

import base64
import binascii
import secrets
import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from carteira.documents.errors import FileDamaged
from carteira.kit.ops.private_files import create_private_file, replace_private_file
from carteira.kit.values.clock import clock

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
SETTLING = timedelta(days=1)
"""How long a key that is no longer active is kept: a process may still be wrapping with it."""


class KeyFileUnreadable(ValueError):
    """The file of master keys is not one."""


class MasterKeyMissing(LookupError):
    """A file was wrapped with a master key that is not in the key file."""


@dataclass(frozen=True)
class MasterKey:
    """A key-encryption key."""

    id: str
    key: bytes
    created_at: datetime


def _new_key() -> MasterKey:
    return MasterKey(secrets.token_hex(4), secrets.token_bytes(KEY_BYTES), clock.now())


def _read(path: Path) -> tuple[MasterKey, ...]:
    try:
        keys = tuple(
            MasterKey(
                item["id"],
                base64.b64decode(item["key"], validate=True),
                datetime.fromisoformat(item["created_at"]),
            )
            for item in orjson.loads(path.read_bytes())
        )
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, binascii.Error) as error:
        raise KeyFileUnreadable(f"{path} holds no master keys") from error
    if not keys or any(len(key.key) != KEY_BYTES for key in keys) or len({key.id for key in keys}) != len(keys):
        raise KeyFileUnreadable(f"{path} needs one key or more of {KEY_BYTES} bytes with ids of their own")
    return keys


def _content(keys: tuple[MasterKey, ...]) -> bytes:
    return orjson.dumps(
        [
            {"id": key.id, "key": base64.b64encode(key.key).decode(), "created_at": key.created_at.isoformat()}
            for key in keys
        ],
        option=orjson.OPT_INDENT_2,
    )


class MasterKeyRing:
    """The master keys of a file; made with one key if `create` is set and there is none."""

    def __init__(self, path: Path, *, create: bool) -> None:
        self.path = path
        self._guard = threading.Lock()
        self._stamp: tuple[int, int] | None = None
        self._keys: tuple[MasterKey, ...] = ()
        if create and not path.exists():
            create_private_file(path, _content((_new_key(),)))
        self.keys()

    def keys(self) -> tuple[MasterKey, ...]:
        """Give all keys, oldest first, as the file has them now.

        Raises:
            KeyFileUnreadable: the file holds no keys.
        """
        status = self.path.stat()
        stamp = (status.st_mtime_ns, status.st_ino)
        with self._guard:
            if stamp != self._stamp:
                self._keys, self._stamp = _read(self.path), stamp
            return self._keys

    @property
    def active(self) -> MasterKey:
        """The key that wraps now."""
        return self.keys()[-1]

    def wrap(self, data_key: bytes, context: bytes) -> tuple[str, bytes]:
        """Encrypt a data key, bound to its context; give the master key's id and the wrapped key."""
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

    def add(self) -> MasterKey:
        """Draw a new key and make it the active one."""
        fresh = _new_key()
        replace_private_file(self.path, _content((*self.keys(), fresh)))
        return fresh

    def retire(self, used: frozenset[str]) -> list[str]:
        """Take keys out of the file that wrap nothing and were replaced a day ago or longer; give their ids."""
        keys = self.keys()
        replaced_at = [later.created_at for later in keys[1:]]
        old = {
            key.id
            for key, since in zip(keys[:-1], replaced_at, strict=True)
            if key.id not in used and clock.now() - since > SETTLING
        }
        if old:
            replace_private_file(self.path, _content(tuple(key for key in keys if key.id not in old)))
        return sorted(old)

    def seal_token(self, purpose: str, content: bytes) -> bytes:
        """Seal a text for one purpose, with a key derived for nothing else: nobody can make, change or read it."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + AESGCM(_token_key(self.active, purpose)).encrypt(nonce, content, purpose.encode())

    def open_token(self, purpose: str, sealed: bytes) -> bytes | None:
        """Give a sealed text, if it was sealed for the purpose under any key that is still in the file."""
        if len(sealed) < NONCE_BYTES + TAG_BYTES:
            return None
        for key in reversed(self.keys()):
            with suppress(InvalidTag):
                return AESGCM(_token_key(key, purpose)).decrypt(
                    sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], purpose.encode()
                )
        return None


def _token_key(master: MasterKey, purpose: str) -> bytes:
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=b"carteira.documents.link." + purpose.encode()).derive(master.key)
