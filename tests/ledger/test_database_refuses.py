"""The database refuses wrong rows also from raw SQL that bypasses every verb."""

from collections.abc import Sequence
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from carteira import ledger
from carteira.kit.db.engine import Database
from carteira.kit.values.ids import uuid7
from tests.support.ledger import SHOP, TESTER, TOP_UP, open_wallet, purchase

Tx = AsyncSession

CHECK_VIOLATION, UNIQUE_VIOLATION, NO_PRIVILEGE = "23514", "23505", "42501"
STALE, APPEND_ONLY, UNBALANCED, CLOSED, DOES_NOT_FOLLOW, NOBODYS = (f"CA00{number}" for number in range(1, 7))

ENTRY = """
    INSERT INTO ledger_entries (id, kind, posted_at, actor_kind, actor_id)
    VALUES (:entry, 'test.raw', clock_timestamp(), 'command', 'tests')
"""
POSTINGS = """
    INSERT INTO ledger_postings (entry_id, line, account_id, amount, seq, balance_after, posted_at)
    SELECT :entry, line, account_id, amount, seq, balance_after, clock_timestamp()
    FROM unnest(CAST(:lines AS smallint[]), CAST(:accounts AS uuid[]), CAST(:amounts AS bigint[]),
                CAST(:seqs AS bigint[]), CAST(:balances AS bigint[]))
         AS new (line, account_id, amount, seq, balance_after)
"""
WHOLE = f"WITH entry AS ({ENTRY}) {POSTINGS}"
Line = tuple[UUID, int, int | None, int | None]
"""Account, amount, version and the balance after it."""


async def refused(tx: Tx, sqlstate: str, statement: str, **values: object) -> None:
    with pytest.raises(DBAPIError) as error:
        async with tx.begin_nested():
            await tx.execute(text(statement), values)
    assert getattr(error.value.orig, "sqlstate", None) == sqlstate, error.value


def lines(*postings: Line, first: int = 0) -> dict[str, Sequence[object]]:
    accounts, amounts, seqs, balances = zip(*postings, strict=True)
    return {
        "lines": list(range(first, first + len(postings))),
        "accounts": list(accounts),
        "amounts": list(amounts),
        "seqs": list(seqs),
        "balances": list(balances),
    }


async def version_of(tx: Tx, wallet: UUID) -> int:
    version = await tx.scalar(text("SELECT version FROM ledger_accounts WHERE id = :id"), {"id": wallet})
    assert isinstance(version, int)
    return version


@pytest.mark.parametrize("change", ["balance = -1", "held = 101", "held = -1", "balance = balance - 101"])
async def test_a_customer_never_has_less_than_nothing(ledger_tx: Tx, change: str) -> None:
    wallet = await open_wallet(ledger_tx, 100)
    await refused(ledger_tx, CHECK_VIOLATION, f"UPDATE ledger_accounts SET {change} WHERE id = :id", id=wallet)


@pytest.mark.parametrize(
    ("amounts", "sqlstate"),
    [((5, -4), UNBALANCED), ((5,), UNBALANCED), ((5, -5, 1), UNBALANCED), ((5, -5, 0), CHECK_VIOLATION)],
)
async def test_unbalanced_entries_are_refused(ledger_tx: Tx, amounts: tuple[int, ...], sqlstate: str) -> None:
    postings = lines(*((SHOP, amount, None, None) for amount in amounts))
    await refused(ledger_tx, sqlstate, WHOLE, entry=uuid7(), **postings)


async def test_an_entry_comes_with_its_postings_or_not_at_all(ledger_tx: Tx) -> None:
    entry = uuid7()
    await refused(ledger_tx, UNBALANCED, ENTRY, entry=entry)
    pair = lines((SHOP, 5, None, None), (TOP_UP, -5, None, None))
    await refused(ledger_tx, UNBALANCED, f"WITH entry AS ({ENTRY}) {POSTINGS} WHERE line > 7", entry=entry, **pair)
    await ledger_tx.execute(text(WHOLE), {"entry": entry, **pair})


async def test_nothing_is_added_to_an_entry_in_the_same_transaction(ledger_tx: Tx) -> None:
    wallet = await open_wallet(ledger_tx, 100)
    entry = await ledger.post(ledger_tx, purchase(wallet, 10), actor=TESTER)
    more = lines((SHOP, 5, None, None), (TOP_UP, -5, None, None), first=2)
    await refused(ledger_tx, CLOSED, POSTINGS, entry=entry, **more)


async def test_nothing_is_added_to_an_entry_in_another_transaction(ledger_database: Database) -> None:
    async with ledger_database.transaction() as tx:
        entry = await ledger.post(tx, purchase(await open_wallet(tx, 100), 10), actor=TESTER)
    async with ledger_database.transaction() as tx:
        more = lines((SHOP, 5, None, None), (TOP_UP, -5, None, None), first=2)
        await refused(tx, CLOSED, POSTINGS, entry=entry, **more)


async def test_postings_need_an_entry_and_accounts_that_exist(ledger_tx: Tx) -> None:
    pair = lines((SHOP, 5, None, None), (TOP_UP, -5, None, None))
    await refused(ledger_tx, CLOSED, POSTINGS, entry=uuid7(), **pair)
    strange = lines((SHOP, 5, None, None), (uuid4(), -5, None, None))
    await refused(ledger_tx, DOES_NOT_FOLLOW, WHOLE, entry=uuid7(), **strange)
    customer = lines((SHOP, 5, None, None), (uuid4(), -5, 1, 0))
    await refused(ledger_tx, DOES_NOT_FOLLOW, WHOLE, entry=uuid7(), **customer)


