"""A batch: requests are decided in order against the book, and written with their module's rows in one statement.

The balance that this process last wrote suffices for an approval, since the write checks it. A refusal is always
decided on a fresh read.
"""

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeVar
from uuid import UUID

from asyncpg import PostgresError

from carteira.kit.db.errors import sqlstate_of
from carteira.kit.db.session import LeanTx
from carteira.kit.values.actor import Actor
from carteira.ledger import service
from carteira.ledger.book import Account, Book
from carteira.ledger.recorder import Holders, Records

ConcurrencyMode = Literal["locked", "free", "compared", "remembered"]
"""A batch's handling of concurrent transactions on an account:

- `locked`: the batch locks the row.
- `free`: the batch locks only free rows, and leaves requests for other rows undecided.
- `compared`: the batch locks no row. Its write compares the version.
- `remembered`, for batches of a queue: the batch does not read cached accounts. Its write compares the version, or
  applies the amount to the present balance if the batch allows that.
"""
MAX_REMEMBERED = 100_000
Payer = tuple[str, str]
"""A holder's name and a kind of ledger account."""
Holder = tuple[Any, ...]
"""A holder's id, and its module's further columns."""
LedgerState = tuple[Holder, UUID, int, int, int, bool]
"""Holder, ledger account, balance, held amount, version, whether it may go negative."""


class LaneRequest(Protocol):
    """A request: `account` names the holder; requests with equal `key` and `content` are the same."""

    @property
    def account(self) -> str:
        """The holder's name; requests of one holder keep their order."""
        ...

    @property
    def key(self) -> Hashable:
        """Its permanent key; None if it has none."""
        ...

    @property
    def content(self) -> object:
        """The content by which two requests with one key are the same."""
        ...


class LaneDecision(Protocol):
    """The decision of a request; `key` and `content` are the request's, if it has a permanent key."""

    @property
    def key(self) -> Hashable:
        """Its permanent key; None if it has none."""
        ...

    @property
    def content(self) -> object:
        """The request's content."""
        ...


RequestT = TypeVar("RequestT", bound=LaneRequest)
DecisionT = TypeVar("DecisionT", bound=LaneDecision)


class Outdated(Exception):
    """A module's cached data (a catalog) have changed: read them again and decide again."""


class Memory:
    """A cache of the ledger accounts that this process last wrote; plain tuples, which the garbage collector skips."""

    def __init__(self) -> None:
        self._wallets: OrderedDict[Payer, LedgerState] = OrderedDict()

    def get(self, payer: Payer) -> LedgerState | None:
        """Return an account's cached state."""
        return self._wallets.get(payer)

    def remember(self, batch: "Batch[Any, Any]") -> None:
        """Cache a batch's accounts, and drop the oldest ones beyond the limit."""
        wallets = self._wallets
        for payer, account in batch.accounts.items():
            if account.place:
                wallets[payer] = (
                    batch.holders[payer[0]],
                    account.id, account.balance, account.held, account.version, account.may_go_negative,
                )  # fmt: skip
            elif payer in batch.doubtful:
                wallets.pop(payer, None)
        while len(wallets) > MAX_REMEMBERED:
            wallets.popitem(last=False)


_NO_MEMORY = Memory()


