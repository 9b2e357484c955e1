"""A processor's later requests about its transaction ids: to query one, and to reverse it.

A reversal may arrive before its authorization, or without it: then the id is used up, and the authorization is
declined if it still arrives. The narrow table `benefits_references` decides which was first; the ledger's lock of an
entry serialises all refunds of a purchase. Sources: rules.md, benefits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple
from uuid import UUID

from asyncpg import DeadlockDetectedError, LockNotAvailableError, UniqueViolationError
from prometheus_client import Counter

from carteira import ledger
from carteira.benefits.authorizer.answers import Code, Reason
from carteira.benefits.authorizer.batch import PROCESSOR
from carteira.benefits.authorizer.request import Malformed, parse_amount, parse_external_id, parse_object
from carteira.benefits.ledger_kinds import SETTLEMENT
from carteira.kit.db.engine import Database
from carteira.kit.db.insert import Insert, insert_only
from carteira.kit.db.session import LeanTx, fetch
from carteira.kit.ops.turns import Turns
from carteira.kit.values.ids import uuid7
from carteira.kit.web.state import StateKey

WHOLE: Final = ""
"""The `reversal_id` of a full reversal."""
_TRIES: Final = 8
_REVERSE: Final = Insert(
    (
        "benefits_returns (xid, id, decision_id, kind, amount, created_at)",
        """SELECT (SELECT position_now()), {0}::uuid, {1}::uuid, 'reversal', {2}::bigint, clock_timestamp()
           WHERE {2}::bigint > 0""",
    ),
    (
        "benefits_reversals (reference, reversal_id, amount, return_id)",
        "SELECT {3}::text, {4}::text, {5}::bigint, CASE WHEN {2}::bigint > 0 THEN {0}::uuid END",
    ),
    (
        "benefits_references (external_id, reverses)",
        "SELECT {4}::text, {3}::text WHERE {4}::text <> ''",
    ),
    parameters=6,
)
_RECORDER: Final = ledger.Recorder(_REVERSE)
_TAKE_ID: Final = insert_only(Insert(("benefits_references (external_id)", "SELECT {0}::text"), parameters=1))
_FIND: Final = """
    SELECT reference.decision_id, reference.reverses, decision.amount, decision.code, decision.reason,
           decision.merchant,
           (SELECT coalesce(sum(amount), 0)::bigint FROM benefits_returns WHERE decision_id = decision.id),
           wallet.id, wallet.balance - wallet.held
    FROM benefits_references reference
    LEFT JOIN benefits_decisions decision ON decision.id = reference.decision_id
    LEFT JOIN ledger_accounts wallet ON wallet.holder_id = decision.account_id
         AND wallet.kind = 'benefits.' || coalesce(decision.category_used, decision.category_tried)
    WHERE reference.external_id = $1
"""
_EARLIER: Final = "SELECT amount FROM benefits_reversals WHERE reference = $1 AND reversal_id = $2"

reversals_total = Counter(
    "carteira_processor_reversals", "Reversals that the processor asked for, by code and reason", ["code", "reason"]
)
queries_total = Counter(
    "carteira_processor_queries", "Questions of the processor about its transactions, by state", ["state"]
)


class Reversal(NamedTuple):
    """A requested reversal: of all that is left, or of an amount in centavos under an id of its own."""

    external_id: str
    reversal_id: str = WHOLE
    amount: int | None = None


def parse_reversal(body: bytes) -> Reversal:
    """Parse a processor's reversal; `totalAmount` is in reais and requires a `reversalId`.

    Raises:
        Malformed: with the reason.
    """
    content = parse_object(body)
    external_id = parse_external_id(content)
    if "totalAmount" not in content:
        if "reversalId" in content:
            raise Malformed(Reason.INVALID_AMOUNT)
        return Reversal(external_id)
    return Reversal(external_id, parse_external_id(content, "reversalId"), parse_amount(content["totalAmount"]))


class TransactionState(StrEnum):
    """The state of a transaction id."""

    APPROVED = "approved"
    DECLINED = "declined"
    REVERSED = "reversed"
    UNKNOWN = "unknown"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class Found:
    """The result of a query by transaction id; amounts in centavos.

    `balance` is its category's available balance now.
    """

    state: TransactionState
    code: Code
    decision_id: UUID | None = None
    reason: str | None = None
    amount: int | None = None
    returned: int = 0
    balance: int | None = None

    def as_json(self) -> dict[str, object]:
        """Return the processor's answer, JSON-ready; amounts in centavos."""
        return {
            "code": self.code,
            "state": self.state,
            "id": str(self.decision_id) if self.decision_id else None,
            "reason": self.reason,
            "amount": self.amount,
            "returned": self.returned,
            "balance": self.balance,
        }


class _Reference(NamedTuple):
    decision_id: UUID | None
    reverses: str | None
    amount: int | None
    code: str | None
    reason: str | None
    merchant: str | None
    returned: int
    wallet: UUID | None
    balance: int | None


def _first(rows: Sequence[Any]) -> _Reference | None:
    return _Reference(*rows[0]) if rows else None


