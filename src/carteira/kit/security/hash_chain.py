"""Hash chains over tables: rows are sealed in commit order, so that a later change is detected and its row named.

A follower seals rows in blocks. A block keeps the id and a digest of each row in order, and a hash over these and the
hash of the block before. Digests are computed by SQL in the code, not in the database, where an attacker could change
it too.

A chain proves nothing against somebody who rewrites all of it: store a verification's head elsewhere, and pass it to
the next verification. A verification may also begin at a head that was verified before; it then reads later blocks.
"""

import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import structlog
from sqlalchemy import BigInteger, LargeBinary, RowMapping, TextClause, extract, func, select, text, tuple_
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.sql import FromClause

from carteira.kit.db.base import INSTANT, Base
from carteira.kit.db.engine import Database
from carteira.kit.db.outbox import NOTHING, Follower
from carteira.kit.db.session import Tx

BLOCK_ROWS = 1_000
DIGEST_BYTES = 16
_SEAL_BYTES = 16 + DIGEST_BYTES
GENESIS = bytes(32)

log = structlog.get_logger(__name__)
Place = tuple[int, UUID]
"""Position and id of a row: its place in commit order."""
Head = tuple[int, bytes]
"""Height and hash of a block."""


class ChainBlock(Base):
    """The columns of all chains' blocks. Append-only.

    `seals` holds 16 bytes of id and 16 of digest for each row, in order; None where the rows were deleted since.
    """

    __abstract__ = True

    height: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    last_xid: Mapped[int] = mapped_column(BigInteger)
    last_id: Mapped[UUID]
    seals: Mapped[bytes | None] = mapped_column(LargeBinary)
    hash: Mapped[bytes] = mapped_column(LargeBinary)
    sealed_at: Mapped[datetime] = mapped_column(INSTANT, server_default=func.clock_timestamp())

    @property
    def place(self) -> Place:
        """The place of the last row."""
        return self.last_xid, self.last_id

    @property
    def mark(self) -> bytes:
        """Further content of its hash, beside the previous hash and the seals."""
        raise NotImplementedError

    @property
    def digests(self) -> TextClause:
        """The query for `place, id, xid, digest` of the rows with `ids`, in the order of these.

        `least` and `greatest` are their bounds, by which it opens the partitions that they lie in and no others.
        """
        raise NotImplementedError

    @property
    def forgotten_early(self) -> bool:
        """Whether its rows were deleted before they may be."""
        return True

    def link(self, previous: bytes) -> bytes:
        """Return the hash that it must have after a block with the hash `previous`."""
        return hashlib.sha256(previous + self.mark + (self.seals or b"")).digest()


@dataclass(frozen=True)
class Finding:
    """A difference between a row and its seal.

    `what` is tampered, removed, added, reordered, broken_chain or forgotten_early.
    """

    what: str
    row_id: UUID | None = None
    height: int | None = None


@dataclass
class ChainVerification:
    """The result of verifying a chain: the height and hash of its head, what was checked, and the findings.

    `since` is the height behind which it began, `forgotten` the one up to which rows were deleted after their
    retention, `tail` the number of unsealed rows, and `tail_seconds` their age.
    """

    since: int = 0
    height: int = 0
    rows: int = 0
    head: bytes = GENESIS
    forgotten: int = 0
    tail: int = 0
    tail_seconds: float = 0.0
    findings: list[Finding] = field(default_factory=list)


