"""Decisions as rows: written, found by transaction id, and resolved after an unknown commit."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

from carteira import ledger
from carteira.benefits.authorizer.answers import Code, Reason
from carteira.benefits.authorizer.rules import Decision
from carteira.kit.db.insert import Insert, insert_only
from carteira.kit.db.session import LeanTx, Tx, fetch
from carteira.kit.values.clock import clock

_DECISION_COLUMNS = ", ".join(Decision._fields)
_TAKEN = "SELECT external_id, decision_id, reverses FROM benefits_references WHERE external_id = ANY($1)"
_ANSWERED = f"""
    SELECT {", ".join(f"decision.{name}" for name in Decision._fields)}
    FROM unnest($1::uuid[]) AS wanted (id) JOIN benefits_decisions decision ON decision.id = wanted.id
    WHERE decision.id BETWEEN $2 AND $3
"""  # noqa: S608 - constants


async def find_answered(tx: LeanTx, external_ids: Sequence[str]) -> dict[str, Decision]:
    """Return the earlier decisions under the transaction ids.

    An id that a reversal has used has a decision without a request: the authorization was reversed before it arrived.
    """
    rows = await fetch(tx, _TAKEN, external_ids)
    ids = [decision_id for _, decision_id, _ in rows if decision_id is not None]
    # Mostly there is none: the partitions of decisions are read only for repeated requests.
    known = {row[0]: Decision(*row) for row in await fetch(tx, _ANSWERED, ids, min(ids), max(ids))} if ids else {}
    return {row[0]: known.get(row[1]) or _decision_of(*row) for row in rows}


def _decision_of(external_id: str, decision_id: UUID | None, reverses: str | None) -> Decision:
    free = decision_id is None and reverses is None
    reason = Reason.REVERSED_BEFORE if free else Reason.TRANSACTION_ID_REUSED
    return Decision(
        UUID(int=0), external_id, None, "", None, None, None, fallback=False, code=Code.REFUSED, reason=reason
    )


_ROWS = Insert(
    (
        f"benefits_decisions (xid, {_DECISION_COLUMNS})",
        "SELECT (SELECT position_now()), new.* FROM unnest({0}::benefits_new_decision[]) AS new",
    ),
    parameters=1,
)
RECORDER: Final = ledger.Recorder(_ROWS, guard="benefits_require_catalog({0})", guarded=1)
"""Writes decisions with their book, if the catalog's version is still the one by which they were made."""
_RECORD = insert_only(_ROWS)
_TAKE_ID = f"{_RECORD} ON CONFLICT (id) DO NOTHING"


async def record(tx: Tx | LeanTx, decisions: Sequence[Decision]) -> None:
    """Write decisions that move no money and depend on no balance."""
    await fetch(tx, _RECORD, decisions)


async def resolve_unknown_commit(tx: LeanTx, decision: Decision) -> bool:
    """Determine whether an unconfirmed decision was written; if not, make sure that it never will be.

    It inserts a refusal under the same id. The insert waits for a server process that may still be writing the
    decision; if it succeeds, the decision can no longer be written.
    """
    refusal = decision._replace(
        external_id=None,
        code=Code.REFUSED,
        reason=Reason.UNAVAILABLE,
        category_tried=None,
        category_used=None,
        rule=None,
        short_by=None,
    )
    await fetch(tx, _TAKE_ID, [refusal])
    ((reason,),) = await fetch(tx, "SELECT reason FROM benefits_decisions WHERE id = $1", decision.id)
    if reason == Reason.UNAVAILABLE:
        return True
    # The leader may have the decision before its replicas do: this commit waits for them, as the first one did.
    await fetch(tx, "SELECT pg_logical_emit_message(true, 'carteira', '')")
    return False


_FORGET = """
    DELETE FROM benefits_decisions WHERE id IN (
        SELECT id FROM benefits_decisions WHERE code <> '00' AND created_at < $1 ORDER BY id LIMIT 1000)
    RETURNING id
"""


async def forget_declined(tx: Tx, *, years: int) -> int:
    """Delete up to 1,000 declined decisions that are older than so many years; return how many. A job calls it.

    The database refuses to delete younger ones than five years, and approved ones, which explain ledger entries.
    """
    return len(await fetch(tx, _FORGET, clock.now() - timedelta(days=366 * years)))
