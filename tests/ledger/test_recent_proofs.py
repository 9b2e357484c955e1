"""Proofs of new entries: none is left out whenever it commits, and the whole is proved where they cannot continue."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import text

from carteira import ledger
from carteira.embedded import Endpoints
from carteira.kit.db import outbox
from carteira.kit.db.engine import Database
from carteira.kit.db.session import Tx
from carteira.kit.security import proofs
from carteira.kit.values.clock import clock
from carteira.ledger import chain, checks
from tests.support.horizon import pass_horizon
from tests.support.ledger import SHOP, TESTER, TOP_UP, open_wallet, overwrite, purchase
from tests.support.metric_values import value_of


@pytest.fixture
async def wallet(own: Database) -> UUID:
    """A wallet with 700 in it after two entries, rolled up, sealed and proved as a whole."""
    async with own.transaction() as tx:
        wallet = await open_wallet(tx, 1_000)
    await spend(own, wallet, 300)
    await roll_up(own)
    await seal(own)
    assert (await ledger.prove_balances(own, whole=False)).since is None
    assert (await ledger.prove_chain(own, whole=False)).since == 0
    return wallet


async def spend(database: Database, wallet: UUID, amount: int, key: str | None = None) -> UUID:
    async with database.transaction() as tx:
        return await ledger.post(tx, purchase(wallet, amount, key=key), actor=TESTER)


async def roll_up(database: Database) -> None:
    """Roll all entries up."""
    await pass_horizon(database)
    async with database.transaction() as tx:
        await ledger.roll_up(tx)


async def seal(database: Database) -> None:
    await pass_horizon(database)
    async with database.transaction() as tx:
        while await outbox.follow(tx, chain.follower):
            pass


async def recent(database: Database) -> ledger.Reconciliation:
    """Reconcile what is new."""
    found = await ledger.prove_balances(database, whole=False)
    assert found.since is not None
    return found


async def test_each_pass_begins_where_the_last_one_ended(own: Database, wallet: UUID) -> None:
    for _ in range(2):
        await spend(own, wallet, 10)
        await spend(own, wallet, 20)
        await seal(own)
        found, sealed = await recent(own), await ledger.prove_chain(own, whole=False)
        assert (found.entries, found.differences) == (2, [])
        assert (sealed.rows, sealed.findings, sealed.height) == (2, [], sealed.since + 1)
        await roll_up(own)
    again = await recent(own)
    assert (again.entries, again.point.sums[SHOP], again.point.sums[TOP_UP]) == (0, 360, -1_000)
    whole = await ledger.prove_balances(own, whole=True)
    assert (whole.entries, whole.differences, whole.point.sums) == (6, [], again.point.sums)


async def test_an_entry_that_commits_late_with_an_earlier_id_is_new(
    own: Database, wallet: UUID, endpoints: Endpoints
) -> None:
    other = await new_wallet(own)
    await pass_horizon(own)
    async with own.transaction() as late:
        early = await ledger.post(late, purchase(other, 5), actor=TESTER)
        await spend(own, wallet, 10)
        assert (await recent(own)).differences == []
        await spend(own, wallet, 10)
    await spend(own, other, 1)
    found = await recent(own)
    assert (found.entries, found.differences) == (4, []), "both of this wallet, the late one and what came after it"
    async with own.transaction() as tx:
        assert found.point.position > await position_of(tx, early)
    async with own.transaction() as late:
        early = await ledger.post(late, purchase(other, 5), actor=TESTER)
        await recent(own)
    await roll_up(own)
    overwrite(endpoints, own, "UPDATE ledger_postings SET amount = amount * 2 WHERE entry_id = %(id)s", id=early)
    named = {one.get("account_id") for one in (await recent(own)).differences}
    assert {str(other), str(SHOP)} <= named


async def new_wallet(database: Database) -> UUID:
    async with database.transaction() as tx:
        return await open_wallet(tx, 100)


async def position_of(tx: Tx, entry_id: UUID) -> int:
    return await tx.scalar(text("SELECT xid FROM ledger_entries WHERE id = :id"), {"id": entry_id}) or 0


async def test_passes_while_money_moves_read_every_entry(own: Database, wallet: UUID) -> None:
    """Several connections commit; in the end no entry is left out, and none is accused."""
    wallets = [wallet, *[await new_wallet(own) for _ in range(3)]]
    async with own.transaction() as tx:  # enough, however slow the passes are
        for one in wallets:
            gift = ledger.transfer("test.top_up", source=TOP_UP, target=one, amount=1_000_000)
            await ledger.post(tx, gift, actor=TESTER)
    spending = True

    async def spend_repeatedly(one: UUID) -> int:
        count = 0
        while spending:
            await spend(own, one, 1)
            count += 1
        return count

    async def prove() -> int:
        nonlocal spending
        read = 0
        for _ in range(20):
            found = await recent(own)
            assert found.differences == []
            async with own.transaction() as tx:
                await ledger.roll_up(tx)
            read += found.entries
        spending = False
        return read

    async with asyncio.TaskGroup() as group:
        proving = group.create_task(prove())
        spenders = [group.create_task(spend_repeatedly(one)) for one in (*wallets[:3], wallet)]
    await pass_horizon(own)
    last = await recent(own)
    assert proving.result() + last.entries >= sum(one.result() for one in spenders) + 3 + len(wallets)
    assert last.differences == []
    whole = await ledger.prove_balances(own, whole=True)
    assert (whole.differences, whole.point.sums) == ([], (await recent(own)).point.sums)


THEFTS = {  # what is done to what is new, and what is named; `total` is the sum of all balances
    "UPDATE ledger_accounts SET balance = balance + 1 WHERE id = %(wallet)s": {"wallet", "total"},
    "UPDATE ledger_accounts SET balance = balance + 1 WHERE id = %(quiet)s": {"total"},
    "DELETE FROM ledger_accounts WHERE id = %(quiet)s": {"total"},
    "DELETE FROM ledger_accounts WHERE id = %(wallet)s": {"orphan", "total"},
    "UPDATE ledger_accounts SET balance = balance + 1 WHERE id = %(shop)s": {"shop", "total"},
    "UPDATE ledger_accounts SET held = 5 WHERE id = %(quiet)s": {"quiet"},
    "UPDATE ledger_postings SET amount = amount + 1 WHERE entry_id = %(new)s AND line = 0": {"wallet", "entry"},
    "UPDATE ledger_postings SET amount = amount * 2 WHERE entry_id = %(new)s": {"wallet", "shop"},
    "UPDATE ledger_postings SET balance_after = 999 WHERE entry_id = %(new)s AND line = 0": {"wallet"},
    "UPDATE ledger_postings SET balance_after = 999 WHERE entry_id = %(newest)s AND line = 0": {"wallet"},
    "UPDATE ledger_postings SET seq = NULL, balance_after = NULL WHERE entry_id = %(new)s AND line = 0": {"wallet"},
    "UPDATE ledger_postings SET account_id = %(quiet)s WHERE entry_id = %(newest)s AND line = 0": {"wallet", "quiet"},
    """UPDATE ledger_postings SET account_id = %(top_up)s, seq = NULL, balance_after = NULL
       WHERE entry_id = %(newest)s AND line = 0""": {"wallet", "top_up"},
    "DELETE FROM ledger_postings WHERE entry_id = %(new)s AND line = 1": {"shop", "entry"},
    "DELETE FROM ledger_postings WHERE entry_id = %(newest)s": {"wallet", "shop", "entry"},
    "DELETE FROM ledger_entries WHERE id = %(newest)s": {"orphan", "shop"},
    "UPDATE ledger_entries SET key = 'slipped in' WHERE id = %(new)s": {"ledger_keys"},
    "DELETE FROM ledger_keys": {"ledger_keys"},
    "UPDATE ledger_entries SET reverses_id = id WHERE id = %(new)s": {"ledger_reversals"},
}


@pytest.mark.parametrize(("theft", "named"), THEFTS.items())
async def test_changes_to_new_rows_are_found_and_named(
    own: Database, endpoints: Endpoints, wallet: UUID, theft: str, named: set[str]
) -> None:
    quiet = await new_wallet(own)
    await pass_horizon(own)
    await recent(own)
    ids = {"wallet": wallet, "quiet": quiet, "shop": SHOP, "top_up": TOP_UP}
    ids["new"] = await spend(own, wallet, 10, key="mine")
    ids["newest"] = await spend(own, wallet, 20)
    await roll_up(own)
    overwrite(endpoints, own, theft, **ids)
    found = (await recent(own)).differences
    assert {name_of(one, ids) for one in found} == named, found
    again = await ledger.prove_balances(own, whole=False)
    assert again.since is None, "after a finding the whole is proved, until there is none"
    assert again.differences


def name_of(difference: dict[str, object], ids: dict[str, UUID]) -> str:
    if "sum_of_balances" in difference:
        return "total"
    if "orphan" in difference:
        return "orphan"
    if "table" in difference:
        return str(difference["table"])
    if "account_id" in difference:
        return next(name for name, id_ in ids.items() if str(id_) == difference["account_id"])
    assert difference["entry_id"] in {str(ids["new"]), str(ids["newest"])}
    return "entry"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger_postings SET amount = amount * 2 WHERE entry_id = %(id)s",
        "UPDATE ledger_postings SET balance_after = 1 WHERE entry_id = %(id)s AND seq IS NOT NULL",
        "UPDATE ledger_entries SET kind = 'other' WHERE id = %(id)s",
    ],
)
async def test_changes_to_old_rows_are_found_by_the_whole_proof_only(
    own: Database, endpoints: Endpoints, wallet: UUID, statement: str
) -> None:
    async with own.transaction() as tx:
        oldest = (await ledger.statement(tx, [wallet], limit=10))[-1].entry_id
    await spend(own, wallet, 10)
    await seal(own)
    overwrite(endpoints, own, statement, id=oldest)
    assert (await recent(own)).differences == []
    assert (await ledger.prove_chain(own, whole=False)).findings == []
    whole = await ledger.prove_chain(own, whole=True)
    assert [(finding.what, finding.row_id) for finding in whole.findings] == [("tampered", oldest)]
    assert bool((await ledger.prove_balances(own, whole=True)).differences) == ("postings" in statement)


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("UPDATE ledger_postings SET amount = 7 WHERE entry_id = %(id)s", "tampered"),
        ("DELETE FROM ledger_entries WHERE id = %(id)s", "removed"),
        (
            """INSERT INTO ledger_entries (id, xid, kind, posted_at)
               SELECT gen_random_uuid(), xid, kind, posted_at FROM ledger_entries WHERE id = %(id)s""",
            "added",
        ),
        ("UPDATE ledger_chain SET seals = '' WHERE height = 2", "broken_chain"),
        ("UPDATE ledger_chain SET hash = '' WHERE height = 1", "broken_chain"),
        ("DELETE FROM ledger_chain WHERE height = 1", "broken_chain"),
    ],
)
async def test_a_recent_verification_goes_on_from_the_head_that_was_kept(
    own: Database, endpoints: Endpoints, wallet: UUID, statement: str, found: str
) -> None:
    new = await spend(own, wallet, 10)
    await spend(own, wallet, 10)
    await seal(own)
    overwrite(endpoints, own, statement, id=new)
    result = await ledger.prove_chain(own, whole=False)
    assert result.since == 1
    assert found in {finding.what for finding in result.findings}
    assert (await ledger.prove_chain(own, whole=False)).since == 0


async def test_a_clock_that_was_set_back_causes_no_finding(own: Database, endpoints: Endpoints, wallet: UUID) -> None:
    """The line before is looked for by instants; where these mislead, all lines of the account decide."""
    new = await spend(own, wallet, 10)
    back = "UPDATE ledger_postings SET posted_at = posted_at - interval '1 day' WHERE entry_id = %(id)s"
    overwrite(endpoints, own, back, id=new)
    assert (await recent(own)).differences == []


async def test_the_whole_is_proved_each_week(own: Database, wallet: UUID) -> None:
    assert not await checks.is_due(own, "reconcile")
    await spend(own, wallet, 10)
    await recent(own)
    clock.set(clock.now() + timedelta(days=6))
    assert not await checks.is_due(own, "reconcile")
    clock.set(clock.now() + timedelta(days=1))
    assert await checks.is_due(own, "reconcile")
    assert await checks.is_due(own, "verify")
    await ledger.prove_balances(own, whole=True)
    assert not await checks.is_due(own, "reconcile")


@pytest.mark.parametrize("restored", ["positions", "history"])
@pytest.mark.usefixtures("wallet")
async def test_the_whole_is_proved_after_a_restore(own: Database, endpoints: Endpoints, restored: str) -> None:
    """A restore makes another table of positions, or another history of the cluster."""
    if restored == "positions":
        own_again = "ALTER TABLE positions RENAME TO former"
        copied = "CREATE TABLE positions (LIKE former INCLUDING ALL)"
        rows = "INSERT INTO positions SELECT * FROM former"
        overwrite(endpoints, own, own_again, copied, rows, "GRANT ALL ON positions TO PUBLIC")
    else:
        overwrite(endpoints, own, "UPDATE ledger_checks SET history = 'another'")
    async with own.transaction() as tx:
        assert await checks.last_point(tx) is None
    assert (await ledger.prove_balances(own, whole=False)).since is None
    assert (await ledger.prove_chain(own, whole=False)).since == 0


async def test_a_whole_proof_that_found_something_is_not_covered_by_a_recent_one(
    own: Database, endpoints: Endpoints, wallet: UUID
) -> None:
    """The recent proof begins before the whole one, and ends after it."""
    going = await proofs.begin(own, checks.LedgerCheck, "reconcile", whole=False)
    overwrite(endpoints, own, "UPDATE ledger_postings SET amount = 1 WHERE account_id = %(id)s", id=wallet)
    assert (await ledger.prove_balances(own, whole=True)).differences
    await proofs.store_result(own, going, findings=0, entries=0)
    async with own.transaction() as tx:
        (kept,) = [check for check in await ledger.last_checks(tx) if check.check == "reconcile"]
    assert kept.findings > 0


@pytest.mark.usefixtures("wallet")
async def test_a_proof_of_the_release_before_is_nothing_to_go_on_from(own: Database) -> None:
    """A worker of the former release stores a proof of the whole, without a position to continue from."""
    async with own.transaction() as tx:
        await tx.execute(text("UPDATE ledger_checks SET checked_at = now(), entries = 2, findings = 1"))
    assert (await ledger.prove_balances(own, whole=False)).since is None


@pytest.mark.usefixtures("wallet")
async def test_the_metrics_distinguish_whole_and_new_proofs(own: Database) -> None:
    async with own.transaction() as tx:
        await checks.observe(tx)
    whole = value_of(checks.checked_whole_at.labels("reconcile"))
    await recent(own)
    async with own.transaction() as tx:
        await checks.observe(tx)
    assert value_of(checks.checked_whole_at.labels("reconcile")) == whole
    assert value_of(checks.checked_at.labels("reconcile")) > whole
