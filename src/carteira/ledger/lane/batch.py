"""A batch: requests decided in order against the book, and written with their module's rows in one statement.

What an account had when this process last wrote it is enough to decide what it covers: the write finds out whether it
is so by then. Whatever is refused is decided on what was read for it.
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
"""How a batch meets other transactions on an account: its row is locked, or else what nobody else has locked is, and
the other requests are left undecided (`free`); or it is not locked, and at the write it must be as it was read
(`compared`). `remembered` is for batches of a queue: what this process remembers is not read, and at the write the
account is compared, or followed to where it is by then if the batch says so."""
MAX_REMEMBERED = 100_000
Payer = tuple[str, str]
"""A holder's name and a kind of ledger account."""
Holder = tuple[Any, ...]
"""A holder's id, and what its module reads of it beside."""
LedgerState = tuple[Holder, UUID, int, int, int, bool]
"""Holder, ledger account, balance, held amount, version, whether it may go negative."""


class LaneRequest(Protocol):
    """A request: `account` names the holder; `key` makes it the same as another, if `content` is the same too."""

    @property
    def account(self) -> str:
        """The holder's name; requests of one keep their order."""
        ...

    @property
    def key(self) -> Hashable:
        """What it is known by for good; None if it is not."""
        ...

    @property
    def content(self) -> object:
        """What makes two requests the same."""
        ...


class LaneDecision(Protocol):
    """What was decided of a request; `key` and `content` are the request's, where it is to be known by them."""

    @property
    def key(self) -> Hashable:
        """What it is known by for good; None if it is not."""
        ...

    @property
    def content(self) -> object:
        """What was asked for."""
        ...


RequestT = TypeVar("RequestT", bound=LaneRequest)
DecisionT = TypeVar("DecisionT", bound=LaneDecision)


class Outdated(Exception):
    """What a module keeps in memory beside accounts is not as it was any more: read it again, decide again."""


class Memory:
    """What ledger accounts had when this process last wrote them; plain tuples, which the garbage collector skips."""

    def __init__(self) -> None:
        self._wallets: OrderedDict[Payer, LedgerState] = OrderedDict()

    def get(self, payer: Payer) -> LedgerState | None:
        """Return what is remembered of an account."""
        return self._wallets.get(payer)

    def keep(self, batch: "Batch[Any, Any]") -> None:
        """Remember what a batch left, and forget what was learnt first when it is too much."""
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
    """Requests on their way into the book.

    Attributes:
        source: The module's table of holders.
        follows: Whether accounts are followed at the write of a `remembered` batch, rather than compared.
    """

    source: ClassVar[Holders]
    follows: ClassVar[bool] = False

    def __init__(
        self, requests: Sequence[RequestT], asked: Mapping[Payer, int], spare: frozenset[Payer] = frozenset()
    ) -> None:
        """Take the requests, what they ask of each account in all, in centavos, and which accounts may pay instead."""
        self.requests = requests
        self.asked = asked
        self.spare = spare
        self.holders: dict[str, Holder] = {}
        """The holders that exist, by name."""
        self.accounts: dict[Payer, Account] = {}
        self.doubtful: set[Payer] = set()
        """Accounts that are not to be remembered unless they are moved."""
        self.deferred: set[str] = set()
        """Names of holders whose account somebody else has locked (`free`)."""
        self.book = Book(())
        self.decisions: list[DecisionT | None] = []
        """In the order of the requests; None is left undecided."""
        self.fresh: list[DecisionT] = []

    @abstractmethod
    async def find_answered(self, tx: LeanTx, keys: Sequence[Any]) -> dict[Any, DecisionT]:
        """Return what was decided under keys before, by key."""

    @abstractmethod
    def decide(self, place: int, request: RequestT, earlier: DecisionT | None) -> DecisionT:
        """Decide the request at a place of the batch, and post it to the book; its key may be taken by `earlier`."""

    @abstractmethod
    def record(self) -> Records | None:
        """Return the rows to be written of `fresh`; None if nothing is to be written at all.

        Rows with what is unique are in the order of that: else two processes that have the same keys in another order
        would wait for each other.
        """

    @property
    @abstractmethod
    def actor(self) -> Actor | None:
        """Who moves the money; None where each entry was posted with its own."""

    def repeat(self, earlier: DecisionT) -> DecisionT:
        """Return a decision as the answer to a request that came again."""
        return earlier

    def overtaken(self, sqlstate: str | None) -> Exception | None:
        """Return what it means that the write was refused with a SQLSTATE of the module's own."""
        del sqlstate
        return None

    @property
    def is_decided(self) -> bool:
        """Return whether every request has its decision, which may be on its way to PostgreSQL."""
        return len(self.decisions) == len(self.requests)

    async def run(
        self, tx: LeanTx, mode: ConcurrencyMode, *, memory: Memory = _NO_MEMORY, look_up: bool = True
    ) -> None:
        """Read the book, walk the requests in order, write what came of it.

        Earlier answers under the requests' keys are looked up, or else (`look_up`) taken to be absent: the write finds
        out. `memory` serves `remembered` batches.

        Raises:
            StaleBook: another transaction was faster.
            LockNotAvailableError: another transaction has locked an account for long.
            UniqueViolationError: a key is taken.
            Outdated: what the module keeps in memory is not so any more.
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
                self.accounts[payer] = Account(*wallet[1:])
        if unsure:
            for name, holder, found in await service.accounts_held(tx, self.source, list(unsure)):
                self.holders[name] = holder
                if found is not None:
                    self.accounts[name, found.kind] = found

    async def _lock(self, tx: LeanTx, *, wait: bool) -> None:
        """Lock and read all accounts that may pay; without waiting, those that nobody else has locked."""
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
            meaning = self.overtaken(sqlstate_of(error))
            if meaning is None:
                raise
            raise meaning from error
