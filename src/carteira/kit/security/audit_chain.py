"""The audit's hash chain: rows sealed in commit order, so that whoever changes the past is found and the row named.

A follower seals rows in blocks, as the ledger does: for each row its id and a digest, and a hash over these and the
hash of the block before. Rows that are older than they are kept go by whole blocks from the beginning (`audit_forget`
in the database): the last block that went keeps its hash, and a verification goes on from there.

A chain proves nothing against somebody who rewrites all of it: keep the head that `verify` prints somewhere else, and
give it back to the next `verify`.
"""

import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import BigInteger, LargeBinary, RowMapping, func, insert, select, text
from sqlalchemy.orm import Mapped, mapped_column

from carteira.kit.db.base import INSTANT, Base
from carteira.kit.db.outbox import Follower
from carteira.kit.db.session import Tx
from carteira.kit.security.audit import AuditRecord
from carteira.kit.values.clock import clock

BLOCK_ROWS = 1_000
KEPT_AT_LEAST = timedelta(days=5 * 365)
"""The database lets nothing younger go; who looked at a person is kept for five years."""
_DIGEST_BYTES = 16
_SEAL_BYTES = 16 + _DIGEST_BYTES
GENESIS = bytes(32)


class AuditBlock(Base):
    """A block of the chain: `seals` holds 16 bytes of id and 16 of digest for each row, in order.

    `newest_at` is when the youngest of its rows was recorded. A block whose rows were forgotten has no seals; the last
    one of these stays, for its hash.
    """

    __tablename__ = "audit_chain"

    height: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    last_xid: Mapped[int] = mapped_column(BigInteger)
    last_id: Mapped[UUID]
    newest_at: Mapped[datetime] = mapped_column(INSTANT)
    seals: Mapped[bytes | None] = mapped_column(LargeBinary)
    hash: Mapped[bytes] = mapped_column(LargeBinary)
    sealed_at: Mapped[datetime] = mapped_column(INSTANT, server_default=func.clock_timestamp())


@dataclass(frozen=True)
class AuditFinding:
    """Something that is not as it was sealed.

    `what` is tampered, removed, added, reordered, broken_chain or forgotten_early.
    """

    what: str
    row_id: UUID | None = None
    height: int | None = None


@dataclass
class AuditVerification:
    """The result of verifying the chain: the height and hash of its head, what was checked, and what is wrong.

    `forgotten` is the height up to which rows went after their time, `tail` how many rows are not sealed yet.
    """

    height: int = 0
    rows: int = 0
    head: bytes = GENESIS
    forgotten: int = 0
    tail: int = 0
    findings: list[AuditFinding] = field(default_factory=list)


# A row as text quotes what it holds and tells null from empty, so that no two rows read the same.
_DIGESTS = text(f"""
    SELECT wanted.place, entry.id, entry.xid, substr(sha256(convert_to(ROW(
        entry.id, entry.xid, entry.actor_kind, entry.actor_id, entry.actor_name, entry.subject_id, entry.action,
        entry.look, entry.session_id, entry.request_id, entry.entry_id, extract(epoch FROM entry.created_at),
        entry.details)::text, 'UTF8')), 1, {_DIGEST_BYTES}) AS digest
    FROM unnest(CAST(:ids AS uuid[])) WITH ORDINALITY AS wanted (id, place)
    JOIN audit_log entry ON entry.id = wanted.id
    ORDER BY wanted.place
""")  # noqa: S608 - a constant


async def _seal(tx: Tx, rows: Sequence[RowMapping]) -> None:
    """Append a block with the rows of `audit_log`, in the order given."""
    newest = select(AuditBlock.height, AuditBlock.hash).order_by(AuditBlock.height.desc()).limit(1)
    last = (await tx.execute(newest)).first()
    digests = await tx.execute(_DIGESTS, {"ids": [row["id"] for row in rows]})
    seals = b"".join(row.id.bytes + row.digest for row in digests)
    newest_at = max(row["created_at"] for row in rows)
    await tx.execute(
        insert(AuditBlock).values(
            height=last.height + 1 if last else 1,
            last_xid=rows[-1]["xid"],
            last_id=rows[-1]["id"],
            newest_at=newest_at,
            seals=seals,
            hash=_link(last.hash if last else GENESIS, newest_at, seals),
        )
    )


def _link(previous: bytes, newest_at: datetime, seals: bytes) -> bytes:
    return hashlib.sha256(previous + newest_at.isoformat(timespec="microseconds").encode() + seals).digest()