async def test_a_system_account_that_nobody_opened_takes_no_posting(ledger_tx: Tx) -> None:
    wallet = await open_wallet(ledger_tx, 100)
    never_opened = ledger.system_account("test.never_opened")
    with pytest.raises(DBAPIError, match="is unknown"):
        await ledger.post(
            ledger_tx, ledger.transfer("test.lost", source=wallet, target=never_opened, amount=1), actor=TESTER
        )


@pytest.mark.parametrize(
    ("seq_ahead", "balance_after"),
    [(0, 99), (0, 106), (1, 100), (None, None)],
    ids=["too little", "too much", "a version that is not there yet", "as if a system account"],
)
async def test_a_balance_that_does_not_follow_is_refused(
    ledger_tx: Tx, seq_ahead: int | None, balance_after: int | None
) -> None:
    wallet = await open_wallet(ledger_tx, 100)
    seq = None if seq_ahead is None else await version_of(ledger_tx, wallet) + seq_ahead
    await refused(
        ledger_tx,
        DOES_NOT_FOLLOW,
        WHOLE,
        entry=uuid7(),
        **lines((SHOP, -5, None, None), (wallet, 5, seq, balance_after)),
    )


@pytest.mark.parametrize("change", [-5, 0, 6])
async def test_balances_that_do_not_move_as_the_postings_do_are_refused(ledger_tx: Tx, change: int) -> None:
    wallet = await open_wallet(ledger_tx, 100)
    version = await version_of(ledger_tx, wallet)
    statement = """
        SELECT ledger_post(
            ARRAY[ROW(:wallet, :version, 100, :change, 0, 1)::ledger_move],
            ARRAY[ROW(:entry, 'test.raw', NULL, NULL, NULL)::ledger_new_entry],
            ARRAY[ROW(:entry, 0, :shop, -5, NULL, NULL, NULL)::ledger_line,
                  ROW(:entry, 1, :wallet, 5, :version + 1, 105, 1)::ledger_line], false,
            'command', 'tests', NULL)
    """.replace(":version", str(version)).replace(":change", str(change))
    await refused(ledger_tx, DOES_NOT_FOLLOW, statement, wallet=wallet, shop=SHOP, entry=uuid7())


@pytest.mark.parametrize(("kind", "name"), [(None, None), ("person", None), (None, "x"), ("person", ""), ("king", "x")])
async def test_an_entry_without_an_actor_is_refused(ledger_tx: Tx, kind: str | None, name: str | None) -> None:
    statement = """
        SELECT ledger_post(
            ARRAY[]::ledger_move[], ARRAY[ROW(:entry, 'test.raw', NULL, NULL, NULL)::ledger_new_entry],
            ARRAY[ROW(:entry, 0, :shop, -5, NULL, NULL, NULL)::ledger_line,
                  ROW(:entry, 1, :top_up, 5, NULL, NULL, NULL)::ledger_line],
            false, CAST(:kind AS text), CAST(:name AS text), NULL)
    """
    await refused(ledger_tx, NOBODYS, statement, entry=uuid7(), shop=SHOP, top_up=TOP_UP, kind=kind, name=name)


@pytest.mark.parametrize("table", ["ledger_entries", "ledger_postings"])
@pytest.mark.parametrize("deed", ["UPDATE {} SET posted_at = now()", "DELETE FROM {}", "TRUNCATE {}"])
async def test_posted_rows_are_never_changed(ledger_tx: Tx, table: str, deed: str) -> None:
    await open_wallet(ledger_tx, 100)
    await refused(ledger_tx, APPEND_ONLY, deed.format(table))


@pytest.mark.parametrize("table", ["ledger_accounts", "ledger_holds"])
@pytest.mark.parametrize("deed", ["DELETE FROM {}", "TRUNCATE {} CASCADE"])
async def test_accounts_and_holds_are_never_deleted(ledger_tx: Tx, table: str, deed: str) -> None:
    await refused(ledger_tx, APPEND_ONLY, deed.format(table))


async def test_an_entry_is_reversed_once_and_a_key_used_once_even_past_the_verbs(ledger_tx: Tx) -> None:
    wallet, key = await open_wallet(ledger_tx, 100), str(uuid4())
    entry = await ledger.post(ledger_tx, purchase(wallet, 10, key=key), actor=TESTER)
    await ledger.reverse(ledger_tx, entry, actor=TESTER)
    insert = """
        INSERT INTO ledger_entries (id, kind, {0}, posted_at, actor_kind, actor_id)
        VALUES (:id, 'test.raw', :value, now(), 'command', 'tests')
    """
    await refused(ledger_tx, UNIQUE_VIOLATION, insert.format("key"), id=uuid7(), value=key)
    await refused(ledger_tx, UNIQUE_VIOLATION, insert.format("reverses_id"), id=uuid7(), value=entry)


async def test_the_service_cannot_take_the_guards_down(ledger_tx: Tx) -> None:
    await refused(ledger_tx, NO_PRIVILEGE, "SET session_replication_role = replica")
