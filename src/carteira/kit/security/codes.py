"""One-time codes by message: who types one reads the e-mail address or the phone that it was sent to.

A code is made in the job that sends it, so that it exists nowhere but in the message and, hashed, in the database. It
is good for ten minutes and five tries. The row that keeps it is a module's own, and says what the code is for; a code
made anew takes the former one's place there, and so the newest counts.
"""

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from carteira.kit.security.opaque_tokens import digest
from carteira.kit.values.clock import clock

MINUTES = 10
TTL = timedelta(minutes=MINUTES)
MAX_TRIES = 5
DIGITS = 6


@dataclass(frozen=True, slots=True)
class OneTimeCode:
    """A code, and what a row keeps of it."""

    code: str = field(repr=False)
    code_hash: bytes
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class CodeMessage:
    """What a job sends: the code, to whom, and what else the text says."""

    to: str
    """An e-mail address, or else a phone."""
    code: str = field(repr=False)
    about: Mapping[str, str]

    @property
    def is_email(self) -> bool:
        """Whether it goes by e-mail; by SMS otherwise."""
        return "@" in self.to

    @property
    def values(self) -> dict[str, object]:
        """What a template is filled with."""
        return {**self.about, "code": self.code, "minutes": MINUTES}


def new_code(subject: UUID, *, digits: int = DIGITS) -> OneTimeCode:
    """Draw a code for a subject (a request, an account); the same digits prove nothing of another subject."""
    code = f"{secrets.randbelow(10**digits):0{digits}}"
    return OneTimeCode(code, _hash(subject, code), clock.now() + TTL)


def is_live(code_hash: bytes | None, expires_at: datetime | None, tries: int) -> bool:
    """Return whether a row's code may be tried: it was made, is in time, and has tries left."""
    return bool(code_hash) and expires_at is not None and expires_at > clock.now() and tries < MAX_TRIES


def matches(code_hash: bytes | None, subject: UUID, code: str) -> bool:
    """Return whether a code is the one that a row keeps; it takes as long for every wrong one."""
    return code_hash is not None and hmac.compare_digest(code_hash, _hash(subject, code))


def _hash(subject: UUID, code: str) -> bytes:
    return digest(f"{subject}:{code}")
