"""The hash chain: entries sealed in commit order, so that whoever changes the past is found and the entry named.

A follower seals entries in blocks: each block keeps, for each of its entries in order, the id and a digest of the entry
with its postings, and a hash over these and the hash of the block before. No personal text is hashed (descriptions are
left out), so that erasing a person does not break the chain. Digests are computed by SQL that stands here and not in
the database, where whoever tampers could change it too.

A block has a version, which says what its digests are taken over. Version 2 counts the actor and who approved; blocks
of version 1 were sealed before there were any, and an entry in one of them has none.

A chain proves nothing against somebody who rewrites all of it: keep the head that `verify` prints somewhere else, and
give it back to the next `verify`.
"""

import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, LargeBinary, RowMapping, SmallInteger, TextClause, func, insert, select, text
from sqlalchemy.orm import Mapped, mapped_column

from carteira.kit.db.base import INSTANT, Base
from carteira.kit.db.outbox import Follower
from carteira.kit.db.session import Tx
from carteira.ledger.models import LedgerEntry

BLOCK_ENTRIES = 1_000
DIGEST_BYTES = 16
_SEAL_BYTES = 16 + DIGEST_BYTES
GENESIS = bytes(32)


class LedgerBlock(Base):
    """A block of the chain: `seals` holds 16 bytes of id and 16 of digest for each entry, in order. Append-only."""

    __tablename__ = "ledger_chain"

    height: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    last_xid: Mapped[int] = mapped_column(BigInteger)
    last_id: Mapped[UUID]
    seals: Mapped[bytes] = mapped_column(LargeBinary)
    hash: Mapped[bytes] = mapped_column(LargeBinary)
    version: Mapped[int] = mapped_column(SmallInteger)
    sealed_at: Mapped[datetime] = mapped_column(INSTANT, server_default=func.clock_timestamp())


@dataclass(frozen=True)
class Finding:
    """Something that is not as it was sealed: `what` is tampered, removed, added, reordered or broken_chain."""

    what: str
    entry_id: UUID | None = None
    height: int | None = None


@dataclass
class ChainVerification:
    """The result of verifying the chain. `tail` is how many entries are not sealed yet, `tail_seconds` for how long."""

    blocks: int = 0
    entries: int = 0
    head: bytes = GENESIS
    tail: int = 0
    tail_seconds: float = 0.0
    findings: list[Finding] = field(default_factory=list)


def _digests(content: str) -> TextClause:
    """Return the query for entries' digests, in the order of their ids: the first half of a SHA-256 of the content."""
    return text(f"""
        SELECT wanted.place, entry.id, entry.xid, substr(sha256(convert_to({content}, 'UTF8')), 1, {DIGEST_BYTES})
            AS digest
        FROM unnest(CAST(:ids AS uuid[])) WITH ORDINALITY AS wanted (id, place)
        JOIN ledger_entries entry ON entry.id = wanted.id
        ORDER BY wanted.place
    """)  # noqa: S608 - constants


# What a digest is taken over, by the block's version: an entry's own fields and its postings in order of their lines,
# everything but the description.
_DIGESTS = {
    # An entry into which an actor was put since has no digest.
    1: _digests("""
        CASE WHEN num_nonnulls(entry.actor_kind, entry.actor_id, entry.approved_by) = 0 THEN concat_ws(
            '|', entry.id, entry.xid, entry.kind, coalesce(entry.key, ''), coalesce(entry.reverses_id::text, ''),
            extract(epoch FROM entry.posted_at), (
                SELECT string_agg(concat_ws(',', line, account_id, amount, coalesce(seq, 0), coalesce(balance_after, 0),
                                            extract(epoch FROM posted_at)), ';' ORDER BY line)
                FROM ledger_postings WHERE entry_id = entry.id)) END"""),
    # What is text is quoted, and null is not what empty or zero is, so that no two entries read the same. A row as text
    # would do as well and takes longer.
    2: _digests("""
        concat_ws(
            '|', entry.id, entry.xid, quote_literal(entry.kind), coalesce(quote_literal(entry.key), ''),
            coalesce(entry.reverses_id::text, ''), extract(epoch FROM entry.posted_at),
            coalesce(quote_literal(entry.actor_kind), ''), coalesce(quote_literal(entry.actor_id), ''),
            coalesce(entry.approved_by::text, ''), (
                SELECT string_agg(concat_ws(',', line, account_id, amount, coalesce(seq::text, ''),
                                            coalesce(balance_after::text, ''), extract(epoch FROM posted_at)),
                                  ';' ORDER BY line)
                FROM ledger_postings WHERE entry_id = entry.id))"""),
}
VERSION = 2
"""The version of the blocks that are sealed now."""


