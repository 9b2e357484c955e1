"""The log of who read base A: append-only (a trigger refuses the rest) and chained by keyed hashes.

Each row's hash is an HMAC over the row and the hash before it, under a key that the database does not hold: somebody
who can write the tables cannot rewrite the log unnoticed. A head row names the last hash, so that a missing tail shows.
A head that was noted elsewhere (`verify` returns it) shows that somebody also reset the head row.
"""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog
from sqlalchemy import insert, select, update

from carteira.credit.models import CreditAccess, CreditAccessHead
from carteira.kit.db.engine import Database
from carteira.kit.db.keyset import keyset
from carteira.kit.db.session import Tx
from carteira.kit.values.clock import clock
from carteira.kit.web.pagination import CursorOf
from carteira.kit.web.period import Period

ACCESSES = CursorOf(int)
VERIFY_BATCH = 5_000
_ALWAYS = Period()
_COLUMNS = ("seq", "person", "who", "what", "purpose", "outcome", "request_id", "at", "hash")
FOUND, NOT_FOUND = "found", "not_found"


@dataclass(frozen=True)
class AccessRecord:
    """One look at a person's base A; `person` is the keyed hash of the CPF."""

    person: bytes
    who: UUID
    what: str
    purpose: str
    outcome: str


@dataclass(frozen=True)
class AccessLogVerification:
    """The result of a check of the log: the number of intact rows, the first broken one, and the head to note."""

    checked: int
    broken_at: int | None
    head: str


def _hash(key: bytes, previous: bytes, row: CreditAccess) -> bytes:
    parts = (
        str(row.seq),
        row.person.hex(),
        str(row.who),
        row.what,
        row.purpose,
        row.outcome,
        row.request_id,
        row.at.isoformat(timespec="microseconds"),
    )
    # Lengths before the parts: no two rows have the same bytes.
    content = b"".join(len(part.encode()).to_bytes(4) + part.encode() for part in parts)
    return hmac.new(key, previous + content, hashlib.sha256).digest()


async def append(tx: Tx, key: bytes, access: AccessRecord) -> None:
    """Add a row to the log. Appends are serialised from here to the end of the transaction: do it last."""
    head = (await tx.execute(select(CreditAccessHead.seq, CreditAccessHead.hash).with_for_update())).one()
    row = CreditAccess(
        seq=head.seq + 1,
        person=access.person,
        who=access.who,
        what=access.what,
        purpose=access.purpose,
        outcome=access.outcome,
        request_id=str(structlog.contextvars.get_contextvars().get("request_id", "")),
        at=clock.now(),
    )
    row.hash = _hash(key, head.hash, row)
    values = {name: getattr(row, name) for name in _COLUMNS}
    await tx.execute(insert(CreditAccess.__table__).values(values))  # type: ignore[arg-type] # a Table, not any FromClause
    await tx.execute(update(CreditAccessHead).values(seq=row.seq, hash=row.hash))


async def of_person(  # noqa: PLR0913 - a list's person, period and bounds
    tx: Tx, person: bytes, period: Period = _ALWAYS, *, limit: int, before: int | None = None, turned: bool = False
) -> Sequence[CreditAccess]:
    """List who read a person's base A, newest first."""
    query = select(CreditAccess).where(CreditAccess.person == person)
    query = keyset(query, CreditAccess.seq, after=before, limit=limit, newest_first=True, turned=turned)
    if period.since is not None:
        query = query.where(CreditAccess.at >= period.since)
    if period.until is not None:
        query = query.where(CreditAccess.at < period.until)
    return (await tx.scalars(query)).all()


async def verify(database: Database, key: bytes, *, noted_head: str | None = None) -> AccessLogVerification:
    """Check the whole log against its hashes, its head, and a head that was noted down before (`<seq>:<hash>`).

    It reads in batches, so that it neither holds a long transaction nor much memory.
    """
    async with database.transaction() as tx:
        head = (await tx.execute(select(CreditAccessHead.seq, CreditAccessHead.hash))).one()
    last, previous = 0, bytes(32)
    noted = noted_head.partition(":") if noted_head else None
    while last < head.seq:
        async with database.transaction() as tx:
            query = select(CreditAccess).where(CreditAccess.seq > last).order_by(CreditAccess.seq).limit(VERIFY_BATCH)
            rows = (await tx.scalars(query)).all()
        if not rows:
            break
        for row in rows:
            good = row.seq == last + 1 and hmac.compare_digest(row.hash, _hash(key, previous, row))
            if not good or (noted and str(row.seq) == noted[0] and row.hash.hex() != noted[2]):
                return AccessLogVerification(last, last + 1, f"{head.seq}:{head.hash.hex()}")
            last, previous = row.seq, row.hash
            if last == head.seq and previous != head.hash:
                return AccessLogVerification(last, last, f"{head.seq}:{head.hash.hex()}")
    cut_off = last < head.seq or (noted is not None and int(noted[0]) > last)
    return AccessLogVerification(last, last + 1 if cut_off else None, f"{head.seq}:{head.hash.hex()}")
