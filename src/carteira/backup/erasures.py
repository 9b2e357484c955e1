"""Repeats the journal's erasures in a restored database."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from carteira import identity, ledger
from carteira.kit.db.engine import Database
from carteira.kit.security.age import PrivateKey
from carteira.kit.values.actor import Actor

_ACTOR = Actor("command", "erasures apply")


@dataclass(frozen=True, slots=True)
class MoneyLeft:
    """The balance of an erased person in the restored state, in centavos; it has no owner any more."""

    user_id: UUID
    account_id: UUID
    kind: str
    balance: int
    held: int


@dataclass
class ErasedAgain:
    """The result of erasing again."""

    erased: int = 0
    absent: int = 0
    """People who had been erased before, or were not registered yet."""
    money: list[MoneyLeft] = field(default_factory=list)
    unknown: int = 0
    """Erased people of the restored state whom the journal lacks: a sign that it is not the whole journal."""


async def erase_again(
    database: Database,
    runtime: identity.Runtime,
    journal: identity.ErasureJournal,
    key: PrivateKey,
    entries: Sequence[identity.JournalEntry],
) -> ErasedAgain:
    """Erase the people of these entries, each in a transaction of its own; repeating it changes nothing.

    Raises:
        ErasureJournalDown: the journal does not answer.
        CannotOpen: an entry was encrypted to another key.
    """
    done = ErasedAgain()
    for entry in entries:
        traces = await journal.traces_of(entry, key)
        async with database.transaction() as tx:
            left = [
                MoneyLeft(entry.user_id, account.id, account.kind, account.balance, account.held)
                for account in await ledger.accounts_of_owner(tx, entry.user_id)
                if account.balance or account.held
            ]
            erased = await identity.erase_again(tx, runtime, entry.user_id, traces, actor=_ACTOR)
        done.erased += erased
        done.absent += not erased
        done.money += left
    return done


async def unknown_to(database: Database, entries: Sequence[identity.JournalEntry]) -> int:
    """Return how many people the database knows as erased, and the journal does not."""
    async with database.transaction() as tx:
        erased = await identity.erased_ids(tx)
    return len(erased - {entry.user_id for entry in entries})


def confirmed_of(entries: Sequence[identity.JournalEntry]) -> list[identity.JournalEntry]:
    """Return the entries that are known to have been committed."""
    return [entry for entry in entries if entry.confirmed]


def open_of(entries: Sequence[identity.JournalEntry]) -> list[identity.JournalEntry]:
    """Return the entries that may not have been committed, of people without a confirmed entry."""
    certain = {entry.user_id for entry in confirmed_of(entries)}
    return [entry for entry in entries if not entry.confirmed and entry.user_id not in certain]
