"""A ring of keys in a file: the last one is active; earlier ones still open what they sealed.

The file lies outside the database, readable by its owner only: `[{"id", "key", "created_at"}, …]`, keys in base64. A
file that holds 64 hexadecimal digits, as older releases made it, is a ring of one. A running process reads a changed
file at its next use.

A waiting key (`"waiting": true`) opens but does not seal yet, so that the file can be copied to every machine before
anything is sealed under it. It comes first, so that releases without waiting keys treat it as a former one.
"""

import base64
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import structlog

from carteira.kit.ops.private_files import create_private_file, locked_folder, replace_private_file
from carteira.kit.values.clock import clock

KEY_BYTES = 32
_HEX_DIGITS = 2 * KEY_BYTES
_SETTLING = timedelta(days=1)

log = structlog.get_logger(__name__)


class KeyFileUnreadable(ValueError):
    """A key file is invalid."""


class KeyWaits(Exception):
    """There is a waiting key already; the text is its id."""


@dataclass(frozen=True)
class RingKey:
    """A key of a ring."""

    id: str
    key: bytes
    created_at: datetime
    """The instant at which it was made; for a key that waited, at which it became active."""
    is_waiting: bool = False


class KeyRing:
    """The keys of a file; `create` makes a missing file with one key."""

    settling = _SETTLING
    """The least time for which a replaced key is kept, since a process may still use it."""

    def __init__(self, path: Path, *, create: bool = False) -> None:
        self.path = path
        self._create = create
        self._guard = threading.Lock()
        self._stamp: tuple[int, ...] | None = None
        self._keys: tuple[RingKey, ...] = ()

    def make(self) -> bool:
        """Create the file with one key unless it exists; return whether this call did."""
        return create_private_file(self.path, _content((_new_key(),)))

    def keys(self) -> tuple[RingKey, ...]:
        """Return all keys of the present file: waiting ones first, then the oldest first.

        While the file is missing or being replaced, return the former content.

        Raises:
            FileNotFoundError: there is no file, and `create` is off.
            KeyFileUnreadable: the file has never held valid keys.
        """
        if self._create and self._stamp is None and not self.path.exists():
            self.make()
        try:
            status = self.path.stat()
        except FileNotFoundError:
            if self._keys:
                return self._keys
            raise
        stamp = (status.st_mtime_ns, status.st_ino, status.st_size)
        with self._guard:
            if stamp != self._stamp:
                self._take_up(stamp)
            return self._keys

    def _take_up(self, stamp: tuple[int, ...]) -> None:
        try:
            self._keys = _read(self.path)
        except (OSError, KeyFileUnreadable) as error:
            if not self._keys:
                raise
            log.warning(
                "key file not read, former keys used",
                path=str(self.path),
                error=type(error).__name__,
                detail=str(error),
            )
        self._stamp = stamp

    @property
    def active(self) -> RingKey:
        """The key that seals now."""
        return self.keys()[-1]

    @property
    def waiting(self) -> RingKey | None:
        """The waiting key."""
        return next((key for key in self.keys() if key.is_waiting), None)

    def prepare(self) -> RingKey:
        """Add a waiting key. Raises as `keys`.

        Raises:
            KeyWaits: there is one already.
        """
        fresh = replace(_new_key(), is_waiting=True)
        with self._changing():
            if self.waiting is not None:
                raise KeyWaits(self.waiting.id)
            replace_private_file(self.path, _content((fresh, *self.keys())))
        return fresh

    def add(self) -> RingKey:
        """Activate the waiting key, or else a new one; each of several concurrent calls adds its own.

        Raises as `keys`.
        """
        with self._changing():
            waiting = self.waiting
            fresh = replace(waiting, is_waiting=False, created_at=clock.now()) if waiting else _new_key()
            kept = (key for key in self.keys() if key != waiting)
            replace_private_file(self.path, _content((*kept, fresh)))
        return fresh

    def retire(self, used: frozenset[str] = frozenset()) -> list[str]:
        """Remove unused keys that were replaced longer than `settling` ago; return their ids."""
        with self._changing():
            keys = [key for key in self.keys() if not key.is_waiting]
            replaced_at = [later.created_at for later in keys[1:]]
            old = {
                key.id
                for key, since in zip(keys[:-1], replaced_at, strict=True)
                if key.id not in used and clock.now() - since > self.settling
            }
            if old:
                replace_private_file(self.path, _content(tuple(key for key in self.keys() if key.id not in old)))
        return sorted(old)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Lock the file for a change and read it; an unreadable file is never overwritten."""
        self.keys()
        with locked_folder(self.path.parent):
            _read(self.path)
            yield


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
    if keys[-1].is_waiting:
        raise KeyFileUnreadable(f"{path} has no key that is active")
    return keys


def _bare_key(path: Path, content: bytes) -> RingKey:
    made_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    return RingKey("0", bytes.fromhex(content.decode("ascii").strip()), made_at)


def _listed_keys(content: bytes) -> tuple[RingKey, ...]:
    return tuple(
        RingKey(
            item["id"],
            base64.b64decode(item["key"], validate=True),
            datetime.fromisoformat(item["created_at"]),
            item.get("waiting") is True,
        )
        for item in orjson.loads(content)
    )


def _content(keys: tuple[RingKey, ...]) -> bytes:
    return orjson.dumps(
        [
            {"id": key.id, "key": base64.b64encode(key.key).decode(), "created_at": key.created_at.isoformat()}
            | ({"waiting": True} if key.is_waiting else {})
            for key in keys
        ],
        option=orjson.OPT_INDENT_2,
    )
