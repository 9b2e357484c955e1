"""A batch: requests decided in order against the books, and written with their decisions in one statement.

What an account had when this process last wrote it is enough to approve a purchase that it covers, since the write
moves the account on from where it is by then and fails if it does not cover it any more. Whatever else is decided
(whatever is refused) is decided on what was read for it.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Literal
from uuid import UUID

from asyncpg import PostgresError

from carteira import ledger
from carteira.benefits.authorizer.answers import Reason
from carteira.benefits.authorizer.decisions import RECORDER, find_answered
from carteira.benefits.authorizer.request import Authorization
from carteira.benefits.authorizer.rules import CASH, Catalog, Decision, Rule, decide, refuse
from carteira.benefits.ledger_kinds import LEDGER_KIND, PURCHASE, SETTLEMENT
from carteira.kit.db.errors import sqlstate_of
from carteira.kit.db.session import LeanTx, Tx, fetch
from carteira.kit.values.actor import Actor

ConcurrencyMode = Literal["locked", "free", "compared", "followed"]
"""How a batch meets other transactions on an account: its row is locked, or else what nobody else has locked is, and
the other requests are left undecided (`free`); or it is not locked, and at the write it must be as it was read
(`compared`), or cover what is taken from it, wherever it is by then (`followed`)."""
CATALOG_CHANGED = "CB001"
"""SQLSTATE with which `benefits_require_catalog` refuses what was decided with another version."""
MAX_REMEMBERED = 100_000
Payer = tuple[str, str]
"""A benefit account's reference and a kind of ledger account."""
LedgerState = tuple[UUID, UUID, int, int, int, bool]
"""Benefit account, ledger account, balance, held amount, version, whether it may go negative."""


PROCESSOR = Actor("processor", "authorizer")
"""Who asks for purchases: the processor is known by its secret, and its tokens name nobody."""


class CatalogChanged(Exception):
    """Categories or merchants changed since this process read them: read again, decide again."""


class Memory:
    """What ledger accounts had when this process last wrote them; plain tuples, which the garbage collector skips."""

    def __init__(self) -> None:
        self._wallets: OrderedDict[Payer, LedgerState] = OrderedDict()

    def get(self, payer: Payer) -> LedgerState | None:
        """Give what is remembered of an account."""
        return self._wallets.get(payer)

    def keep(self, batch: "Batch") -> None:
        """Remember what a batch left, and forget what was learnt first when it is too much."""
        wallets = self._wallets
        for payer, account in batch.accounts.items():
            if account.place:
                holder_id = batch.holders[payer[0]]
                wallets[payer] = (
                    holder_id, account.id, account.balance, account.held, account.version, account.may_go_negative,
                )  # fmt: skip
        while len(wallets) > MAX_REMEMBERED:
            wallets.popitem(last=False)


_NO_MEMORY = Memory()
_HOLDERS = ledger.Holders("benefits_accounts", name="reference")
_FIND = "SELECT reference, id FROM benefits_accounts WHERE reference = ANY($1)"


async def find_accounts(tx: Tx | LeanTx, references: Sequence[str]) -> dict[str, UUID]:
    """Give the ids of the benefit accounts that exist, by reference."""
    return {row[0]: row[1] for row in await fetch(tx, _FIND, references)}


