"""The ledger's verbs: open, lock, post, hold, capture, release, reverse. Each works in the caller's transaction."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError

from carteira.kit.db import wakes
from carteira.kit.db.errors import sqlstate_of
from carteira.kit.db.session import LeanTx, Tx, fetch, locked_one
from carteira.kit.security.approvals import Gains
from carteira.kit.values.actor import Actor
from carteira.kit.values.clock import clock
from carteira.kit.values.ids import uuid7
from carteira.ledger.book import Account, Book, NewEntry, Posting, is_system, transfer
from carteira.ledger.errors import (
    AccountNotFound,
    CaptureTooLarge,
    EntryAlreadyReversed,
    EntryKeyReused,
    EntryNotFound,
    EntryNotReversible,
    HoldNotActive,
    HoldNotFound,
    StaleBook,
)
from carteira.ledger.models import (
    LedgerAccount,
    LedgerEntry,
    LedgerHold,
    LedgerKey,
    LedgerPosting,
    LedgerReversal,
)
from carteira.ledger.recorder import COLUMNS, WRITE_ALONE, Holders, Records

STALE = "CA001"
"""The SQLSTATE of `ledger_post` for an outdated book."""

_READ = f"SELECT {COLUMNS} FROM ledger_accounts WHERE id = ANY($1) AND NOT is_system"  # noqa: S608 - constants
_ALONE = Records(WRITE_ALONE, ())
_LOCKED = " ORDER BY id FOR NO KEY UPDATE"
_LOCKED_IF_FREE = _LOCKED + " SKIP LOCKED"
_FIND_HELD = """
    SELECT holder_id, kind, id FROM ledger_accounts
    WHERE (holder_id, kind) IN (SELECT * FROM unnest($1::uuid[], $2::text[]))
"""


async def open_account(tx: Tx, kind: str, *, holder_id: UUID, owner_id: UUID | None = None) -> UUID:
    """Open a customer account of a kind for a holder (a benefit account, a card …); return an existing one.

    `owner_id` is the person whose money it is, if known.
    """
    fresh = uuid7()
    opened: UUID | None = await tx.scalar(
        insert(LedgerAccount)
        .values(id=fresh, kind=kind, holder_id=holder_id, owner_id=owner_id, is_system=False, may_go_negative=False)
        .on_conflict_do_nothing(index_elements=["holder_id", "kind"])
        .returning(LedgerAccount.id)
    )
    if opened is not None:
        return opened
    known = await tx.scalar(
        select(LedgerAccount.id).where(LedgerAccount.holder_id == holder_id, LedgerAccount.kind == kind)
    )
    assert known is not None, "accounts are never deleted"
    return known


async def assign_owner(tx: Tx, *, holder_id: UUID, owner_id: UUID | None) -> None:
    """Set the owner of a holder's accounts (a claimed benefit account), or None (an erasure)."""
    await tx.execute(update(LedgerAccount).where(LedgerAccount.holder_id == holder_id).values(owner_id=owner_id))


async def _book(tx: Tx | LeanTx, account_ids: Iterable[UUID], *, lock: bool) -> Book:
    ids = [account_id for account_id in set(account_ids) if not is_system(account_id)]
    rows = await fetch(tx, _READ + _LOCKED if lock else _READ, ids) if ids else ()
    if len(rows) != len(ids):
        raise AccountNotFound
    return Book([Account(*row) for row in rows])


async def lock(tx: Tx | LeanTx, account_ids: Iterable[UUID]) -> Book:
    """Lock customer accounts, in the order of ids so that transactions cannot deadlock, and read them into a book.

    System accounts among the ids are skipped: they need no lock.

    Raises:
        AccountNotFound: one of them does not exist.
    """
    return await _book(tx, account_ids, lock=True)


