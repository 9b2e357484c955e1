"""A ring of keys in a file: the last one is active, those before it still open what they sealed.

The file lies outside the database and is its owner's alone: `[{"id", "key", "created_at"}, …]`, keys in base64. A file
that holds 64 hexadecimal digits, as older releases made it, is a ring of one. A running process sees a changed file at
its next use.
"""

import base64
import secrets
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson

from carteira.kit.ops.private_files import create_private_file, locked_folder, replace_private_file
from carteira.kit.values.clock import clock

KEY_BYTES = 32
_HEX_DIGITS = 2 * KEY_BYTES
_SETTLING = timedelta(days=1)


class KeyFileUnreadable(ValueError):
    """A file of keys is not one."""


@dataclass(frozen=True)
class RingKey:
    """A key of a ring."""

    id: str
    key: bytes
    created_at: datetime


class KeyRing:
    """The keys of a file; with `create` it is made with one key if there is none."""

    settling = _SETTLING
    """How long a key that is no longer active is kept at least: a process may still be using it."""

    def __init__(self, path: Path, *, create: bool = False) -> None:
        self.path = path
        self._create = create
        self._guard = threading.Lock()
        self._stamp: tuple[int, int] | None = None
        self._keys: tuple[RingKey, ...] = ()

    def make(self) -> bool:
        """Make the file with one key unless it is there; return whether this call did."""
        return create_private_file(self.path, _content((_new_key(),)))

    def keys(self) -> tuple[RingKey, ...]:
        """Return all keys, oldest first, as the file has them now; while it is away, as it had them.

        Raises:
            FileNotFoundError: there is no file, and none is to be made.
            KeyFileUnreadable: the file holds no keys.
        """
        if self._create and self._stamp is None and not self.path.exists():
            self.make()
        try:
            status = self.path.stat()
        except FileNotFoundError:
            if self._keys:
                return self._keys
            raise
        stamp = (status.st_mtime_ns, status.st_ino)
        with self._guard:
            if stamp != self._stamp:
                self._keys, self._stamp = _read(self.path), stamp
            return self._keys

    @property
    def active(self) -> RingKey:
        """The key that seals now."""
        return self.keys()[-1]

    def add(self) -> RingKey:
        """Draw a new key and make it the active one; of several who do at once, each adds its own."""
        fresh = _new_key()
        self.keys()
        with locked_folder(self.path.parent):
            replace_private_file(self.path, _content((*self.keys(), fresh)))
        return fresh

    def retire(self, used: frozenset[str] = frozenset()) -> list[str]:
        """Take keys out of the file that are not used and were replaced before `settling`; return their ids."""
        with locked_folder(self.path.parent):
            keys = self.keys()
            replaced_at = [later.created_at for later in keys[1:]]
            old = {
                key.id
                for key, since in zip(keys[:-1], replaced_at, strict=True)
                if key.id not in used and clock.now() - since > self.settling
            }
            if old:
                replace_private_file(self.path, _content(tuple(key for key in keys if key.id not in old)))
        return sorted(old)


def _new_key() -> RingKey:
    return RingKey(secrets.token_hex(4), secrets.token_bytes(KEY_BYTES), clock.now())


def _read(path: Path) -> tuple[RingKey, ...]:
    content = path.read_bytes()
    try:
        keys = (_bare_key(path, content),) if len(content.strip()) == _HEX_DIGITS else _listed_keys(content)
    except (KeyError, TypeError, ValueError) as error:
        raise KeyFileUnreadable(f"{path} holds no keys") from error
    if not keys or any(len(key.key) != KEY_BYTES for key in keys) or len({key.id for key in keys}) != len(keys):
        raise KeyFileUnreadable(f"{path} needs one key or more of {KEY_BYTES} bytes with ids of their own")
    return keys


def _bare_key(path: Path, content: bytes) -> RingKey:
    made_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    return RingKey("0", bytes.fromhex(content.decode("ascii").strip()), made_at)


def _listed_keys(content: bytes) -> tuple[RingKey, ...]:
    return tuple(
        RingKey(item["id"], base64.b64decode(item["key"], validate=True), datetime.fromisoformat(item["created_at"]))
        for item in orjson.loads(content)
    )


def _content(keys: tuple[RingKey, ...]) -> bytes:
    return orjson.dumps(
        [
            {"id": key.id, "key": base64.b64encode(key.key).decode(), "created_at": key.created_at.isoformat()}
            for key in keys
        ],
        option=orjson.OPT_INDENT_2,
    )
