"""One-time codes by message: who types one reads the e-mail address or the phone that it was sent to.

A code is made in the job that sends it, so that it exists nowhere but in the message and, hashed, in the database. It
is good for ten minutes and five tries. The row that keeps it is a module's own, and says what the code is for; a code
made anew takes the former one's place there, and so the newest counts.

Wrong codes count per person, over all that codes are for: after `WRONG_A_DAY` on a day of São Paulo typed codes rest
until the next, and messages carry a *link* instead, whose 128 bits nobody guesses. So a stranger's guesses use up
nothing that the person needs. Wrong ones are counted in `carteira_wrong_codes_total` too, for an alert, and by the
callers for each network (`rate_limits.WRONG_CODES`).
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
from sqlalchemy import Date, SmallInteger, delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, mapped_column

from carteira.kit.db.base import Base
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

wrong_codes = Counter("carteira_wrong_codes", "One-time codes by message that were wrong", ["purpose"])


class WrongCodeCount(Base):
    """How many wrong codes were typed for a person on a day; a subject is a person, or a stranger's pseudonym."""

    __tablename__ = "wrong_codes"

    subject: Mapped[UUID] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    wrong: Mapped[int] = mapped_column(SmallInteger)


@dataclass(frozen=True, slots=True)
class OneTimeCode:
    """A code, and what a row keeps of it."""

    code: str = field(repr=False)
    code_hash: bytes
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class KeptCode:
    """What a row has of a code, and what the code is bound to."""

    bound_to: UUID
    code_hash: bytes | None
    expires_at: datetime | None
    tries: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of a try: whether the code was right, and the row's tries from now on."""

    is_right: bool
    tries: int


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

    def link(self, base: str) -> str | None:
        """Return the link that carries the code where typed ones rest; None for a code to type."""
        return None if is_typed(self.code) else f"{base}/auth/code?code={self.code}"

    def values(self, base: str) -> dict[str, object]:
        """Return what a template is filled with; links begin with `base`."""
        return {**self.about, "code": self.code, "link": self.link(base), "minutes": MINUTES}


def read_code(text: str) -> str:
    """Read a code as people paste it: without blanks, dashes, dots and what cannot be seen, in whatever digits."""
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
"""A wire code, read as people paste it; what no message ever says is 422 and costs no try."""


def is_typed(code: str) -> bool:
    """Return whether a code is one to type, rather than a link's."""
    return _TYPED.fullmatch(code) is not None


async def draw(tx: Tx, bound_to: UUID, *, person: UUID) -> OneTimeCode:
    """Draw a code for a request or an account; the same one proves nothing of another. A link's where typed ones rest.

    `person` is whom wrong codes are counted for.
    """
    wrong = await tx.scalar(
        select(WrongCodeCount.wrong).where(WrongCodeCount.subject == person, WrongCodeCount.day == clock.today())
    )
    rests = (wrong or 0) >= WRONG_A_DAY
    code = secrets.token_urlsafe(_LINK_BYTES) if rests else f"{secrets.randbelow(10**DIGITS):0{DIGITS}}"
    if rests and is_typed(code):  # 22 digits by chance
        return await draw(tx, bound_to, person=person)
    return OneTimeCode(code, _hash(bound_to, code), clock.now() + TTL)


async def try_code(tx: Tx, kept: KeptCode, text: str, *, person: UUID, purpose: str) -> Attempt:
    """Compare what somebody gave with what a row keeps, and count it if it is wrong; the row is locked by the caller.

    A link's code takes neither tries nor the person's ten. It takes as long for every wrong one.
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
    """Lock a person's count of the day, so that of many who guess at once each sees the others'."""
    made = insert(WrongCodeCount).values(subject=person, day=clock.today(), wrong=0)
    kept = made.on_conflict_do_update(
        index_elements=["subject", "day"], set_={"wrong": WrongCodeCount.wrong}
    ).returning(WrongCodeCount.wrong)
    return (await tx.execute(kept)).scalar_one()


async def forget_old(tx: Tx) -> None:
    """Delete the counts of days that are over. A job calls it."""
    await tx.execute(delete(WrongCodeCount).where(WrongCodeCount.day < clock.today() - timedelta(days=_KEPT_DAYS)))


def is_of(code_hash: bytes | None, bound_to: UUID, text: str) -> bool:
    """Return whether a code is the one that a row keeps, whatever its age: which row a link's code is of."""
    return code_hash is not None and hmac.compare_digest(code_hash, _hash(bound_to, read_code(text)))


def _matches(kept: KeptCode, code: str) -> bool:
    return hmac.compare_digest(kept.code_hash or b"", _hash(kept.bound_to, code))


def _hash(bound_to: UUID, code: str) -> bytes:
    return digest(f"{bound_to}:{code}")
