"""One-time codes by message, which prove that a person reads an e-mail address or a phone.

A code is made in the job that sends it, so that it exists only in the message and, hashed, in the database. It is valid
for ten minutes and five tries. A module's own row stores it with its purpose; a new code replaces the former one there.

Wrong codes count per person, across all purposes: after `WRONG_A_DAY` on one day of São Paulo typed codes are disabled
until the next day, and messages carry a *link* instead, whose 128 bits nobody guesses. So a stranger's guesses do not
lock the person out. `carteira_wrong_codes_total` counts wrong codes too, for an alert, and callers count them per
network (`rate_limits.WRONG_CODES`).
"""

import hmac
import re
import secrets
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Annotated
from uuid import UUID

from prometheus_client import Counter
from pydantic import AfterValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError
from sqlalchemy import Date, SmallInteger, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, mapped_column

from carteira.kit.db.base import Base
from carteira.kit.db.batches import delete_batch
from carteira.kit.db.session import Tx
from carteira.kit.security.opaque_tokens import digest
from carteira.kit.values.clock import clock
from carteira.kit.values.texts import compact, unspaced

MINUTES = 10
TTL = timedelta(minutes=MINUTES)
MAX_TRIES = 5
DIGITS = 8
WRONG_A_DAY = 10
_LINK_BYTES = 16
_TYPED = re.compile(r"[0-9]+", re.ASCII)
_KEPT_DAYS = 2

wrong_codes = Counter("carteira_wrong_codes", "Wrong one-time codes, by purpose", ["purpose"])


class WrongCodeCount(Base):
    """The wrong codes of one subject on one day: a person, or a stranger's pseudonym."""

    __tablename__ = "wrong_codes"

    subject: Mapped[UUID] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    wrong: Mapped[int] = mapped_column(SmallInteger)


@dataclass(frozen=True, slots=True)
class OneTimeCode:
    """A code, and the values that a row stores of it."""

    code: str = field(repr=False)
    code_hash: bytes
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class KeptCode:
    """A code's stored values, and the id that the code is bound to."""

    bound_to: UUID
    code_hash: bytes | None
    expires_at: datetime | None
    tries: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """The outcome of a try: whether the code was right, and the row's new number of tries."""

    is_right: bool
    tries: int


@dataclass(frozen=True, slots=True)
class CodeMessage:
    """The message of a code: the code, its recipient, and the text's other values."""

    to: str
    """An e-mail address, or else a phone."""
    code: str = field(repr=False)
    about: Mapping[str, str]

    @property
    def is_email(self) -> bool:
        """Whether it goes by e-mail, else by SMS."""
        return "@" in self.to

    def link(self, base: str) -> str | None:
        """Return the link with the code while typed codes are disabled; None for a typed code."""
        return None if is_typed(self.code) else f"{base}/auth/code?code={self.code}"

    def values(self, base: str) -> dict[str, object]:
        """Return a template's values; links begin with `base`."""
        return {**self.about, "code": self.code, "link": self.link(base), "minutes": MINUTES}


def read_code(text: str) -> str:
    """Normalise a pasted code: without blanks, dashes, dots and invisible characters, with ASCII digits."""
    folded = unicodedata.normalize("NFKC", text)
    digits = compact(folded)
    return digits if _TYPED.fullmatch(digits) else unspaced(folded)


def _checked(text: str) -> str:
    code = read_code(text)
    if (len(code) == DIGITS and is_typed(code)) or re.fullmatch(r"[A-Za-z0-9_-]{22}", code):
        return code
    raise PydanticCustomError("invalid_code", "O código tem 8 dígitos.")


MessageCode = Annotated[
    str,
    Field(max_length=80),
    AfterValidator(_checked),
    WithJsonSchema(
        {"type": "string", "pattern": rf"^(?:[0-9]{{{DIGITS}}}|[A-Za-z0-9_-]{{22}})$", "examples": ["12345678"]}
    ),
]
"""A wire code, normalised; a text that no message contains is 422 and costs no try."""


def is_typed(code: str) -> bool:
    """Return whether a code is a typed one, not a link's."""
    return _TYPED.fullmatch(code) is not None


async def draw(tx: Tx, bound_to: UUID, *, person: UUID) -> OneTimeCode:
    """Return a new code for one request or account, which is valid for no other.

    While typed codes are disabled, a link's.

    `person` is the subject whose wrong codes count.
    """
    wrong = await tx.scalar(
        select(WrongCodeCount.wrong).where(WrongCodeCount.subject == person, WrongCodeCount.day == clock.today())
    )
    rests = (wrong or 0) >= WRONG_A_DAY
    code = secrets.token_urlsafe(_LINK_BYTES) if rests else f"{secrets.randbelow(10**DIGITS):0{DIGITS}}"
    if rests and is_typed(code):  # 22 digits by chance
        return await draw(tx, bound_to, person=person)
    return OneTimeCode(code, _hash(bound_to, code), clock.now() + TTL)


async def check_code(tx: Tx, kept: KeptCode, text: str, *, person: UUID, purpose: str) -> Attempt:
    """Compare a given code with the stored one, and count a wrong one; the caller has locked the row.

    A link's code uses up neither tries nor the daily count. Every wrong code takes equally long.
    """
    code = read_code(text)
    is_live = bool(kept.code_hash) and kept.expires_at is not None and kept.expires_at > clock.now()
    if not is_typed(code):
        is_right = is_live and _matches(kept, code)
        if not is_right:
            wrong_codes.labels(purpose).inc()
        return Attempt(is_right, kept.tries)
    wrong = await _lock_count(tx, person)
    may_try = is_live and kept.tries < MAX_TRIES and wrong < WRONG_A_DAY
    if _matches(kept, code) and may_try:
        return Attempt(is_right=True, tries=kept.tries + 1)
    wrong_codes.labels(purpose).inc()
    if not may_try:
        return Attempt(is_right=False, tries=kept.tries)
    today = (WrongCodeCount.subject == person, WrongCodeCount.day == clock.today())
    await tx.execute(update(WrongCodeCount).where(*today).values(wrong=wrong + 1))
    return Attempt(is_right=False, tries=kept.tries + 1)


async def _lock_count(tx: Tx, person: UUID) -> int:
    """Lock a person's daily count, so that concurrent guesses see each other's."""
    made = insert(WrongCodeCount).values(subject=person, day=clock.today(), wrong=0)
    kept = made.on_conflict_do_update(
        index_elements=["subject", "day"], set_={"wrong": WrongCodeCount.wrong}
    ).returning(WrongCodeCount.wrong)
    return (await tx.execute(kept)).scalar_one()


async def forget_old(tx: Tx) -> int:
    """Delete some of the counts of past days, and return how many. A job calls it."""
    return await delete_batch(tx, WrongCodeCount, WrongCodeCount.day < clock.today() - timedelta(days=_KEPT_DAYS))


def is_of(code_hash: bytes | None, bound_to: UUID, text: str) -> bool:
    """Return whether a code is a row's, whatever its age; used to find the row of a link's code."""
    return code_hash is not None and hmac.compare_digest(code_hash, _hash(bound_to, read_code(text)))


def _matches(kept: KeptCode, code: str) -> bool:
    return hmac.compare_digest(kept.code_hash or b"", _hash(kept.bound_to, code))


def _hash(bound_to: UUID, code: str) -> bytes:
    return digest(f"{bound_to}:{code}")