@dataclass(frozen=True)
class Chain:
    """A chain over a table.

    Attributes:
        name: The name of the sealing follower.
        rows: The table, with `xid` and `id`.
        instant: Its column with a row's instant.
        begin: Makes a block for rows in their order, with this chain's own columns.
    """

    name: str
    rows: FromClause
    instant: str
    block: type[ChainBlock]
    begin: Callable[[Sequence[RowMapping]], ChainBlock]

    @property
    def follower(self) -> Follower:
        """The follower that seals."""
        return Follower(self.name, self.rows, self._seal, batch=BLOCK_ROWS)

    async def _seal(self, tx: Tx, rows: Sequence[RowMapping]) -> None:
        """Append a block with rows, in the order given."""
        newest = select(self.block.height, self.block.hash).order_by(self.block.height.desc()).limit(1)
        last = (await tx.execute(newest)).first()
        block = self.begin(rows)
        block.height = last.height + 1 if last else 1
        block.last_xid, block.last_id = rows[-1]["xid"], rows[-1]["id"]
        digests = await tx.execute(block.digests, _bounded([row["id"] for row in rows]))
        block.seals = b"".join(row.id.bytes + row.digest for row in digests)
        block.hash = block.link(last.hash if last else GENESIS)
        tx.add(block)
        await tx.flush()
        tx.expunge(block)

    async def verify(
        self, tx: Tx, *, expected: Head | None = None, since: Head | None = None
    ) -> AsyncIterator[ChainVerification]:
        """Verify the chain in one snapshot; yield the result so far after each block. The last one is final.

        `expected` is a head that was stored elsewhere: a height, and the hash that its block must have unless it was
        deleted since. `since` is a head that was verified before: the chain must continue from it, and what lies before
        is not read.
        """
        await tx.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
        await tx.execute(text("SET LOCAL statement_timeout = 0"))
        result = ChainVerification()
        begin: Place | None = (0, NOTHING)
        if since is not None and since[0] > 0:
            result.since, result.height, result.head = since[0], *since
            begin = await self._place_of(tx, since)
        if begin is None:
            result.findings.append(Finding("broken_chain", height=result.since))
            yield result
            return
        place = begin
        async for block in self._blocks(tx, result.since):
            if block.seals is None and result.height == 0:
                result.forgotten = block.height
                if block.forgotten_early:
                    result.findings.append(Finding("forgotten_early", height=block.height))
            else:
                if block.height != result.height + 1 or block.hash != block.link(result.head):
                    result.findings.append(Finding("broken_chain", height=block.height))
                await _verify_block(tx, block, place, result)
            result.height, result.head, place = block.height, block.hash, block.place
            yield result
        if expected is not None:
            found = await tx.scalar(select(self.block.hash).where(self.block.height == expected[0]))
            if result.height < expected[0] or (found is not None and found != expected[1]):
                result.findings.append(Finding("broken_chain", height=expected[0]))
        await self._find_inserted(tx, begin, place, result)
        yield result

    async def _place_of(self, tx: Tx, head: Head) -> Place | None:
        """Return the place of a block's last row; None if no block has this height and hash."""
        block = self.block
        query = select(block.last_xid, block.last_id).where(block.height == head[0], block.hash == head[1])
        place = (await tx.execute(query)).first()
        return None if place is None else (place.last_xid, place.last_id)

    async def verify_and_log(
        self,
        database: Database,
        *,
        expected: Head | None = None,
        since: Head | None = None,
        report: Callable[[int], None] = lambda _rows: None,
    ) -> ChainVerification:
        """Verify the chain, and log each finding; `report` is called with the number of rows verified so far."""
        async with database.transaction() as tx:
            async for result in self.verify(tx, expected=expected, since=since):
                report(result.rows)
        for finding in result.findings:
            row = str(finding.row_id) if finding.row_id else None
            log.error("chain broken", chain=self.name, what=finding.what, row=row, height=finding.height)
        return result

    async def _blocks(self, tx: Tx, height: int) -> AsyncIterator[ChainBlock]:
        """Read the blocks above a height."""
        while True:
            query = select(self.block).where(self.block.height > height).order_by(self.block.height).limit(1)
            block = await tx.scalar(query)
            if block is None:
                return
            yield block
            height = block.height
            tx.expunge(block)

    async def _find_inserted(self, tx: Tx, begin: Place, place: Place, result: ChainVerification) -> None:
        """Find rows that were inserted between two places of the chain, and measure the tail after it."""
        columns = self.rows.c
        row_place = tuple_(columns.xid, columns.id)
        end = tuple_(*place)
        sealed = select(func.count()).select_from(self.rows).where(row_place <= end)
        if result.since:
            sealed = sealed.where(row_place > tuple_(*begin))
        if (await tx.scalar(sealed) or 0) > result.rows:
            unknown = text(f"""
                SELECT entry.id FROM {self.rows} entry
                WHERE (entry.xid, entry.id) <= (:xid, :id) AND (entry.xid, entry.id) > (:begin_xid, :begin_id)
                EXCEPT
                SELECT encode(substr(seals, 1 + {_SEAL_BYTES} * place, 16), 'hex')::uuid
                FROM {self.block.__table__}, generate_series(0, length(seals) / {_SEAL_BYTES} - 1) AS place
                WHERE height > :since
                LIMIT 1000
            """)  # noqa: S608 - names from constants
            values = {"xid": place[0], "id": place[1], "begin_xid": begin[0], "begin_id": begin[1]}
            added = await tx.execute(unknown, values | {"since": result.since})
            result.findings += [Finding("added", row.id) for row in added]
        since = func.clock_timestamp() - func.min(columns[self.instant])
        tail = await tx.execute(
            select(func.count(), func.coalesce(extract("epoch", since), 0))
            .select_from(self.rows)
            .where(row_place > end)
        )
        result.tail, seconds = tail.one()
        result.tail_seconds = float(seconds)


def _bounded(ids: list[UUID]) -> dict[str, object]:
    return {"ids": ids, "least": min(ids), "greatest": max(ids)}


async def _verify_block(tx: Tx, block: ChainBlock, place: Place, result: ChainVerification) -> None:
    """Compare a block's seals with the present rows; `place` is the end of the block before."""
    content = block.seals or b""
    seals = [content[at : at + _SEAL_BYTES] for at in range(0, len(content), _SEAL_BYTES)]
    ids = [UUID(bytes=seal[:16]) for seal in seals]
    now = {row.id: row for row in await tx.execute(block.digests, _bounded(ids))} if ids else {}
    for row_id, seal in zip(ids, seals, strict=True):
        row = now.get(row_id)
        if row is None:
            result.findings.append(Finding("removed", row_id, block.height))
            continue
        if row.digest != seal[16:]:
            result.findings.append(Finding("tampered", row_id, block.height))
        if (row.xid, row_id) <= place:
            result.findings.append(Finding("reordered", row_id, block.height))
        place = max(place, (row.xid, row_id))
    result.rows += len(ids)
    if block.place != place and not result.findings:
        result.findings.append(Finding("broken_chain", height=block.height))