async def lock_free(tx: Tx | LeanTx, account_ids: Collection[UUID]) -> Book:
    """Lock and read the accounts that are free, without waiting; locked ones are not in the book."""
    return Book([Account(*row) for row in await fetch(tx, _READ + _LOCKED_IF_FREE, account_ids)])


async def read(tx: Tx | LeanTx, account_ids: Iterable[UUID]) -> Book:
    """Read accounts into a book without locks; writing it raises `StaleBook` if one has changed meanwhile.

    Raises:
        AccountNotFound: one of them does not exist.
    """
    return await _book(tx, account_ids, lock=False)


async def find_held(tx: Tx | LeanTx, held: Collection[tuple[UUID, str]]) -> dict[tuple[UUID, str], UUID]:
    """Return the ids of accounts by holder and kind, without locks; missing ones are left out."""
    rows = await fetch(tx, _FIND_HELD, [holder_id for holder_id, _ in held], [kind for _, kind in held])
    return {(row[0], row[1]): row[2] for row in rows}


async def accounts_held(
    tx: Tx | LeanTx, holders: Holders, names: Collection[str] | Collection[UUID], *given: object
) -> Sequence[tuple[Any, tuple[Any, ...], Account | None]]:
    """Read, without locks, the accounts of the holders in a module's table with these names.

    Returns name, holder (its id and the module's further columns) and account for each account; a holder without
    accounts once, with None; nothing for a name without a holder. It takes one trip. `given` are the parameters of the
    module's columns.
    """
    rows, end = await fetch(tx, holders.read_accounts, names, *given), 1 + holders.width
    return [(row[0], row[1:end], Account(*row[end:]) if row[end] else None) for row in rows]


async def write(  # noqa: PLR0913 - a book and its provenance, in one call
    tx: Tx | LeanTx,
    book: Book,
    *,
    actor: Actor | None,
    approved_by: UUID | None = None,
    follow: bool = False,
    records: Records | None = None,
) -> None:
    """Write a book's changes: the accounts, the entries and their postings, in one trip.

    `actor` moves the money (None: each entry was posted with its own), and `approved_by` is the second person, if there
    was one; each entry stores both. With `follow`, amounts are applied to accounts' present balances, as long as these
    cover them, without locks and comparisons: only valid for books that debit customer accounts. `records` are rows of
    the caller's own that are written in the same statement (`Recorder`).

    Raises:
        StaleBook: an account has changed (with `follow`: and no longer covers the amount); the transaction must be
            rolled back.
    """
    assert not follow or all(line[3] < 0 for line in book.lines if line[4] is not None), "a followed book only takes"
    statement, values = records or _ALONE
    entries = []
    for entry, own in zip(book.entries, book.actors, strict=True):
        by = own or actor
        assert by is not None, "each entry has its actor"
        entries.append((entry.id, entry.kind, entry.description, entry.key, entry.reverses_id, by.kind, by.id))
    try:
        await fetch(tx, statement, book.moves, entries, book.lines, follow, approved_by, *values)
    except (DBAPIError, asyncpg.PostgresError) as error:
        if sqlstate_of(error) == STALE:
            raise StaleBook from error
        raise
    wakes.followed(tx)


async def post(tx: Tx, entry: NewEntry, *, actor: Actor, approved_by: UUID | None = None) -> UUID:
    """Post one entry and return its id: lock, check, write.

    With a `key`, posting the same entry again moves nothing and returns the first one's id, whoever posts it.

    Raises:
        InsufficientFunds: a customer account does not cover its debit.
        EntryKeyReused: the key belongs to another entry.
        AccountNotFound: an account does not exist.
    """
    if entry.key is not None:
        known = await _posted_under(tx, entry)
        if known is not None:
            return known
    book = await lock(tx, [posting.account_id for posting in entry.postings])
    book.post(entry)
    await write(tx, book, actor=actor, approved_by=approved_by)
    return entry.id


