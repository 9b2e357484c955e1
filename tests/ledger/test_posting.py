"""Opening accounts and posting entries: movements, refusals, and the effect of a key."""

from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from carteira import ledger
from carteira.kit.values.ids import uuid7
from carteira.ledger.errors import UnbalancedEntry
from tests.support.ledger import SHOP, TESTER, TOP_UP, balance_of, open_wallet, purchase

Tx = AsyncSession


async def test_open_twice_gives_the_same_account(ledger_tx: Tx) -> None:
    holder = uuid4()
    first = await ledger.open_account(ledger_tx, "test.wallet", holder_id=holder)
    assert await ledger.open_account(ledger_tx, "test.wallet", holder_id=holder) == first
    assert await ledger.open_account(ledger_tx, "test.other", holder_id=holder) != first


async def test_accounts_are_found_by_holder_and_by_owner(ledger_tx: Tx) -> None:
    holder, person = uuid4(), uuid4()
    opened = {await ledger.open_account(ledger_tx, kind, holder_id=holder) for kind in ("test.b", "test.a")}
    assert await ledger.accounts_of_owner(ledger_tx, person) == []
    await ledger.assign_owner(ledger_tx, holder_id=holder, owner_id=person)
    mine = await ledger.accounts_of_owner(ledger_tx, person)
    assert [view.kind for view in mine] == ["test.a", "test.b"]
    assert {view.id for view in await ledger.accounts_of_holder(ledger_tx, holder)} == opened
    await ledger.assign_owner(ledger_tx, holder_id=holder, owner_id=None)
    assert await ledger.accounts_of_owner(ledger_tx, person) == []


async def test_a_transfer_moves_money_and_the_operator_has_the_other_side(ledger_tx: Tx) -> None:
    before = await balance_of(ledger_tx, TOP_UP)
    wallet = await open_wallet(ledger_tx, 1_000)
    await ledger.post(ledger_tx, purchase(wallet, 400), actor=TESTER)
    assert await balance_of(ledger_tx, wallet) == 600
    assert await balance_of(ledger_tx, TOP_UP) == before - 1_000


async def test_more_than_there_is_is_refused_and_says_how_much_is_missing(ledger_tx: Tx) -> None:
    wallet = await open_wallet(ledger_tx, 100)
    with pytest.raises(ledger.InsufficientFunds) as refusal:
        await ledger.post(ledger_tx, purchase(wallet, 101), actor=TESTER)
    assert (refusal.value.account_id, refusal.value.short_by, refusal.value.status) == (wallet, 1, 400)
    assert await balance_of(ledger_tx, wallet) == 100
    await ledger.post(ledger_tx, purchase(wallet, 100), actor=TESTER)
    assert await balance_of(ledger_tx, wallet) == 0


async def test_an_entry_of_many_lines_is_all_or_nothing(ledger_tx: Tx) -> None:
    rich, poor = await open_wallet(ledger_tx, 500), await open_wallet(ledger_tx, 10)

    def split(from_poor: int) -> ledger.NewEntry:
        lines = (
            ledger.Posting(rich, -300),
            ledger.Posting(poor, -from_poor),
            ledger.Posting(SHOP, 300 + from_poor),
        )
        return ledger.NewEntry("test.split", lines)

    with pytest.raises(ledger.InsufficientFunds):
        await ledger.post(ledger_tx, split(11), actor=TESTER)
    assert (await balance_of(ledger_tx, rich), await balance_of(ledger_tx, poor)) == (500, 10)
    await ledger.post(ledger_tx, split(10), actor=TESTER)
    assert (await balance_of(ledger_tx, rich), await balance_of(ledger_tx, poor)) == (200, 0)


@pytest.mark.parametrize("amounts", [(), (0,), (100,), (100, -99), (100, -50), (0, 0), (50, -50, 0)], ids=str)
async def test_an_unbalanced_entry_is_refused(ledger_tx: Tx, amounts: tuple[int, ...]) -> None:
    wallet = await open_wallet(ledger_tx, 100)
    entry = ledger.NewEntry("test.wrong", [ledger.Posting(wallet, amount) for amount in amounts])
    with pytest.raises(UnbalancedEntry):
        await ledger.post(ledger_tx, entry, actor=TESTER)


