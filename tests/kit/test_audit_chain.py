"""The audit's chain: changed rows are named, and old ones are deleted by whole blocks."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from carteira.kit.db import outbox
from carteira.kit.db.engine import Database
from carteira.kit.security import audit, audit_chain, audit_checks
from carteira.kit.security.hash_chain import ChainVerification
from carteira.kit.values.clock import clock
from tests.support.databases import NewDatabase, open_database
from tests.support.horizon import pass_horizon
from tests.support.metric_values import value_of

OLD = datetime(2015, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
async def own(new_database: NewDatabase) -> AsyncIterator[Database]:
    """A database of the test's own, whose audit begins empty and sealed."""
    async with open_database(new_database("audit"), pool_size=3) as database:
        await seal(database)
        yield database


async def seal(database: Database) -> None:
    await pass_horizon(database)
    async with database.transaction() as tx:
        while await outbox.follow(tx, audit_chain.follower):
            pass


async def record(database: Database, action: str, *, count: int = 3) -> None:
    """Record some acts and looks, and seal them in blocks of their own."""
    async with database.transaction() as tx:
        for _ in range(count):
            await audit.record(tx, action, actor=uuid4(), subject=uuid4(), amount=1)
        await audit.record_looks(tx, f"{action}_read", [uuid4()], actor=uuid4(), purpose="audit")
    await seal(database)


async def verify(database: Database, expected: tuple[int, bytes] | None = None) -> ChainVerification:
    async with database.transaction() as tx:
        async for result in audit_chain.verify(tx, expected=expected):
            last = result
    return last


async def tamper(database: Database, statement: str) -> None:
    """Change rows, as an owner of the tables can."""
    async with database.transaction() as tx:
        for table in ("audit_log", "audit_chain"):
            await tx.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
        await tx.execute(text(statement))
        for table in ("audit_log", "audit_chain"):
            await tx.execute(text(f"ALTER TABLE {table} ENABLE TRIGGER USER"))


async def test_a_whole_chain_verifies_and_goes_on(own: Database) -> None:
    await record(own, "done")
    first = await verify(own)
    assert (first.findings, first.tail, first.rows) == ([], 0, 4)
    await record(own, "done_again")
    second = await verify(own, (first.height, first.head))
    assert second.findings == []
    assert second.height == first.height + 1
    async with own.transaction() as tx:
        await audit.record(tx, "done_now", actor=None)
    assert (await verify(own)).tail == 1


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("UPDATE audit_log SET actor_id = gen_random_uuid() WHERE action = 'done'", "tampered"),
        ("UPDATE audit_log SET subject_id = NULL WHERE action = 'done_read'", "tampered"),
        ("UPDATE audit_log SET details = '{\"amount\": 2}' WHERE action = 'done'", "tampered"),
        ("UPDATE audit_log SET look = NOT look", "tampered"),
        ("UPDATE audit_log SET created_at = created_at - interval '1 second'", "tampered"),
        ("DELETE FROM audit_log WHERE action = 'done_read'", "removed"),
        (
            "INSERT INTO audit_log (id, action, created_at, xid) VALUES (gen_random_uuid(), 'slipped_in', now(), 2)",
            "added",
        ),
        ("DELETE FROM audit_chain WHERE height = 1", "broken_chain"),
        ("UPDATE audit_chain SET newest_at = newest_at - interval '6 years'", "broken_chain"),
        ("UPDATE audit_chain SET seals = NULL WHERE height = 1", "forgotten_early"),
        ("UPDATE audit_chain SET seals = NULL WHERE height = 2", "broken_chain"),
    ],
)
async def test_changed_rows_are_named(own: Database, statement: str, what: str) -> None:
    await record(own, "done")
    await record(own, "done_later")
    await tamper(own, statement)
    assert what in {finding.what for finding in (await verify(own)).findings}


async def test_a_chain_that_was_written_anew_fails_the_head_that_was_kept(own: Database) -> None:
    await record(own, "done")
    kept = await verify(own)
    await tamper(own, "DELETE FROM audit_log WHERE action = 'done'")
    await tamper(own, "DELETE FROM audit_chain")
    await tamper(own, "DELETE FROM event_followers WHERE name = 'audit.chain'")
    await seal(own)
    assert (await verify(own)).findings == []
    assert [finding.what for finding in (await verify(own, (kept.height, kept.head))).findings] == ["broken_chain"]
    assert [finding.what for finding in (await verify(own, (99, kept.head))).findings] == ["broken_chain"]


