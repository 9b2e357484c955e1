"""The ledger's hash chain (`kit.security.hash_chain`), over entries with their postings.

No personal text is hashed (descriptions are left out), so that erasing a person does not break the chain.

A block's version says what its digests cover. Version 2 includes the actor and the approver; blocks of version 1 were
sealed before these existed, and their entries have none.
"""

from collections.abc import Sequence

from sqlalchemy import LargeBinary, RowMapping, SmallInteger, TextClause, text
from sqlalchemy.orm import Mapped, mapped_column

from carteira.kit.security.hash_chain import DIGEST_BYTES, Chain, ChainBlock
from carteira.ledger.models import LedgerEntry


def _digests(content: str) -> TextClause:
    """Return the query for entries' digests, in the order of their ids: the first half of a SHA-256 of the content."""
    return text(f"""
        SELECT wanted.place, entry.id, entry.xid, substr(sha256(convert_to({content}, 'UTF8')), 1, {DIGEST_BYTES})
            AS digest
        FROM unnest(CAST(:ids AS uuid[])) WITH ORDINALITY AS wanted (id, place)
        JOIN ledger_entries entry ON entry.id = wanted.id
        WHERE entry.id BETWEEN CAST(:least AS uuid) AND CAST(:greatest AS uuid)
        ORDER BY wanted.place
    """)  # noqa: S608 - constants


# The content of a digest, by the block's version: an entry's own fields and its postings in the order of lines, except
# the description.
_DIGESTS = {
    # An entry to which somebody added an actor later has no digest.
    1: _digests("""
        CASE WHEN num_nonnulls(entry.actor_kind, entry.actor_id, entry.approved_by) = 0 THEN concat_ws(
            '|', entry.id, entry.xid, entry.kind, coalesce(entry.key, ''), coalesce(entry.reverses_id::text, ''),
            extract(epoch FROM entry.posted_at), (
                SELECT string_agg(concat_ws(',', line, account_id, amount, coalesce(seq, 0), coalesce(balance_after, 0),
                                            extract(epoch FROM posted_at)), ';' ORDER BY line)
                FROM ledger_postings WHERE entry_id = entry.id
                      AND entry_id BETWEEN CAST(:least AS uuid) AND CAST(:greatest AS uuid))) END"""),
    # Texts are quoted, and null differs from empty and zero, so that no two entries have one text. A row as text would
    # serve too, but takes longer.
    2: _digests("""
        concat_ws(
            '|', entry.id, entry.xid, quote_literal(entry.kind), coalesce(quote_literal(entry.key), ''),
            coalesce(entry.reverses_id::text, ''), extract(epoch FROM entry.posted_at),
            coalesce(quote_literal(entry.actor_kind), ''), coalesce(quote_literal(entry.actor_id), ''),
            coalesce(entry.approved_by::text, ''), (
                SELECT string_agg(concat_ws(',', line, account_id, amount, coalesce(seq::text, ''),
                                            coalesce(balance_after::text, ''), extract(epoch FROM posted_at)),
                                  ';' ORDER BY line)
                FROM ledger_postings WHERE entry_id = entry.id
                      AND entry_id BETWEEN CAST(:least AS uuid) AND CAST(:greatest AS uuid)))"""),
}
VERSION = 2
"""The version of new blocks."""


class LedgerBlock(ChainBlock):
    """A block of the chain, with its digests' version."""

    __tablename__ = "ledger_chain"

    seals: Mapped[bytes | None] = mapped_column(LargeBinary, nullable=False)
    version: Mapped[int] = mapped_column(SmallInteger)

    @property
    def mark(self) -> bytes:
        """The version; version 1 hashes none."""
        return self.version.to_bytes(2) if self.version > 1 else b""

    @property
    def digests(self) -> TextClause:
        """The digests of its version; an unknown version has a wrong hash anyway."""
        return _DIGESTS.get(self.version, _DIGESTS[VERSION])


def _begin(_rows: Sequence[RowMapping]) -> LedgerBlock:
    return LedgerBlock(version=VERSION)


CHAIN = Chain("ledger.chain", LedgerEntry.__table__, "posted_at", LedgerBlock, _begin)
follower = CHAIN.follower
verify = CHAIN.verify