async def _posted_under(tx: Tx, entry: NewEntry) -> UUID | None:
    """Wait for concurrent posts under the same key, then return the entry if it exists."""
    await tx.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(entry.key, 0))))
    known = await tx.scalar(
        select(LedgerEntry).join(LedgerKey, LedgerKey.entry_id == LedgerEntry.id).where(LedgerKey.key == entry.key)
    )
    if known is None:
        return None
    lines = await tx.execute(
        select(LedgerPosting.account_id, LedgerPosting.amount)
        .where(LedgerPosting.entry_id == known.id)
        .order_by(LedgerPosting.line)
    )
    if known.kind != entry.kind or [tuple(row) for row in lines] != [(p.account_id, p.amount) for p in entry.postings]:
        raise EntryKeyReused
    return known.id


async def hold(tx: Tx, account_id: UUID, amount: int, *, ttl: timedelta) -> UUID:
    """Set an amount of centavos aside until it is captured or released, or `ttl` has passed; return the hold's id.

    Raises:
        InsufficientFunds: the account does not cover it.
    """
    now = clock.now()
    book = await lock(tx, [account_id])
    book.hold(account_id, amount)
    await write(tx, book, actor=None)
    row = LedgerHold(
        id=uuid7(), account_id=account_id, amount=amount, status="active", expires_at=now + ttl, created_at=now
    )
    tx.add(row)
    await tx.flush()
    return row.id


async def _settle(tx: Tx, hold_id: UUID, check: Callable[[LedgerHold], None]) -> tuple[LedgerHold, Book]:
    """Lock a hold's account and then the hold, which must be active, and release its amount."""
    account_id = await tx.scalar(select(LedgerHold.account_id).where(LedgerHold.id == hold_id))
    if account_id is None:
        raise HoldNotFound
    book = await lock(tx, [account_id])
    row = await locked_one(tx, LedgerHold, hold_id)
    if row.status != "active":
        raise HoldNotActive
    check(row)
    book.release(account_id, row.amount)
    row.settled_at = clock.now()
    return row, book


def _not_expired(row: LedgerHold) -> None:
    if row.expires_at <= clock.now():
        raise HoldNotActive


async def capture(  # noqa: PLR0913 - the fields of the entry
    tx: Tx, hold_id: UUID, *, target: UUID, kind: str, actor: Actor, amount: int | None = None
) -> UUID:
    """Turn a hold, or a part of it, into an entry to a system account; the rest is released. Returns the entry's id.

    Raises:
        HoldNotFound: there is no such hold.
        HoldNotActive: it was settled before, or has expired.
        CaptureTooLarge: the amount is not positive or more than is held.
    """

    def check(row: LedgerHold) -> None:
        _not_expired(row)
        if amount is not None and not 0 < amount <= row.amount:
            raise CaptureTooLarge

    assert is_system(target), "a capture goes to a system account"
    row, book = await _settle(tx, hold_id, check)
    captured = row.amount if amount is None else amount
    entry = transfer(kind, source=row.account_id, target=target, amount=captured)
    book.post(entry)
    await write(tx, book, actor=actor)
    row.status, row.captured, row.entry_id = "captured", captured, entry.id
    await tx.flush()
    return entry.id


async def release(tx: Tx, hold_id: UUID) -> None:
    """Release a hold.

    Raises:
        HoldNotFound: there is no such hold.
        HoldNotActive: it was settled before.
    """
    row, book = await _settle(tx, hold_id, lambda _row: None)
    await write(tx, book, actor=None)
    row.status = "released"
    await tx.flush()