class Batch:
    """Requests on their way into the books."""

    def __init__(self, requests: Sequence[Authorization], now: Catalog) -> None:
        self.catalog = now
        self.categorised = [(request, now.categorise(request.mcc, request.merchant)) for request in requests]
        self.asked: dict[Payer, int] = {}
        """What is asked of each category's account in all, in centavos."""
        for request, (category, _) in self.categorised:
            payer = (request.account, LEDGER_KIND + category)
            self.asked[payer] = self.asked.get(payer, 0) + request.amount
        self.holders: dict[str, UUID] = {}
        """The benefit accounts that exist."""
        self.accounts: dict[Payer, ledger.Account] = {}
        self.deferred: set[str] = set()
        """References of accounts that somebody else has locked (`free`)."""
        self.book = ledger.Book(())
        self.decisions: list[Decision | None] = []
        """In the order of the requests; None is left undecided."""
        self.fresh: list[Decision] = []

    @property
    def is_decided(self) -> bool:
        """Tell whether every request has its decision, which may be on its way to PostgreSQL."""
        return len(self.decisions) == len(self.categorised)

    async def run(
        self, tx: LeanTx, meeting: ConcurrencyMode, *, memory: Memory = _NO_MEMORY, look_up: bool = True
    ) -> None:
        """Read the book, walk the requests in order, write what came of it.

        Earlier answers under the requests' transaction ids are looked up, or else (`look_up`) taken to be absent: the
        write finds out. `memory` serves batches that are `followed`.

        Raises:
            StaleBook: another transaction was faster.
            LockNotAvailableError: another transaction has locked an account for long.
            UniqueViolationError: a transaction id is taken.
            CatalogChanged: the catalog is another one now.
        """
        if meeting in {"locked", "free"}:
            await self._lock(tx, wait=meeting == "locked")
        else:
            await self._read(tx, memory)
        self.book = ledger.Book(self.accounts.values())
        ids = [request.external_id for request, _ in self.categorised if request.external_id] if look_up else []
        answered = await find_answered(tx, ids) if ids else {}
        for request, category in self.categorised:
            earlier = answered.get(request.external_id) if request.external_id else None
            if earlier is not None and earlier.content == request.content:
                self.decisions.append(earlier)
                continue
            if request.account in self.deferred:
                self.decisions.append(None)
                continue
            decision = self._decide(request, category, earlier)
            self.fresh.append(decision)
            self.decisions.append(decision)
            if decision.external_id:
                answered[decision.external_id] = decision
        if self.fresh:
            await self._write(tx, follow=meeting == "followed")

    async def _read(self, tx: LeanTx, memory: Memory) -> None:
        """Take what is remembered of accounts that cover what is asked of them, and read the others."""
        remembered: dict[Payer, LedgerState] = {}
        unsure: set[str] = set()
        for payer, asked in self.asked.items():
            wallet = memory.get(payer)
            if wallet is not None and wallet[2] - wallet[3] >= asked:
                remembered[payer] = wallet
            else:
                unsure.add(payer[0])
        for payer, wallet in remembered.items():
            if payer[0] not in unsure:
                self.holders[payer[0]] = wallet[0]
                self.accounts[payer] = ledger.Account(*wallet[1:])
        if unsure:
            for reference, holder_id, found in await ledger.accounts_held(tx, _HOLDERS, list(unsure)):
                self.holders[reference] = holder_id
                if found is not None:
                    self.accounts[reference, found.kind] = found

    async def _lock(self, tx: LeanTx, *, wait: bool) -> None:
        """Lock and read all accounts that may pay, CASH too; without waiting, those that nobody else has locked."""
        spare = {(request.account, LEDGER_KIND + CASH) for request, _ in self.categorised if request.fallback}
        payers: dict[UUID, Payer] = {}
        references = list({reference for reference, _ in self.asked})
        for reference, holder_id, found in await ledger.accounts_held(tx, _HOLDERS, references):
            self.holders[reference] = holder_id
            if found is not None and (payer := (reference, found.kind)) in self.asked.keys() | spare:
                payers[found.id] = payer
        book = await (ledger.lock if wait else ledger.lock_free)(tx, payers.keys())
        self.deferred = {payer[0] for account_id, payer in payers.items() if account_id not in book.accounts}
        for account in book.accounts.values():
            self.accounts[payers[account.id]] = account

    async def _write(self, tx: LeanTx, *, follow: bool) -> None:
        """Write the book and the decisions, in one round trip; those by their transaction ids, as every process does.

        Else two that have the same ids in another order would wait for each other.

        Raises:
            CatalogChanged: the decisions were taken with another version of the catalog than the present one.
        """
        fresh = sorted(self.fresh, key=lambda decision: decision.external_id or "")
        records = RECORDER.record(fresh, known=self.catalog.version)
        try:
            await ledger.write(tx, self.book, actor=PROCESSOR, follow=follow, records=records)
        except PostgresError as error:
            if sqlstate_of(error) == CATALOG_CHANGED:
                raise CatalogChanged from error
            raise

    def _decide(self, request: Authorization, category: tuple[str, Rule], earlier: Decision | None) -> Decision:
        """Decide one request against the book and post it there if it is approved."""
        holder_id = self.holders.get(request.account)
        if earlier is not None:
            return refuse(request, Reason.TRANSACTION_ID_REUSED, holder_id, keep_id=False)
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