follower = Follower("audit.chain", AuditRecord.__table__, _seal, batch=BLOCK_ROWS)


async def _blocks(tx: Tx) -> AsyncIterator[AuditBlock]:
    height = 0
    while True:
        query = select(AuditBlock).where(AuditBlock.height > height).order_by(AuditBlock.height).limit(1)
        block = await tx.scalar(query)
        if block is None:
            return
        yield block
        height = block.height
        tx.expunge(block)


async def verify(tx: Tx, *, expected: tuple[int, bytes] | None = None) -> AsyncIterator[AuditVerification]:
    """Verify the whole chain in one snapshot; give the result so far after each block, the last one being the result.

    `expected` is a head that was kept elsewhere: a height and the hash that the block at that height must have, unless
    its rows were forgotten since.
    """
    await tx.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
    await tx.execute(text("SET LOCAL statement_timeout = 0"))
    result = AuditVerification()
    place: tuple[int, UUID] = (0, UUID(int=0))
    async for block in _blocks(tx):
        if block.seals is None and result.height == 0:
            place = (block.last_xid, block.last_id)
            result.height = result.forgotten = block.height
            if block.newest_at > clock.now() - KEPT_AT_LEAST:
                result.findings.append(AuditFinding("forgotten_early", height=block.height))
        else:
            seals = block.seals or b""
            linked = _link(result.head, block.newest_at, seals)
            if block.height != result.height + 1 or block.hash != linked:
                result.findings.append(AuditFinding("broken_chain", height=block.height))
            result.height = block.height
            place = await _verify_block(tx, block, seals, place, result)
        if expected is not None and block.height == expected[0] and block.hash != expected[1]:
            result.findings.append(AuditFinding("broken_chain", height=block.height))
        result.head = block.hash
        yield result
    if expected is not None and result.height < expected[0]:
        result.findings.append(AuditFinding("broken_chain", height=expected[0]))
    await _look_for_more(tx, place, result)
    yield result


async def _verify_block(
    tx: Tx, block: AuditBlock, content: bytes, place: tuple[int, UUID], result: AuditVerification
) -> tuple[int, UUID]:
    """Compare a block's seals with the rows as they are now; give the place of its last row."""
    seals = [content[at : at + _SEAL_BYTES] for at in range(0, len(content), _SEAL_BYTES)]
    ids = [UUID(bytes=seal[:16]) for seal in seals]
    now = {row.id: row for row in await tx.execute(_DIGESTS, {"ids": ids})}
    for row_id, seal in zip(ids, seals, strict=True):
        row = now.get(row_id)
        if row is None:
            result.findings.append(AuditFinding("removed", row_id, block.height))
            continue
        if row.digest != seal[16:]:
            result.findings.append(AuditFinding("tampered", row_id, block.height))
        if (row.xid, row_id) <= place:
            result.findings.append(AuditFinding("reordered", row_id, block.height))
        place = max(place, (row.xid, row_id))
    result.rows += len(ids)
    if (block.last_xid, block.last_id) != place and not result.findings:
        result.findings.append(AuditFinding("broken_chain", height=block.height))
    return (block.last_xid, block.last_id)


async def _look_for_more(tx: Tx, place: tuple[int, UUID], result: AuditVerification) -> None:
    """Look for rows that were slipped in behind the chain's place, and count the tail after it."""
    where = {"xid": place[0], "id": place[1]}
    behind = await tx.scalar(text("SELECT count(*) FROM audit_log WHERE (xid, id) <= (:xid, :id)"), where) or 0
    if behind > result.rows:
        unknown = text("""
            SELECT entry.id FROM audit_log entry WHERE (entry.xid, entry.id) <= (:xid, :id)
            EXCEPT
            SELECT encode(substr(seals, 1 + 32 * place, 16), 'hex')::uuid
            FROM audit_chain, generate_series(0, length(seals) / 32 - 1) AS place
            LIMIT 1000
        """)
        result.findings += [AuditFinding("added", row.id) for row in await tx.execute(unknown, where)]
    result.tail = await tx.scalar(text("SELECT count(*) FROM audit_log WHERE (xid, id) > (:xid, :id)"), where) or 0


async def forget(tx: Tx, before: datetime) -> int:
    """Delete the oldest block's rows if all were recorded before an instant; give how many, 0 if there is none.

    The hash of the last block that went stays. The instant lies five years back or more: the database sees to it.
    """
    return await tx.scalar(select(func.audit_forget(before))) or 0