class Batch(ABC, Generic[RequestT, DecisionT]):
    """A batch of requests.

    Attributes:
        source: The module's table of holders.
        follows: Whether the write of a `remembered` batch applies amounts to the present balances, rather than compare
            versions.
    """

    source: ClassVar[Holders]
    follows: ClassVar[bool] = False

    def __init__(
        self, requests: Sequence[RequestT], asked: Mapping[Payer, int], spare: frozenset[Payer] = frozenset()
    ) -> None:
        """Make a batch of requests.

        `asked` is the total of the requests per account, in centavos. `spare` names accounts that may pay instead.
        """
        self.requests = requests
        self.asked = asked
        self.spare = spare
        self.holders: dict[str, Holder] = {}
        """The existing holders, by name."""
        self.accounts: dict[Payer, Account] = {}
        self.doubtful: set[Payer] = set()
        """Accounts that are cached only if they are changed."""
        self.deferred: set[str] = set()
        """Names of holders whose account is locked by another transaction (`free`)."""
        self.book = Book(())
        self.decisions: list[DecisionT | None] = []
        """The decisions in the order of the requests; None: undecided."""
        self.fresh: list[DecisionT] = []

    @abstractmethod
    async def find_answered(self, tx: LeanTx, keys: Sequence[Any]) -> dict[Any, DecisionT]:
        """Return earlier decisions, by key."""

    @abstractmethod
    def decide(self, place: int, request: RequestT, earlier: DecisionT | None) -> DecisionT:
        """Decide the batch's request at an index, and post it to the book; `earlier` is the decision under its key."""

    @abstractmethod
    def record(self) -> Records | None:
        """Return the rows to write for `fresh`; None if there is nothing to write.

        Rows are sorted by their unique values, so that two processes with the same keys cannot deadlock.
        """

    @property
    @abstractmethod
    def actor(self) -> Actor | None:
        """The actor of all entries; None if each was posted with its own."""

    def repeat(self, earlier: DecisionT) -> DecisionT:
        """Return an earlier decision as the answer to a repeated request."""
        return earlier

    def conflict_from(self, sqlstate: str | None) -> Exception | None:
        """Return the error of a write that was refused with the module's own SQLSTATE."""
        del sqlstate
        return None

    @property
    def is_decided(self) -> bool:
        """Return whether every request is decided, though perhaps not yet written."""
        return len(self.decisions) == len(self.requests)

    async def run(
        self, tx: LeanTx, mode: ConcurrencyMode, *, memory: Memory = _NO_MEMORY, look_up: bool = True
    ) -> None:
        """Read the book, decide the requests in order, write the results.

        Earlier answers under the requests' keys are looked up if `look_up`; otherwise the write detects them. `memory`
        is the cache for `remembered` batches.

        Raises:
            StaleBook: another transaction was faster.
            LockNotAvailableError: another transaction has locked an account for long.
            UniqueViolationError: a key is taken.
            Outdated: the module's cached data have changed.
        """
        if mode in {"locked", "free"}:
            await self._lock(tx, wait=mode == "locked")
        else:
            await self._read(tx, memory)
        self.book = Book(self.accounts.values())
        keys = [request.key for request in self.requests if request.key is not None] if look_up else []
        answered = await self.find_answered(tx, keys) if keys else {}
        for place, request in enumerate(self.requests):
            earlier = answered.get(request.key) if request.key is not None else None
            if earlier is not None and earlier.content == request.content:
                self.decisions.append(self.repeat(earlier))
                continue
            if request.account in self.deferred:
                self.decisions.append(None)
                continue
            decision = self.decide(place, request, earlier)
            self.fresh.append(decision)
            self.decisions.append(decision)
            if decision.key is not None:
                answered[decision.key] = decision
        if self.fresh and (records := self.record()) is not None:
            await self._write(tx, records, follow=mode == "remembered" and self.follows)

    async def _read(self, tx: LeanTx, memory: Memory) -> None:
        """Use cached accounts that cover their requests, and read the others."""
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
                self.accounts[payer] = Account(*wallet[1:])
        if unsure:
            for name, holder, found in await service.accounts_held(tx, self.source, list(unsure)):
                self.holders[name] = holder
                if found is not None:
                    self.accounts[name, found.kind] = found

    async def _lock(self, tx: LeanTx, *, wait: bool) -> None:
        """Lock and read all accounts that may pay, or only free ones without waiting."""
        payers: dict[UUID, Payer] = {}
        names = list({name for name, _ in self.asked})
        for name, holder, found in await service.accounts_held(tx, self.source, names):
            self.holders[name] = holder
            if found is not None and (payer := (name, found.kind)) in self.asked.keys() | self.spare:
                payers[found.id] = payer
        book = await (service.lock if wait else service.lock_free)(tx, payers.keys())
        self.deferred = {payer[0] for account_id, payer in payers.items() if account_id not in book.accounts}
        for account in book.accounts.values():
            self.accounts[payers[account.id]] = account

    async def _write(self, tx: LeanTx, records: Records, *, follow: bool) -> None:
        try:
            await service.write(tx, self.book, actor=self.actor, follow=follow, records=records)
        except PostgresError as error:
            meaning = self.conflict_from(sqlstate_of(error))
            if meaning is None:
                raise
            raise meaning from error
