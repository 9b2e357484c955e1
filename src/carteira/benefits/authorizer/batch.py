"""A batch of authorizations: each is decided against its account's book and written as a decision.

The balance that this process last wrote suffices to approve a purchase, since the write applies the amount to the
present balance and fails if that no longer covers it.
"""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from carteira import ledger
from carteira.benefits.authorizer.answers import Reason
from carteira.benefits.authorizer.decisions import RECORDER, find_answered
from carteira.benefits.authorizer.request import Authorization
from carteira.benefits.authorizer.rules import CASH, Catalog, Decision, decide, refuse
from carteira.benefits.ledger_kinds import LEDGER_KIND, PURCHASE, SETTLEMENT
from carteira.kit.db.session import LeanTx, Tx, fetch
from carteira.kit.values.actor import Actor

CATALOG_CHANGED: Final = "CB001"
"""The SQLSTATE of `benefits_require_catalog` for decisions with another version."""
PROCESSOR: Final = Actor("processor", "authorizer")
"""The actor of purchases: the processor authenticates by its secret, and its tokens name nobody."""
_FIND = "SELECT reference, id FROM benefits_accounts WHERE reference = ANY($1)"


async def find_accounts(tx: Tx | LeanTx, references: Sequence[str]) -> dict[str, UUID]:
    """Return the ids of the benefit accounts that exist, by reference."""
    return {row[0]: row[1] for row in await fetch(tx, _FIND, references)}


class AuthorizationBatch(ledger.Batch[Authorization, Decision]):
    """A batch of authorizations; purchases only debit accounts, so the write can apply deltas."""

    source = ledger.Holders("benefits_accounts", name="reference")
    follows = True
    actor = PROCESSOR

    def __init__(self, requests: Sequence[Authorization], now: Catalog) -> None:
        self.catalog = now
        self.categories = [now.categorise(request.mcc, request.merchant) for request in requests]
        asked: dict[ledger.Payer, int] = {}
        for request, (category, _) in zip(requests, self.categories, strict=True):
            payer = (request.account, LEDGER_KIND + category)
            asked[payer] = asked.get(payer, 0) + request.amount
        spare = frozenset((request.account, LEDGER_KIND + CASH) for request in requests if request.fallback)
        super().__init__(requests, asked, spare)

    async def find_answered(self, tx: LeanTx, keys: Sequence[str]) -> dict[str, Decision]:
        """Return the decisions under transaction ids."""
        return await find_answered(tx, keys)

    def record(self) -> ledger.Records:
        """Return the decisions as rows, which are written only if the catalog is unchanged."""
        fresh = sorted(self.fresh, key=lambda decision: decision.external_id or "")
        return RECORDER.record(self.catalog.version, fresh)

    def conflict_from(self, sqlstate: str | None) -> Exception | None:
        """Return `Outdated` for an error which means that the catalog has changed since the decisions."""
        return ledger.Outdated() if sqlstate == CATALOG_CHANGED else None

    def decide(self, place: int, request: Authorization, earlier: Decision | None) -> Decision:
        """Decide one request against the book, and post it there if it is approved."""
        holder, category = self.holders.get(request.account), self.categories[place]
        holder_id: UUID | None = holder[0] if holder else None
        if earlier is not None:
            undone = earlier.reason == Reason.REVERSED_BEFORE
            why = Reason.REVERSED_BEFORE if undone else Reason.TRANSACTION_ID_REUSED
            return refuse(request, why, holder_id, keep_id=False)
        if request.account in self.catalog.blocked:
            return refuse(request, Reason.ACCOUNT_BLOCKED, self.catalog.blocked[request.account], keep_id=True)
        if holder_id is None:
            return refuse(request, Reason.UNKNOWN_ACCOUNT, None, keep_id=True)
        named = self.accounts.get((request.account, LEDGER_KIND + category[0]))
        cash = self.accounts.get((request.account, LEDGER_KIND + CASH)) if request.fallback else None
        decision = decide(
            request,
            holder_id,
            category,
            available=named.available if named else 0,
            cash=cash.available if cash else 0,
        )
        payer = named if decision.category_used == category[0] else cash
        if decision.category_used is not None and payer is not None:
            self.book.post(
                ledger.transfer(
                    PURCHASE, source=payer.id, target=SETTLEMENT, amount=request.amount, entry_id=request.id
                )
            )
        return decision