async def test_unknown_accounts_are_not_found(ledger_tx: Tx) -> None:
    wallet = await open_wallet(ledger_tx, 100)
    nobody = uuid4()
    with pytest.raises(ledger.AccountNotFound):
        await ledger.post(ledger_tx, ledger.transfer("test.lost", source=wallet, target=nobody, amount=1), actor=TESTER)
    with pytest.raises(ledger.AccountNotFound):
        await ledger.account(ledger_tx, nobody)
    book = await ledger.lock(ledger_tx, [wallet])
    with pytest.raises(ledger.AccountNotFound):
        book.account(nobody)


async def test_the_same_key_moves_money_once(ledger_tx: Tx) -> None:
    wallet, key = await open_wallet(ledger_tx, 100), f"test:{uuid4()}"
    first = await ledger.post(ledger_tx, purchase(wallet, 60, key=key), actor=TESTER)
    assert await ledger.post(ledger_tx, purchase(wallet, 60, key=key), actor=TESTER) == first
    assert await balance_of(ledger_tx, wallet) == 40


async def test_a_key_belongs_to_its_entry(ledger_tx: Tx) -> None:
    wallet, other, key = await open_wallet(ledger_tx, 100), await open_wallet(ledger_tx, 100), f"test:{uuid4()}"
    await ledger.post(ledger_tx, purchase(wallet, 60, key=key), actor=TESTER)
    for entry in (
        purchase(wallet, 61, key=key),
        purchase(other, 60, key=key),
        ledger.transfer("test.other", source=wallet, target=SHOP, amount=60, key=key),
        ledger.transfer("test.purchase", source=SHOP, target=wallet, amount=60, key=key),
    ):
        with pytest.raises(ledger.EntryKeyReused):
            await ledger.post(ledger_tx, entry, actor=TESTER)
    assert (await balance_of(ledger_tx, wallet), await balance_of(ledger_tx, other)) == (40, 100)


async def test_a_refused_entry_leaves_its_key_free(ledger_tx: Tx) -> None:
    wallet, key = await open_wallet(ledger_tx), f"test:{uuid4()}"
    with pytest.raises(ledger.InsufficientFunds):
        await ledger.post(ledger_tx, purchase(wallet, 60, key=key), actor=TESTER)
    await ledger.post(ledger_tx, ledger.transfer("test.top_up", source=TOP_UP, target=wallet, amount=60), actor=TESTER)
    await ledger.post(ledger_tx, purchase(wallet, 60, key=key), actor=TESTER)
    assert await balance_of(ledger_tx, wallet) == 0


async def test_a_book_takes_many_entries_and_writes_them_at_once(ledger_tx: Tx) -> None:
    one, two = await open_wallet(ledger_tx, 100), await open_wallet(ledger_tx)
    book = await ledger.lock(ledger_tx, [one, two, SHOP])
    book.post(ledger.transfer("test.gift", source=one, target=two, amount=70))
    book.post(purchase(two, 50))
    with pytest.raises(ledger.InsufficientFunds):
        book.post(purchase(two, 21))
    book.hold(one, 30)
    await ledger.write(ledger_tx, book, actor=TESTER)
    first, second = await ledger.account(ledger_tx, one), await ledger.account(ledger_tx, two)
    assert (first.balance, first.held, first.available) == (30, 30, 0)
    assert (second.balance, second.held) == (20, 0)


async def test_a_book_that_was_overtaken_is_stale(ledger_tx: Tx) -> None:
    wallet = await open_wallet(ledger_tx, 100)
    outdated = await ledger.read(ledger_tx, [wallet])
    await ledger.post(ledger_tx, purchase(wallet, 10), actor=TESTER)
    outdated.post(purchase(wallet, 100))
    async with ledger_tx.begin_nested() as nested:
        with pytest.raises(ledger.StaleBook):
            await ledger.write(ledger_tx, outdated, actor=TESTER)
        await nested.rollback()
    assert await balance_of(ledger_tx, wallet) == 90


