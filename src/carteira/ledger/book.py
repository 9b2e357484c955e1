"""The book: accounts read from the database, entries posted to them in memory, and the changes to write back.

All rules of money are here in plain Python, and again in the database (checks and triggers), so that neither relies on
the other. A book is read with a lock (`service.lock`) or without one (`service.read`); writing compares each account's
version and refuses an outdated book as a whole, or applies the amounts to the present balances.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from carteira.kit.values.actor import Actor
from carteira.kit.values.ids import uuid5, uuid7
from carteira.ledger.errors import AccountNotFound, InsufficientFunds, UnbalancedEntry

_SYSTEM_NAMESPACE = UUID("5b1d7c52-94f3-5c55-9a44-1d9f1f0c3a11")
_system_ids: set[UUID] = set()


def system_account(kind: str) -> UUID:
    """Return the id of a system account (settlement, top-up source, fare box …), which follows from its kind.

    System accounts may go negative, are never locked, and their balance is the sum of their postings, rolled up by a
    job, so that no row is hot. The module that uses one creates its row in a migration.
    """
    account_id = uuid5(_SYSTEM_NAMESPACE, kind)
    _system_ids.add(account_id)
    return account_id


def is_system(account_id: UUID) -> bool:
    """Return whether the id is that of a system account."""
    return account_id in _system_ids


@dataclass(slots=True)
class Account:
    """A customer account in the book; amounts in centavos."""

    id: UUID
    balance: int
    held: int
    version: int
    may_go_negative: bool = False
    holder_id: UUID | None = None
    kind: str = ""
    was: tuple[int, int, int] = field(init=False)
    """The version, balance and held amount that were read."""
    place: int = field(init=False, default=0)
    """Its position among the book's moves, from 1; 0 while it is unchanged."""

    def __post_init__(self) -> None:
        self.was = self.version, self.balance, self.held

    @property
    def available(self) -> int:
        """The available balance: the balance less holds."""
        return self.balance - self.held

    def covers(self, amount: int) -> bool:
        """Return whether the available balance covers an amount."""
        return self.may_go_negative or self.available >= amount


class Posting(NamedTuple):
    """One line of an entry: a positive amount of centavos comes in, a negative one goes out."""

    account_id: UUID
    amount: int


@dataclass(slots=True)
class NewEntry:
    """An entry to post.

    `kind` is the business fact (`benefits.purchase`), `key` makes posting idempotent, `reverses_id` is the entry that
    this one reverses. `description` is for people and is not part of the hash chain.
    """

    kind: str
    postings: Sequence[Posting]
    description: str | None = None
    key: str | None = None
    reverses_id: UUID | None = None
    id: UUID = field(default_factory=uuid7)


def transfer(  # noqa: PLR0913 - the fields of an entry of two lines
    kind: str,
    *,
    source: UUID,
    target: UUID,
    amount: int,
    description: str | None = None,
    key: str | None = None,
    entry_id: UUID | None = None,
) -> NewEntry:
    """Return an entry that moves an amount in centavos from one account to another."""
    return NewEntry(
        kind,
        (Posting(source, -amount), Posting(target, amount)),
        description,
        key,
        id=entry_id or uuid7(),
    )


Move = tuple[UUID, int, int, int, int, int]
"""An account's change: account, read version and balance, changes of the balance and of the holds in centavos, and the
number of versions."""
PostedLine = tuple[UUID, int, UUID, int, int | None, int | None, int | None]
"""A posting: entry, line, account, amount; the customer account's version and balance after it and its position among
the moves (None for system accounts)."""


class Book:
    """Accounts in memory, and the entries posted to them."""

    def __init__(self, accounts: Iterable[Account]) -> None:
        self.accounts = {account.id: account for account in accounts}
        self._moved: list[Account] = []
        self.entries: list[NewEntry] = []
        self.actors: list[Actor | None] = []
        """The actor of each entry; None: the book's writer."""
        self.lines: list[PostedLine] = []

    def account(self, account_id: UUID) -> Account:
        """Return a customer account.

        Raises:
            AccountNotFound: the book was read without it.
        """
        try:
            return self.accounts[account_id]
        except KeyError:
            raise AccountNotFound from None

    def post(self, entry: NewEntry, *, actor: Actor | None = None) -> None:
        """Post an entry, all of it or nothing. `actor` is the entry's own, if the book has entries of several actors.

        Raises:
            UnbalancedEntry: the postings do not add up to zero.
            AccountNotFound: an account is neither in the book nor a system account.
            InsufficientFunds: a customer account's available balance is too small.
        """
        self._check(entry)
        for line, (account_id, amount) in enumerate(entry.postings):
            account = self.accounts.get(account_id)
            if account is None:
                self.lines.append((entry.id, line, account_id, amount, None, None, None))
                continue
            self._move(account)
            account.balance += amount
            self.lines.append((entry.id, line, account_id, amount, account.version, account.balance, account.place))
        self.entries.append(entry)
        self.actors.append(actor)

    def _check(self, entry: NewEntry) -> None:
        """Check an entry against the rules before any of it is posted."""
        total = 0
        net: dict[UUID, int] = {}
        for account_id, amount in entry.postings:
            if amount == 0:
                raise UnbalancedEntry(entry.kind)
            total += amount
            if account_id in self.accounts:
                net[account_id] = net.get(account_id, 0) + amount
            elif account_id not in _system_ids:
                raise AccountNotFound
        if total != 0 or not entry.postings:
            raise UnbalancedEntry(entry.kind)
        for account_id, amount in net.items():
            if amount < 0 and not (account := self.accounts[account_id]).covers(-amount):
                raise InsufficientFunds(account_id, -amount - account.available)

    def hold(self, account_id: UUID, amount: int) -> None:
        """Set an amount aside.

        Raises:
            InsufficientFunds: the account does not cover it.
            ValueError: the amount is not positive.
        """
        if amount <= 0:
            raise ValueError("a hold sets a positive amount aside")
        account = self.account(account_id)
        if not account.covers(amount):
            raise InsufficientFunds(account_id, amount - account.available)
        self._move(account)
        account.held += amount

    def release(self, account_id: UUID, amount: int) -> None:
        """Release an amount that was set aside."""
        account = self.account(account_id)
        assert account.held >= amount, "what is released was held"
        self._move(account)
        account.held -= amount

    @property
    def moves(self) -> list[Move]:
        """The changes of the accounts since they were read."""
        moves = []
        for account in self._moved:
            version, balance, held = account.was
            change = account.balance - balance
            moves.append((account.id, version, balance, change, account.held - held, account.version - version))
        return moves

    def keep(self, account_id: UUID) -> None:
        """Lock and compare an account when the book is written, even if nothing is posted to it.

        Raises:
            AccountNotFound: the book was read without it.
        """
        account = self.account(account_id)
        if not account.place:
            self._moved.append(account)
            account.place = len(self._moved)

    def _move(self, account: Account) -> None:
        """Move an account to its next version."""
        if not account.place:
            self._moved.append(account)
            account.place = len(self._moved)
        account.version += 1
