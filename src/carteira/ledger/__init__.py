"""The ledger: double entry in whole centavos; the only module that moves money.

It owns accounts, entries, postings and holds. It knows owners and holders only by their ids. Invariants:

- an entry has two postings or more that add up to zero; entries and postings are only ever appended;
- a customer's available balance never goes below zero, whatever the concurrency;
- a customer account's balance is its last posting's `balance_after` and the sum of its postings; a job rolls up a
  system account's balance, and reads add the remaining postings, so that no row is hot;
- an entry with a key is posted once;
- each entry stores the actor who moved the money, and the second person who approved it, if there was one;
- entries are sealed in commit order into a hash chain, and `verify` reports later changes.

Callers write `ledger.post(tx, ledger.transfer(…), actor=…)`, or `lock` (or `read`) a book, `post` to it and `write` it.
Python decides, the database checks again (checks, triggers, versions). A `Recorder` writes rows of the caller's own
with the book, in the same statement; `Holders` describes the caller's table of the accounts' holders. High volumes use
the lane (`lane/`: `Batch`, `Writer`, `Queue`), frequent verbs without one `at_once`. Permanently unique values (keys,
reversals, a module's own ids) have narrow tables of their own (`Narrow`), which `reconcile` compares.
`system_account(kind)` names the accounts of the operator. Holds (`hold`, `capture`, `release`, `expire_holds`) are for
money that is authorized first and settled later; no module uses them yet. `sql/` holds the present text of the
functions and triggers in the database. Sources: rules.md, ledger; ADR 0002.
"""

from carteira.kit.module import Module
from carteira.kit.security.hash_chain import ChainVerification, Finding
from carteira.ledger import chain, checks
from carteira.ledger.book import Account, Book, NewEntry, Posting, system_account, transfer
from carteira.ledger.chain import verify
from carteira.ledger.checks import SeenCheck
from carteira.ledger.checks import last_result as last_check
from carteira.ledger.checks import reconcile as prove_balances
from carteira.ledger.checks import results as last_checks
from carteira.ledger.checks import verify as prove_chain
from carteira.ledger.errors import (
    AccountNotFound,
    EntryAlreadyReversed,
    EntryKeyReused,
    EntryNotFound,
    HoldNotActive,
    InsufficientFunds,
    StaleBook,
)
from carteira.ledger.lane.admission import Overloaded
from carteira.ledger.lane.batch import Batch, ConcurrencyMode, Holder, Outdated, Payer
from carteira.ledger.lane.deferred import Waiting
from carteira.ledger.lane.queue import Queue
from carteira.ledger.lane.writer import AccountLocked, Writer
from carteira.ledger.ordinary import at_once
from carteira.ledger.queries import (
    BALANCES,
    STATEMENT,
    IncomingLine,
    LedgerAccountView,
    LineKey,
    MonthTotal,
    StatementLine,
    account,
    accounts_of_holder,
    accounts_of_holders,
    accounts_of_owner,
    balance_at,
    incoming,
    lines_beside,
    lines_of_entry,
    statement,
    statement_of_one,
    statement_page,
    totals_by_month,
)
from carteira.ledger.reconciliation import Narrow, ReconciledPoint, Reconciliation, reconcile, register_narrow
from carteira.ledger.recorder import Holders, Recorder, Records
from carteira.ledger.schemas import LedgerMovementOut
from carteira.ledger.service import (
    accounts_held,
    assign_owner,
    capture,
    expire_holds,
    find_held,
    guard_reversal,
    hold,
    is_reversed,
    lock,
    lock_entry,
    lock_free,
    name_holders,
    open_account,
    post,
    read,
    release,
    reverse,
    roll_up,
    write,
)

__all__ = [
    "BALANCES",
    "STATEMENT",
    "Account",
    "AccountLocked",
    "AccountNotFound",
    "Batch",
    "Book",
    "ChainVerification",
    "ConcurrencyMode",
    "EntryAlreadyReversed",
    "EntryKeyReused",
    "EntryNotFound",
    "Finding",
    "HoldNotActive",
    "Holder",
    "Holders",
    "IncomingLine",
    "InsufficientFunds",
    "LedgerAccountView",
    "LedgerMovementOut",
    "LineKey",
    "MonthTotal",
    "Narrow",
    "NewEntry",
    "Outdated",
    "Overloaded",
    "Payer",
    "Posting",
    "Queue",
    "ReconciledPoint",
    "Reconciliation",
    "Recorder",
    "Records",
    "SeenCheck",
    "StaleBook",
    "StatementLine",
    "Waiting",
    "Writer",
    "account",
    "accounts_held",
    "accounts_of_holder",
    "accounts_of_holders",
    "accounts_of_owner",
    "assign_owner",
    "at_once",
    "balance_at",
    "capture",
    "expire_holds",
    "find_held",
    "guard_reversal",
    "hold",
    "incoming",
    "is_reversed",
    "last_check",
    "last_checks",
    "lines_beside",
    "lines_of_entry",
    "lock",
    "lock_entry",
    "lock_free",
    "module",
    "name_holders",
    "open_account",
    "post",
    "prove_balances",
    "prove_chain",
    "read",
    "reconcile",
    "register_narrow",
    "release",
    "reverse",
    "roll_up",
    "statement",
    "statement_of_one",
    "statement_page",
    "system_account",
    "totals_by_month",
    "transfer",
    "verify",
    "write",
]


def module() -> Module:
    """Hand the ledger's routes and jobs to the composition root."""
    from carteira.ledger.jobs import blueprint
    from carteira.ledger.operations import OPERATIONS
    from carteira.ledger.people import erase_person, export_person, refuse_erasure
    from carteira.ledger.routes import router

    return Module(
        name="ledger",
        routers=(router,),
        jobs=blueprint,
        followers=(chain.follower,),
        observe=checks.observe,
        operations=OPERATIONS,
        export_person=export_person,
        refuse_erasure=refuse_erasure,
        erase_person=erase_person,
    )