async def test_whole_blocks_go_when_they_are_old_enough_and_the_chain_goes_on(own: Database) -> None:
    clock.set(OLD)
    await record(own, "long_ago")
    await record(own, "long_ago_too")
    clock.run()
    await record(own, "lately")
    kept = await verify(own)
    assert await audit_checks.forget_old(own, years=20) == 0
    assert await audit_checks.forget_old(own, years=5) == 8
    assert await audit_checks.forget_old(own, years=5) == 0
    result = await verify(own, (kept.height, kept.head))
    assert (result.findings, result.height, result.forgotten, result.rows) == ([], kept.height, kept.height - 1, 4)
    async with own.transaction() as tx:
        actions = set(await tx.scalars(text("SELECT DISTINCT action FROM audit_log")))
    assert actions == {"lately", "lately_read"}
    await record(own, "afterwards")
    assert (await verify(own)).findings == []
    await tamper(own, "UPDATE audit_log SET action = 'x' WHERE action = 'lately'")
    assert {finding.what for finding in (await verify(own)).findings} == {"tampered"}


async def test_a_block_with_one_young_row_stays(own: Database) -> None:
    clock.set(OLD)
    async with own.transaction() as tx:
        await audit.record(tx, "long_ago", actor=None)
        clock.run()
        await audit.record(tx, "lately", actor=None)
    await seal(own)
    assert await audit_checks.forget_old(own, years=5) == 0


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT audit_forget(now() - interval '4 years')",
        "SELECT audit_forget(now())",
        "DELETE FROM audit_log",
        "UPDATE audit_log SET action = 'x'",
        "TRUNCATE audit_log",
        "UPDATE audit_chain SET hash = ''",
        "UPDATE audit_chain SET seals = NULL",
        "DELETE FROM audit_chain",
        "TRUNCATE audit_chain",
    ],
)
async def test_the_database_lets_nothing_young_go(own: Database, statement: str) -> None:
    await record(own, "done")
    with pytest.raises(DBAPIError, match=r"append-only|five years"):
        async with own.transaction() as tx:
            await tx.execute(text(statement))


async def test_the_workers_verification_is_kept(own: Database) -> None:
    await record(own, "done")
    await audit_checks.verify(own, whole=False)
    async with own.transaction() as tx:
        await audit_checks.observe(tx)
    assert value_of(audit_checks.findings) == 0
    await tamper(own, "DELETE FROM audit_log WHERE action = 'done'")
    assert (await audit_checks.verify(own, whole=False)).findings == [], "what is old is the whole's"
    assert len((await audit_checks.verify(own, whole=True)).findings) >= 3
    async with own.transaction() as tx:
        await audit_checks.observe(tx)
    assert value_of(audit_checks.findings) >= 3
    assert value_of(audit_checks.checked_at) > (clock.now() - timedelta(minutes=1)).timestamp()


async def test_a_recent_verification_goes_on_from_the_last_head(own: Database) -> None:
    await record(own, "done")
    first = await audit_checks.verify(own, whole=False)
    await record(own, "done_later")
    second = await audit_checks.verify(own, whole=False)
    assert (first.since, second.since, second.rows, second.findings) == (0, first.height, 4, [])
    await record(own, "done_last")
    await tamper(own, "UPDATE audit_log SET subject_id = NULL WHERE action = 'done_last'")
    third = await audit_checks.verify(own, whole=False)
    assert (third.since, {finding.what for finding in third.findings}) == (second.height, {"tampered"})
    assert (await audit_checks.verify(own, whole=False)).since == 0, "after a finding it is of the whole"


async def test_the_last_head_may_have_been_forgotten_since(own: Database) -> None:
    """The last block that went keeps its hash, from which the chain goes on."""
    clock.set(OLD)
    await record(own, "long_ago")
    clock.run()
    kept = await audit_checks.verify(own, whole=False)
    assert await audit_checks.forget_old(own, years=5) == 4
    await record(own, "lately")
    result = await audit_checks.verify(own, whole=False)
    assert (result.since, result.rows, result.findings) == (kept.height, 4, [])