async def _find(tx: LeanTx, external_id: str) -> _Reference | None:
    return _first(await fetch(tx, _FIND, external_id))


class Reversals:
    """Answers a processor's queries and reversals, a few at once; more are rejected."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._turns = Turns("processor_reversals", at_once=4, waiting=256, retry_after_seconds=1)

    async def query(self, external_id: str) -> Found:
        """Return the state of a transaction id: an authorization's, or a reversal's own.

        Raises:
            Busy: too many wait.
            DatabaseDown: PostgreSQL is unreachable.
        """
        async with self._turns.turn():
            found = _first(await self._database.reads.fetch(_FIND, [external_id]))
        if found is None:
            return Found(TransactionState.UNKNOWN, Code.REFUSED)
        if found.reverses is not None:
            return Found(TransactionState.APPROVED, Code.APPROVED, reason="reversal")
        if found.decision_id is None:
            return Found(TransactionState.REVERSED, Code.REFUSED, reason=Reason.REVERSED)
        code = Code(found.code or Code.REFUSED)
        if code != Code.APPROVED:
            state = TransactionState.DECLINED
        else:
            whole = found.returned == found.amount
            state = TransactionState.REVERSED if whole else TransactionState.APPROVED
        return Found(state, code, found.decision_id, found.reason, found.amount, found.returned, found.balance)

    async def reverse(self, asked: Reversal) -> tuple[Code, Reason]:
        """Reverse a purchase, once under its id or the reversal's own; return the answer and its reason.

        Raises:
            Busy: too many wait.
            AccountLocked: the account was locked for too long.
            DatabaseDown: PostgreSQL is unreachable, or did not confirm; repeating the reversal resolves that.
        """
        async with self._turns.turn():
            for last in (*[False] * (_TRIES - 1), True):
                try:
                    async with self._database.lean_transaction() as tx:
                        return await _reverse(tx, asked)
                except LockNotAvailableError as error:
                    raise ledger.AccountLocked from error
                except (UniqueViolationError, DeadlockDetectedError):
                    if last:
                        raise
        raise AssertionError("the last try returns or raises")


REVERSALS = StateKey[Reversals]("reversals")


async def _reverse(tx: LeanTx, asked: Reversal) -> tuple[Code, Reason]:
    if asked.reversal_id != WHOLE:
        own = await _find(tx, asked.reversal_id)
        if asked.reversal_id == asked.external_id or (own is not None and own.reverses != asked.external_id):
            return Code.REFUSED, Reason.TRANSACTION_ID_REUSED
    found = await _find(tx, asked.external_id)
    if found is None:
        await fetch(tx, _TAKE_ID, asked.external_id)
        await _write(tx, ledger.Book(()), asked, None, 0)
        return Code.APPROVED, Reason.REVERSED_BEFORE
    if found.reverses is not None:
        return Code.REFUSED, Reason.NOT_A_PURCHASE
    if found.decision_id is not None:
        await ledger.lock_entry(tx, found.decision_id)
        found = await _find(tx, asked.external_id) or found  # refunds by others may have come first
    earlier = await fetch(tx, _EARLIER, asked.external_id, asked.reversal_id)
    if earlier:
        same = earlier[0][0] == asked.amount
        return (Code.APPROVED, Reason.REVERSED) if same else (Code.REFUSED, Reason.TRANSACTION_ID_REUSED)
    return await _reverse_now(tx, asked, found)


async def _reverse_now(tx: LeanTx, asked: Reversal, found: _Reference) -> tuple[Code, Reason]:
    """Carry out a reversal of a known id that was not requested before."""
    if found.decision_id is None or found.code != Code.APPROVED:
        await _write(tx, ledger.Book(()), asked, None, 0)
        return Code.APPROVED, Reason.NOTHING_TO_REVERSE
    left = (found.amount or 0) - found.returned
    amount = left if asked.amount is None else asked.amount
    if amount > left:
        return Code.REFUSED, Reason.MORE_THAN_LEFT
    await _post_reversal(tx, asked, found, amount)
    return Code.APPROVED, Reason.REVERSED


async def _post_reversal(tx: LeanTx, asked: Reversal, found: _Reference, amount: int) -> None:
    book = ledger.Book(())
    return_id = uuid7()
    if amount:
        assert found.wallet is not None, "an approved purchase has the account that paid"
        book = await ledger.lock(tx, [found.wallet])
        book.post(
            ledger.transfer(
                "benefits.reversal",
                source=SETTLEMENT,
                target=found.wallet,
                amount=amount,
                description=f"Estorno: {found.merchant}",
                entry_id=return_id,
            )
        )
    await _write(tx, book, asked, found.decision_id, amount, return_id)


async def _write(  # noqa: PLR0913, PLR0917 - rows of three tables
    tx: LeanTx,
    book: ledger.Book,
    asked: Reversal,
    decision_id: UUID | None,
    amount: int,
    return_id: UUID | None = None,
) -> None:
    records = _RECORDER.record(return_id, decision_id, amount, asked.external_id, asked.reversal_id, asked.amount)
    await ledger.write(tx, book, actor=PROCESSOR, records=records)
