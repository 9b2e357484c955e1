"""The audit's hash chain (`hash_chain`).

Rows past their retention are deleted by whole blocks from the beginning (`audit_forget` in the database). The last
deleted block keeps its hash, and verification continues from it.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import RowMapping, TextClause, func, select, text
from sqlalchemy.orm import Mapped, mapped_column

from carteira.kit.db.base import INSTANT
from carteira.kit.db.session import Tx
from carteira.kit.security.audit import AuditRecord
from carteira.kit.security.hash_chain import DIGEST_BYTES, Chain, ChainBlock
from carteira.kit.values.clock import clock

KEPT_AT_LEAST = timedelta(days=5 * 365)
"""The database refuses to delete younger rows: looks at people are kept for five years."""

# A row as text quotes its values and distinguishes null from empty, so that no two rows have the same text.
_DIGESTS = text(f"""
    SELECT wanted.place, entry.id, entry.xid, substr(sha256(convert_to(ROW(
        entry.id, entry.xid, entry.actor_kind, entry.actor_id, entry.actor_name, entry.subject_id, entry.action,
        entry.look, entry.session_id, entry.request_id, entry.entry_id, extract(epoch FROM entry.created_at),
        entry.details)::text, 'UTF8')), 1, {DIGEST_BYTES}) AS digest
    FROM unnest(CAST(:ids AS uuid[])) WITH ORDINALITY AS wanted (id, place)
    JOIN audit_log entry ON entry.id = wanted.id
    WHERE entry.id BETWEEN CAST(:least AS uuid) AND CAST(:greatest AS uuid)
    ORDER BY wanted.place
""")  # noqa: S608 - a constant


class AuditBlock(ChainBlock):
    """A block of the chain; `newest_at` is when its youngest row was recorded.

    Blocks whose rows were deleted have no seals. The last of them is kept for its hash.
    """

    __tablename__ = "audit_chain"

    newest_at: Mapped[datetime] = mapped_column(INSTANT)

    @property
    def mark(self) -> bytes:
        """The instant of the youngest row: hashed too, so that nobody can make a block look older."""
        return self.newest_at.isoformat(timespec="microseconds").encode()

    @property
    def digests(self) -> TextClause:
        """The digests of rows of the audit."""
        return _DIGESTS

    @property
    def forgotten_early(self) -> bool:
        """Whether its rows are too young to be deleted."""
        return self.newest_at > clock.now() - KEPT_AT_LEAST


def _begin(rows: Sequence[RowMapping]) -> AuditBlock:
    return AuditBlock(newest_at=max(row["created_at"] for row in rows))


CHAIN = Chain("audit.chain", AuditRecord.__table__, "created_at", AuditBlock, _begin)
follower = CHAIN.follower
verify = CHAIN.verify


async def forget(tx: Tx, before: datetime) -> int:
    """Delete the oldest block's rows if all were recorded before an instant, and return how many.

    The last deleted block's hash is kept. The database requires that the instant lies at least five years back.
    """
    return await tx.scalar(select(func.audit_forget(before))) or 0
