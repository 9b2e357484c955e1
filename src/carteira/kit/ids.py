"""Identifiers: UUIDv7, so that ids sort by the time they were made (RFC 9562, section 5.7)."""

import os
import time
import uuid

_RANDOM_BITS = 62


def uuid7() -> uuid.UUID:
    """Make a UUIDv7: 48 bits of Unix milliseconds, 12 bits of the fraction of the millisecond, 62 random bits."""
    milliseconds, nanoseconds = divmod(time.time_ns(), 1_000_000)
    fraction = (nanoseconds << 12) // 1_000_000
    random = int.from_bytes(os.urandom(8)) >> (64 - _RANDOM_BITS)
    return uuid.UUID(int=(milliseconds << 80) | (0x7 << 76) | (fraction << 64) | (0b10 << _RANDOM_BITS) | random)