async def _seal(tx: Tx, rows: Sequence[RowMapping]) -> None:
    """Append a block with the rows of `ledger_entries`, in the order given."""
    last = (
        await tx.execute(select(LedgerBlock.height, LedgerBlock.hash).order_by(LedgerBlock.height.desc()).limit(1))
    ).first()
    digests = await tx.execute(_DIGESTS[VERSION], {"ids": [row["id"] for row in rows]})
    seals = b"".join(row.id.bytes + row.digest for row in digests)
    await tx.execute(
        insert(LedgerBlock).values(
            height=last.height + 1 if last else 1,
            last_xid=rows[-1]["xid"],
            last_id=rows[-1]["id"],
            seals=seals,
            hash=_link(last.hash if last else GENESIS, seals, VERSION),
            version=VERSION,
        )
    )


def _link(previous: bytes, seals: bytes, version: int) -> bytes:
    mark = version.to_bytes(2) if version > 1 else b""
    return hashlib.sha256(previous + mark + seals).digest()


follower = Follower("ledger.chain", LedgerEntry.__table__, _seal, batch=BLOCK_ENTRIES)


async def _blocks(tx: Tx) -> AsyncIterator[LedgerBlock]:
    height = 0
    while True:
        query = select(LedgerBlock).where(LedgerBlock.height > height).order_by(LedgerBlock.height).limit(1)
        block = await tx.scalar(query)
        if block is None:
            return
        yield block
        height = block.height
        tx.expunge(block)


async def verify(tx: Tx, *, expected: tuple[int, bytes] | None = None) -> AsyncIterator[ChainVerification]:
    """Verify the whole chain in one snapshot; give the result so far after each block, the last one being the result.

    `expected` is a head that was kept elsewhere: a height and the hash that the block at that height must have.
    """
    await tx.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
    await tx.execute(text("SET LOCAL statement_timeout = 0"))
    result = ChainVerification()
    place: tuple[int, UUID] = (0, UUID(int=0))
    async for block in _blocks(tx):
        result.blocks += 1
        if block.height != result.blocks or block.hash != _link(result.head, block.seals, block.version):
            result.findings.append(Finding("broken_chain", height=block.height))
        if expected is not None and block.height == expected[0] and block.hash != expected[1]:
            result.findings.append(Finding("broken_chain", height=block.height))
        place = await _verify_block(tx, block, place, result)
        result.head = block.hash
        yield result
    if expected is not None and result.blocks < expected[0]:
        result.findings.append(Finding("broken_chain", height=expected[0]))
    await _look_for_more(tx, place, result)
    yield result


async def _verify_block(
    tx: Tx, block: LedgerBlock, place: tuple[int, UUID], result: ChainVerification
) -> tuple[int, UUID]:
    """Compare a block's seals with the entries as they are now; give the place of its last entry."""
    seals = [block.seals[at : at + _SEAL_BYTES] for at in range(0, len(block.seals), _SEAL_BYTES)]
    ids = [UUID(bytes=seal[:16]) for seal in seals]
    digests = _DIGESTS.get(block.version, _DIGESTS[VERSION])  # where there is no such version, the hash is wrong too
    now = {row.id: row for row in await tx.execute(digests, {"ids": ids})}
    for entry_id, seal in zip(ids, seals, strict=True):
        row = now.get(entry_id)
        if row is None:
            result.findings.append(Finding("removed", entry_id, block.height))
            continue
        if row.digest != seal[16:]:
            result.findings.append(Finding("tampered", entry_id, block.height))
        if (row.xid, entry_id) <= place:
            result.findings.append(Finding("reordered", entry_id, block.height))
        place = max(place, (row.xid, entry_id))
    result.entries += len(ids)
    if (block.last_xid, block.last_id) != place and not result.findings:
        result.findings.append(Finding("broken_chain", height=block.height))
    return (block.last_xid, block.last_id)


async def _look_for_more(tx: Tx, place: tuple[int, UUID], result: ChainVerification) -> None:
    """Look for entries that were slipped in behind the chain's place, and measure the tail after it."""
    where = {"xid": place[0], "id": place[1]}
    sealed = await tx.scalar(text("SELECT count(*) FROM ledger_entries WHERE (xid, id) <= (:xid, :id)"), where)
    if sealed is not None and sealed > result.entries:
        known = text("""
            SELECT entry.id FROM ledger_entries entry WHERE (entry.xid, entry.id) <= (:xid, :id)
            EXCEPT
            SELECT encode(substr(seals, 1 + 32 * place, 16), 'hex')::uuid
            FROM ledger_chain, generate_series(0, length(seals) / 32 - 1) AS place
            LIMIT 1000
        """)
        result.findings += [Finding("added", row.id) for row in await tx.execute(known, where)]
    tail = await tx.execute(
        text("""
            SELECT count(*) AS entries, coalesce(extract(epoch FROM clock_timestamp() - min(posted_at)), 0) AS seconds
            FROM ledger_entries WHERE (xid, id) > (:xid, :id)
        """),
        where,
    )
    row = tail.one()
    result.tail, result.tail_seconds = row.entries, float(row.seconds)