async def expire_holds(tx: Tx, *, limit: int = 500) -> int:
    """Release up to `limit` expired holds and return how many there were. A job calls it."""
    due = await tx.execute(
        select(LedgerHold.id, LedgerHold.account_id)
        .where(LedgerHold.status == "active", LedgerHold.expires_at <= clock.now())
        .order_by(LedgerHold.expires_at)
        .limit(limit)
    )
    accounts = {row.id: row.account_id for row in due}
    if not accounts:
        return 0
    book = await lock(tx, accounts.values())
    rows = await tx.scalars(
        select(LedgerHold)
        .where(LedgerHold.id.in_(accounts), LedgerHold.status == "active")
        .order_by(LedgerHold.id)
        .with_for_update()
    )
    expired = 0
    for row in rows:
        book.release(row.account_id, row.amount)
        row.status, row.settled_at = "expired", clock.now()
        expired += 1
    await write(tx, book, actor=None)
    await tx.flush()
    return expired


ReversalGuard = Callable[[Tx, NewEntry], Awaitable[None]]
"""Called with the entry that is about to reverse another (`reverses_id`)."""
_guards: dict[str, ReversalGuard] = {}


def guard_reversal(kind: str, guard: ReversalGuard) -> None:
    """Register a module's guard for the reversal of entries of a kind, which may refuse it."""
    _guards[kind] = guard


async def lock_entry(tx: Tx | LeanTx, entry_id: UUID) -> None:
    """Serialise reversals and refunds of an entry; take this lock before locking any account."""
    await fetch(tx, "SELECT pg_advisory_xact_lock(hashtextextended($1, 1))", str(entry_id))


async def is_reversed(tx: Tx, entry_id: UUID) -> bool:
    """Return whether an entry was reversed."""
    return await tx.get(LedgerReversal, entry_id) is not None


FindHolders = Callable[[Tx, Collection[UUID]], Awaitable[Collection[str]]]
"""Returns the CPFs that a module's unowned holders were opened for."""
_holders: dict[str, FindHolders] = {}


def name_holders(module: str, find: FindHolders) -> None:
    """Register a module's function for its holders' CPFs, by the first part of its accounts' kinds."""
    _holders[module] = find


@dataclass(frozen=True, slots=True)
class ReversalEffect:
    """The effect of a reversal: how many centavos it moves, and who gains by it."""

    amount: int
    gains: Gains


Weigh = Callable[[ReversalEffect], Awaitable[None]]


async def _effect_of(tx: Tx, reversal: NewEntry) -> ReversalEffect:
    """Return a reversal's effect."""
    gained = {posting.account_id: posting.amount for posting in reversal.postings if posting.amount > 0}
    rows = (
        await tx.execute(
            select(LedgerAccount.kind, LedgerAccount.holder_id, LedgerAccount.owner_id).where(
                LedgerAccount.id.in_(gained)
            )
        )
    ).all()
    cpfs: set[str] = set()
    for module, find in _holders.items():
        holders = {row.holder_id for row in rows if row.holder_id and row.kind.partition(".")[0] == module}
        cpfs.update(await find(tx, holders) if holders else ())
    users = frozenset(row.owner_id for row in rows if row.owner_id)
    return ReversalEffect(sum(gained.values()), Gains(users, frozenset(cpfs)))


async def reverse(  # noqa: PLR0913 - an entry, its actors and its reason
    tx: Tx,
    entry_id: UUID,
    *,
    actor: Actor,
    approved_by: UUID | None = None,
    description: str | None = None,
    key: str | None = None,
    weigh: Weigh | None = None,
) -> UUID:
    """Reverse an entry by a new one with the opposite postings; return the new entry's id.

    `weigh` is called with the reversal's effect once it is known to be possible, before it is written.

    Raises:
        EntryNotFound: there is no such entry.
        EntryAlreadyReversed: it was reversed before.
        EntryNotReversible: it is a reversal itself.
        InsufficientFunds: the money that it credited to a customer has been spent.
    """
    entry = await tx.get(LedgerEntry, entry_id)
    if entry is None:
        raise EntryNotFound
    if entry.reverses_id is not None:
        raise EntryNotReversible
    await lock_entry(tx, entry_id)
    if await is_reversed(tx, entry_id):
        raise EntryAlreadyReversed
    lines = await tx.execute(
        select(LedgerPosting.account_id, LedgerPosting.amount)
        .where(LedgerPosting.entry_id == entry_id)
        .order_by(LedgerPosting.line)
    )
    postings = [Posting(account_id, -amount) for account_id, amount in lines]
    reversal = NewEntry(f"{entry.kind}.reversal", postings, description, key=key, reverses_id=entry_id)
    if guard := _guards.get(entry.kind):
        await guard(tx, reversal)
    book = await lock(tx, [posting.account_id for posting in postings])
    book.post(reversal)
    if weigh is not None:
        await weigh(await _effect_of(tx, reversal))
    await write(tx, book, actor=actor, approved_by=approved_by)
    return reversal.id


