"""The hash chain names what was changed behind the ledger's back."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from carteira import ledger
from carteira.embedded import Endpoints
from carteira.kit.db import outbox
from carteira.kit.db.engine import Database
from carteira.ledger import chain
from carteira.ledger.models import LedgerEntry
from tests.support.databases import NewDatabase
from tests.support.horizon import pass_horizon
from tests.support.ledger import TESTER, overwrite, verified

FUNDING = ledger.system_account("benefits.funding")


@pytest.fixture
async def sealed(new_database: NewDatabase) -> AsyncIterator[Database]:
    """A database with 25 entries in three blocks, and two that are not sealed yet."""
    database = Database(new_database("chain"), pool_size=2)
    async with database.transaction() as tx:
        account = await ledger.open_account(tx, "test.wallet", holder_id=uuid4())
    small = outbox.Follower(chain.follower.name, chain.follower.source, chain.follower.handle, batch=10)
    for count in (25, 2):
        for _ in range(count):
            async with database.transaction() as tx:
                await ledger.post(
                    tx, ledger.transfer("test.in", source=FUNDING, target=account, amount=5), actor=TESTER
                )
        await pass_horizon(database)
        while count == 25:
            async with database.transaction() as tx:
                if not await outbox.follow(tx, small):
                    break
    yield database
    await database.close()


async def entry_ids(database: Database) -> list[UUID]:
    async with database.transaction() as tx:
        return [row.id for row in await tx.execute(select(LedgerEntry.id).order_by(LedgerEntry.xid))]


def found(result: ledger.ChainVerification) -> set[tuple[str, UUID | None]]:
    return {(finding.what, finding.row_id) for finding in result.findings}


async def test_an_untouched_chain_is_whole_and_reports_its_tail(sealed: Database) -> None:
    result = await verified(sealed)
    assert (result.height, result.rows, result.tail, result.findings) == (3, 25, 2, [])
    assert result.tail_seconds > 0
    assert (await verified(sealed, expected=(3, result.head))).findings == []
    assert found(await verified(sealed, expected=(3, bytes(32)))) == {("broken_chain", None)}
    assert found(await verified(sealed, expected=(4, result.head))) == {("broken_chain", None)}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger_postings SET amount = amount * 2 WHERE entry_id = %(id)s",
        "UPDATE ledger_postings SET account_id = gen_random_uuid() WHERE entry_id = %(id)s AND line = 0",
        "UPDATE ledger_postings SET balance_after = balance_after + 1 WHERE entry_id = %(id)s",
        "DELETE FROM ledger_postings WHERE entry_id = %(id)s",
        "UPDATE ledger_entries SET kind = 'other' WHERE id = %(id)s",
        "UPDATE ledger_entries SET posted_at = posted_at - interval '1 day' WHERE id = %(id)s",
        "UPDATE ledger_entries SET reverses_id = gen_random_uuid() WHERE id = %(id)s",
        "UPDATE ledger_entries SET key = '' WHERE id = %(id)s",
        "UPDATE ledger_entries SET actor_id = 'somebody else' WHERE id = %(id)s",
        "UPDATE ledger_entries SET actor_kind = 'job' WHERE id = %(id)s",
        "UPDATE ledger_entries SET actor_kind = NULL, actor_id = NULL WHERE id = %(id)s",
        "UPDATE ledger_entries SET approved_by = gen_random_uuid() WHERE id = %(id)s",
    ],
)
async def test_a_tampered_entry_is_named(sealed: Database, endpoints: Endpoints, statement: str) -> None:
    victim = (await entry_ids(sealed))[13]
    overwrite(endpoints, sealed, statement, id=victim)
    assert found(await verified(sealed)) == {("tampered", victim)}


async def test_a_description_is_no_part_of_the_chain(sealed: Database, endpoints: Endpoints) -> None:
    victim = (await entry_ids(sealed))[3]
    overwrite(endpoints, sealed, "UPDATE ledger_entries SET description = NULL WHERE id = %(id)s", id=victim)
    assert (await verified(sealed)).findings == []


@pytest.mark.parametrize("place", [0, 9, 24])
async def test_a_removed_entry_is_named(sealed: Database, endpoints: Endpoints, place: int) -> None:
    victim = (await entry_ids(sealed))[place]
    overwrite(
        endpoints,
        sealed,
        "DELETE FROM ledger_postings WHERE entry_id = %(id)s",
        "DELETE FROM ledger_entries WHERE id = %(id)s",
        id=victim,
    )
    assert ("removed", victim) in found(await verified(sealed))


async def test_a_reordered_entry_is_named(sealed: Database, endpoints: Endpoints) -> None:
    ids = await entry_ids(sealed)
    overwrite(
        endpoints,
        sealed,
        "UPDATE ledger_entries SET xid = (SELECT xid FROM ledger_entries WHERE id = %(late)s) - 1 WHERE id = %(id)s",
        id=ids[4],
        late=ids[20],
    )
    assert ("tampered", ids[4]) in found(await verified(sealed))
    assert any(what == "reordered" for what, _ in found(await verified(sealed)))


async def test_an_entry_slipped_in_is_named(sealed: Database, endpoints: Endpoints) -> None:
    ids = await entry_ids(sealed)
    fresh = uuid4()
    overwrite(
        endpoints,
        sealed,
        "INSERT INTO ledger_entries (id, xid, kind, posted_at)"
        " SELECT %(fresh)s, xid, kind, posted_at FROM ledger_entries WHERE id = %(id)s",
        fresh=fresh,
        id=ids[7],
    )
    assert found(await verified(sealed)) == {("added", fresh)}


async def test_a_rewritten_block_breaks_the_chain(sealed: Database, endpoints: Endpoints) -> None:
    overwrite(endpoints, sealed, "UPDATE ledger_chain SET seals = substr(seals, 33) WHERE height = 2")
    assert ("broken_chain", None) in found(await verified(sealed))
    overwrite(endpoints, sealed, "DELETE FROM ledger_chain WHERE height = 1")
    assert ("broken_chain", None) in found(await verified(sealed))


@pytest.mark.parametrize("version", [1, 3, -1])
async def test_a_block_of_another_version_breaks_the_chain(
    sealed: Database, endpoints: Endpoints, version: int
) -> None:
    overwrite(endpoints, sealed, "UPDATE ledger_chain SET version = %(version)s WHERE height = 2", version=version)
    assert ("broken_chain", None) in found(await verified(sealed))


async def test_two_sealers_at_once_seal_each_entry_once(sealed: Database) -> None:
    async def seal() -> int:
        async with sealed.transaction() as tx:
            return await outbox.follow(tx, chain.follower)

    await pass_horizon(sealed)
    assert sorted(await asyncio.gather(seal(), seal())) in ([0, 2], [0, 0], [2, 2])
    while await seal():
        pass
    result = await verified(sealed)
    assert (result.rows, result.tail, result.findings) == (27, 0, [])
