"""Identifiers: UUIDv7, which sort by creation time (RFC 9562, section 5.7), and UUIDv5 of names."""

import os
import time
import uuid
from collections.abc import Iterator
from itertools import chain, repeat
from struct import Struct

from asyncpg.pgproto.pgproto import UUID  # uuid.UUID written in C: made, hashed and sent ten times as fast

_WORD = Struct("Q")
_BLOCK_BYTES = 2_048
_ID = Struct(">QQ")
_VERSION = 0x7000
_VARIANT = 0b10 << 62
_random_words: Iterator[tuple[int]] = iter(())


def _draw() -> None:
    """Begin a new supply of random words, read in blocks: a forked process must not use its parent's block."""
    global _random_words  # noqa: PLW0603 - one source a process
    _random_words = chain.from_iterable(map(_WORD.iter_unpack, map(os.urandom, repeat(_BLOCK_BYTES))))


_draw()
os.register_at_fork(after_in_child=_draw)


def uuid7() -> uuid.UUID:
    """Make a UUIDv7: 48 bits of Unix milliseconds, 12 bits of the fraction of the millisecond, 62 random bits."""
    milliseconds, nanoseconds = divmod(time.time_ns(), 1_000_000)
    fraction = (nanoseconds << 12) // 1_000_000
    (random,) = next(_random_words)
    made: uuid.UUID = UUID(_ID.pack(milliseconds << 16 | _VERSION | fraction, _VARIANT | random >> 2))
    return made


def first_uuid7(timestamp: float) -> uuid.UUID:
    """Return the least UUIDv7 of a Unix time in seconds: all earlier ones sort below it."""
    made: uuid.UUID = UUID(_ID.pack(max(int(timestamp * 1_000), 0) << 16 | _VERSION, _VARIANT))
    return made


def made_at(made: uuid.UUID) -> float:
    """Return the Unix time in seconds at which a UUIDv7 was made."""
    return (made.int >> 80) / 1_000


def uuid5(namespace: uuid.UUID, name: str) -> uuid.UUID:
    """Make the UUIDv5 of a name."""
    made: uuid.UUID = UUID(uuid.uuid5(namespace, name).bytes)
    return made