async def test_a_followed_book_applies_amounts_to_the_present_balance(ledger_tx: Tx) -> None:
    wallet, other = await open_wallet(ledger_tx, 100), await open_wallet(ledger_tx, 100)
    book = await ledger.read(ledger_tx, [wallet, other])
    await ledger.post(ledger_tx, purchase(wallet, 10), actor=TESTER)
    await ledger.post(ledger_tx, purchase(wallet, 20), actor=TESTER)
    entries = [purchase(wallet, 30), purchase(other, 5), purchase(wallet, 40)]
    for entry in entries:
        book.post(entry)
    await ledger.write(ledger_tx, book, follow=True, actor=TESTER)
    assert (await balance_of(ledger_tx, wallet), await balance_of(ledger_tx, other)) == (0, 95)
    lines = await ledger_tx.execute(
        text("SELECT seq, balance_after FROM ledger_postings WHERE account_id = :id ORDER BY seq"), {"id": wallet}
    )
    assert [tuple(line) for line in lines] == [(1, 100), (2, 90), (3, 70), (4, 40), (5, 0)]


@pytest.mark.parametrize("set_aside", [0, 30])
async def test_a_followed_book_takes_no_more_than_there_is(ledger_tx: Tx, set_aside: int) -> None:
    wallet = await open_wallet(ledger_tx, 100)
    book = await ledger.read(ledger_tx, [wallet])
    if set_aside:
        await ledger.hold(ledger_tx, wallet, set_aside, ttl=timedelta(hours=1))
    await ledger.post(ledger_tx, purchase(wallet, 40 - set_aside), actor=TESTER)
    book.post(purchase(wallet, 61))
    async with ledger_tx.begin_nested() as nested:
        with pytest.raises(ledger.StaleBook):
            await ledger.write(ledger_tx, book, follow=True, actor=TESTER)
        await nested.rollback()
    assert (await ledger.account(ledger_tx, wallet)).available == 60


async def test_a_book_that_credits_customers_is_not_followed(ledger_tx: Tx) -> None:
    wallet = await open_wallet(ledger_tx)
    book = await ledger.read(ledger_tx, [wallet])
    book.post(ledger.transfer("test.top_up", source=TOP_UP, target=wallet, amount=5))
    with pytest.raises(AssertionError, match="only takes"):
        await ledger.write(ledger_tx, book, follow=True, actor=TESTER)


async def test_assigning_an_owner_does_not_make_a_book_stale(ledger_tx: Tx) -> None:
    holder = uuid4()
    wallet = await ledger.open_account(ledger_tx, "test.wallet", holder_id=holder)
    book = await ledger.read(ledger_tx, [wallet])
    await ledger.assign_owner(ledger_tx, holder_id=holder, owner_id=uuid4())
    book.post(ledger.transfer("test.top_up", source=TOP_UP, target=wallet, amount=5))
    await ledger.write(ledger_tx, book, actor=TESTER)
    assert await balance_of(ledger_tx, wallet) == 5


async def test_descriptions_and_chosen_ids_are_kept(ledger_tx: Tx) -> None:
    wallet, chosen = await open_wallet(ledger_tx), uuid7()
    entry = ledger.transfer(
        "test.top_up", source=TOP_UP, target=wallet, amount=5, description="Recarga de março", entry_id=chosen
    )
    assert await ledger.post(ledger_tx, entry, actor=TESTER) == chosen
    (line,) = await ledger.statement(ledger_tx, [wallet], limit=10)
    assert (line.entry_id, line.description, line.balance_after) == (chosen, "Recarga de março", 5)
    stored = await ledger_tx.execute(text("SELECT count(*) FROM ledger_postings WHERE entry_id = :id"), {"id": chosen})
    assert stored.scalar_one() == 2