ROLLED_UP_AT_ONCE = 10_000
_NEXT_PIECE = text("""
    WITH account AS MATERIALIZED (
        SELECT id, rolled_up_to FROM ledger_accounts WHERE is_system ORDER BY id FOR UPDATE
    ),
    place AS (
        SELECT min(rolled_up_to) AS xid FROM account
        WHERE rolled_up_to > 0 OR EXISTS (SELECT FROM ledger_postings posting WHERE posting.account_id = account.id)
    ),
    horizon AS (SELECT position_horizon() AS xid),
    piece AS (
        SELECT xid FROM ledger_entries
        WHERE xid >= (SELECT xid FROM place) AND xid < (SELECT xid FROM horizon)
        ORDER BY xid LIMIT :most
    )
    SELECT (SELECT xid FROM place) AS first, count(*) AS entries, max(xid) AS last, (SELECT xid FROM horizon) AS horizon
    FROM piece
""")
"""Locks the accounts, so that concurrent roll-ups are serialised. New accounts without postings delay nothing."""
_IDS = text("""
    SELECT min(id::text COLLATE "C") AS least, max(id::text COLLATE "C") AS greatest
    FROM ledger_entries WHERE xid >= :first AND xid < :bound
""")
_ROLL_UP = text("""
    WITH line AS MATERIALIZED (
        SELECT entry.xid, posting.account_id, posting.amount
        FROM ledger_entries entry JOIN ledger_postings posting ON posting.entry_id = entry.id
        WHERE entry.xid >= :first AND entry.xid < :bound AND entry.id BETWEEN :least AND :greatest
          AND posting.entry_id BETWEEN :least AND :greatest AND posting.seq IS NULL
    ),
    moved AS (
        SELECT account.id, sum(line.amount) AS amount
        FROM line JOIN ledger_accounts account ON account.id = line.account_id
        WHERE account.is_system AND line.xid >= account.rolled_up_to
        GROUP BY account.id
    )
    UPDATE ledger_accounts
    SET balance = balance + coalesce((SELECT amount FROM moved WHERE moved.id = ledger_accounts.id), 0),
        version = version + 1,
        rolled_up_to = :bound
    WHERE is_system AND rolled_up_to < :bound
""")
"""Entries are found by position and their lines by ids, in few partitions; accounts are joined afterwards, since the
planner would read all lines that a system account ever had."""


async def roll_up(tx: Tx, *, most: int = ROLLED_UP_AT_ONCE) -> bool:
    """Add the next new postings of system accounts to their balances; return whether there may be more.

    It takes about `most` entries, whole transactions of them, and only below the horizon of all open transactions, so
    that none is missed. A job calls it.
    """
    piece = (await tx.execute(_NEXT_PIECE, {"most": most})).one()
    if piece.entries == 0:
        return False
    is_full: bool = piece.entries >= most
    bounds = {"first": piece.first, "bound": piece.last + 1 if is_full else piece.horizon}
    ids = (await tx.execute(_IDS, bounds)).one()
    await tx.execute(_ROLL_UP, bounds | {"least": UUID(ids.least), "greatest": UUID(ids.greatest)})
    return is_full
