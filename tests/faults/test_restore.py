"""Databases that are restored, exchanged, promoted or upgraded continue: no row unread, no false alarm, no money lost.

They are clusters of the test's own, handled with PostgreSQL's programs, as an operator would.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from structlog.testing import capture_logs

from carteira import schema
from carteira.kit.db import outbox
from carteira.kit.db.engine import Database
from carteira.kit.db.errors import DatabaseDown, OperationInProgress
from tests.support import databases
from tests.support.clusters import FORMER, Cluster, cluster, former_installation, run
from tests.support.ledger import open_system_accounts
from tests.support.traffic import FollowerLog, Heads, offset, proven, write, written

pytestmark = [pytest.mark.integration]
LOOKED = "positions checked after a restore"
SPENT = 20_000
"""The number of past transactions of the first cluster; the second one has none."""


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster with a past, and a migrated template for databases."""
    with cluster(tmp_path_factory.mktemp("first")) as running:
        running.spend_ids(SPENT)
        schema.migrate(running.create("migrated"))
        yield running


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A new cluster."""
    with cluster(tmp_path_factory.mktemp("second")) as running:
        yield running


@asynccontextmanager
async def server(url: str) -> AsyncIterator[Database]:
    """The database as a server opens it."""
    async with databases.open_database(url, pool_size=6) as database:
        yield database


@pytest.fixture
async def lived_in(first: Cluster) -> AsyncIterator[tuple[Database, FollowerLog]]:
    """A database in the first cluster that has seen traffic, and its followers."""
    first.execute("DROP DATABASE IF EXISTS lived_in WITH (FORCE)", "CREATE DATABASE lived_in TEMPLATE migrated")
    first.execute("ALTER DATABASE lived_in OWNER TO carteira")
    async with server(first.url("lived_in")) as database:
        async with database.transaction() as tx:
            await open_system_accounts(tx)
        for _ in range(2):
            await write(database)
        followers = FollowerLog()
        await followers.read_all(database)
        yield database, followers


async def go_on(database: Database, followers: FollowerLog) -> None:
    """Write from several connections at once, and read all of it once."""
    await asyncio.gather(*(write(database) for _ in range(4)))
    await followers.read_all(database)
    await followers.assert_all_read(database)


async def test_a_dump_continues_in_a_new_cluster_a_higher_one_and_the_first(
    lived_in: tuple[Database, FollowerLog], first: Cluster, second: Cluster, tmp_path: Path
) -> None:
    database, followers = lived_in
    heads = await proven(database)
    await write(database)  # is not read before the dump
    dump = first.dump("lived_in", tmp_path / "first.dump")

    with capture_logs() as logs:
        second.restore(dump, "postgres", "--create")
        async with server(second.url("lived_in")) as restored:
            assert await offset(restored) > SPENT / 2
            await go_on(restored, followers)
            heads = await proven(restored, *heads)
            raised = await offset(restored)
    assert [line["raised"] for line in logs if line["event"] == LOOKED] == [raised]

    with capture_logs() as logs:
        async with server(second.url("lived_in")) as again:
            await go_on(again, followers)
            heads = await proven(again, *heads)
            assert await offset(again) == raised, "once is enough"
    assert [line for line in logs if line["event"] == LOOKED] == []

    second.execute("ALTER DATABASE lived_in RENAME TO moved")
    dump = second.dump("moved", tmp_path / "second.dump")
    first.create("back")
    async with server(first.restore(dump, "back")) as back:
        await go_on(back, followers)
        await proven(back, *heads)
        assert await offset(back) == raised, "the first cluster has the higher ids"


async def test_a_plain_dump_of_the_release_before_goes_on(first: Cluster, second: Cluster, tmp_path: Path) -> None:
    url = first.create("former")
    schema.migrate(url, "0033")
    with psycopg.connect(url, autocommit=True) as former:
        former.execute(
            "CREATE FUNCTION position_now() RETURNS bigint LANGUAGE sql RETURN pg_current_xact_id()::text::bigint"
        )
        former.execute(
            "CREATE FUNCTION position_horizon() RETURNS bigint LANGUAGE sql STABLE"
            " RETURN pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
        )
        former.execute(
            "CREATE TYPE ledger_posted_entry AS (id uuid, kind text, description text, key text, reverses_id uuid,"
            " actor_kind text, actor_id text)"
        )
        former.execute("CREATE TABLE ledger_keys (key text, entry_id uuid)")
        former.execute("CREATE TABLE ledger_reversals (reverses_id uuid, entry_id uuid)")
        former.execute("CREATE TABLE benefits_references (external_id text, decision_id uuid)")
        former.execute("ALTER TABLE events ADD COLUMN traceparent text")
        former.execute(
            """CREATE FUNCTION ledger_post(moves ledger_move[], entries ledger_posted_entry[], lines ledger_line[],
                                          follow boolean, approved_by uuid) RETURNS timestamptz LANGUAGE sql
               RETURN ledger_post(moves, ARRAY(SELECT ROW(one.id, one.kind, one.description, one.key, one.reverses_id)
                                               ::ledger_new_entry FROM unnest(entries) AS one), lines, follow,
                                  (entries[1]).actor_kind, (entries[1]).actor_id, approved_by)"""
        )
        async with server(url) as database:  # reads as the former release did
            async with database.transaction() as tx:
                await open_system_accounts(tx)
            await write(database)
            followers = FollowerLog()
            await followers.read_all(database)
            heads = await proven(database)
            await write(database)
        former.execute("DROP FUNCTION position_now, position_horizon")
        former.execute("DROP TYPE ledger_posted_entry CASCADE")  # and its function
        former.execute("DROP TABLE ledger_keys, ledger_reversals, benefits_references")
        former.execute("ALTER TABLE events DROP COLUMN traceparent")
    run("pg_dump", f"--file={tmp_path / 'former.sql'}", "--no-owner", url)
    moved = second.create("former")
    second.execute("GRANT CREATE ON SCHEMA public TO carteira", database="former")
    run("psql", "--no-psqlrc", f"--file={tmp_path / 'former.sql'}", "--quiet", moved)
    schema.migrate(moved)
    async with server(moved) as restored:
        assert await offset(restored) > SPENT / 2
        await go_on(restored, followers)
        await proven(restored, *heads)


async def test_servers_that_find_a_restored_database_at_once_raise_it_once(
    lived_in: tuple[Database, FollowerLog], first: Cluster, second: Cluster, tmp_path: Path
) -> None:
    database, followers = lived_in
    heads = await proven(database)
    second.create("at_once")
    url = second.restore(first.dump("lived_in", tmp_path / "dump"), "at_once")
    with capture_logs() as logs:
        async with server(url) as one, server(url) as two, server(url) as three:
            await asyncio.gather(*(write(each) for each in (one, two, three, one, two, three)))
            await followers.read_all(two)
            await followers.assert_all_read(one)
            await proven(three, *heads)
            raised = await offset(one)
    assert [line["raised"] for line in logs if line["event"] == LOOKED and line["raised"]] == [raised]


@pytest.mark.parametrize("how", ["in_place", "dropped", "renamed"])
async def test_a_server_goes_on_while_its_database_is_exchanged_under_it(
    lived_in: tuple[Database, FollowerLog], first: Cluster, second: Cluster, tmp_path: Path, how: str
) -> None:
    """Writers never pause: whatever they write into the database that remains is read."""
    database, followers = lived_in
    heads = await proven(database)
    dump = first.dump("lived_in", tmp_path / "dump")
    url = second.create("exchanged")
    schema.migrate(url)
    stop = asyncio.Event()

    async def keep_writing(serving: Database) -> None:
        while not stop.is_set():
            try:
                async with serving.transaction() as tx:
                    await outbox.emit(tx, "test.kept_writing", {})
                async with serving.lean_transaction() as lean:
                    await lean.fetch("SELECT position_now()")
            except (DatabaseDown, OperationInProgress, DBAPIError, asyncpg.PostgresError):
                await asyncio.sleep(0.01)

    async with server(url) as serving:
        writers = [asyncio.create_task(keep_writing(serving)) for _ in range(4)]
        await asyncio.to_thread(EXCHANGES[how], second, dump)
        try:
            for _ in range(3):
                await until_written(serving)
        finally:
            stop.set()
        await asyncio.gather(*writers)
        await go_on(serving, followers)
        await proven(serving, *heads)
        assert await offset(serving) > SPENT / 2


def _in_place(cluster: Cluster, dump: Path) -> None:
    # `pg_restore --clean` cannot drop what partitions inherit from their table.
    cluster.execute(
        "DROP SCHEMA public CASCADE",
        "CREATE SCHEMA public AUTHORIZATION pg_database_owner",
        "GRANT USAGE ON SCHEMA public TO PUBLIC",
        database="exchanged",
    )
    cluster.restore(dump, "exchanged")


def _dropped(cluster: Cluster, dump: Path) -> None:
    cluster.create("exchanged")
    cluster.restore(dump, "exchanged")


def _renamed(cluster: Cluster, dump: Path) -> None:
    cluster.create("exchanged_new")
    cluster.restore(dump, "exchanged_new")
    cluster.execute(
        "ALTER DATABASE exchanged ALLOW_CONNECTIONS false",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'exchanged'",
        "DROP DATABASE exchanged WITH (FORCE)",
        "ALTER DATABASE exchanged_new RENAME TO exchanged",
    )


EXCHANGES = {"in_place": _in_place, "dropped": _dropped, "renamed": _renamed}


async def until_written(database: Database) -> None:
    """Wait until the writers have written something new."""
    before = len((await written(database))["events"])
    async with asyncio.timeout(60):
        while len((await written(database))["events"]) == before:  # noqa: ASYNC110 - no event announces it
            await asyncio.sleep(0.01)


async def test_a_replica_that_is_promoted_goes_on_as_it_was(
    lived_in: tuple[Database, FollowerLog], first: Cluster, tmp_path: Path
) -> None:
    database, followers = lived_in
    heads = await proven(database)
    replica = Cluster(tmp_path / "replica", like=first)
    try:
        primary = f"host=127.0.0.1 port={first.server.port} user=postgres"
        first.run_as_owner(
            "pg_basebackup", "-D", str(replica.data), "-R", "--checkpoint=fast", "-d",
            f"{primary} password={first.home.password('postgres')}",
        )  # fmt: skip
        replica.server.start()
        with capture_logs() as logs:
            async with server(replica.url("lived_in")) as standby:
                await standby.ping()  # a connection that was made before the promotion stays
                await write(database)
                first.server.stop()  # once the standby has all of it
                with psycopg.connect(replica.url("lived_in", superuser=True), autocommit=True) as operator:
                    operator.execute("SELECT pg_promote()")
                await go_on(standby, followers)
                await proven(standby, *heads)
                assert await offset(standby) == 0
        assert [line for line in logs if line["event"] == LOOKED] == []
    finally:
        replica.close()
        first.server.start()


async def test_a_cluster_that_is_upgraded_in_place_goes_on_as_it_was(
    lived_in: tuple[Database, FollowerLog], first: Cluster, tmp_path: Path
) -> None:
    database, followers = lived_in
    heads = await proven(database)
    try:
        async with upgraded(first, tmp_path / "upgraded") as cluster:
            await goes_on_as_it_was(cluster, followers, heads)
    finally:
        first.server.start()


@pytest.mark.skipif(not FORMER, reason="NO POSTGRESQL 17: no cluster was upgraded from one (`make proxies`)")
async def test_a_cluster_of_the_version_before_serves_and_is_upgraded(tmp_path: Path) -> None:
    with former_installation() as installation:
        former = Cluster(tmp_path / "former", installation=installation)
        try:
            former.server.start()
            former.spend_ids(SPENT)
            url = former.create("lived_in")
            schema.migrate(url)
            async with server(url) as database:
                async with database.transaction() as tx:
                    assert str(await tx.scalar(text("SHOW server_version"))).startswith("17.")
                    await open_system_accounts(tx)
                await write(database)
                followers = FollowerLog()
                await followers.read_all(database)
                heads = await proven(database)
            async with upgraded(former, tmp_path / "upgraded") as cluster:
                await goes_on_as_it_was(cluster, followers, heads)
        finally:
            former.close()


@asynccontextmanager
async def upgraded(old: Cluster, folder: Path) -> AsyncIterator[Cluster]:
    """Stop a cluster, and run the one that `pg_upgrade` makes of it."""
    new = Cluster(folder, like=old)
    new.home.log_path("postgres")
    new.server.prepare()
    with psycopg.connect(old.superuser_url) as connection:
        checksums = connection.execute("SHOW data_checksums").fetchone()
    old.server.stop()
    try:
        if checksums == ("off",):  # from 18 on clusters have checksums by default
            old.run_as_owner("pg_checksums", "--enable", "--no-sync", "-D", str(old.data))
        trusting = [shutil.copy(each.data / "pg_hba.conf", each.data / "pg_hba.kept") for each in (old, new)]
        for kept in trusting:
            Path(kept).with_name("pg_hba.conf").write_text("local all all trust\n")
        new.run_as_owner(
            *("pg_upgrade", "--username=postgres", "--copy"),
            *("-b", str(old.server.placement.programs), "-B", str(new.server.placement.programs)),
            *("-d", str(old.data), "-D", str(new.data)),
            cwd=new.data.parent,
        )
        for kept in trusting:
            shutil.move(kept, Path(kept).with_name("pg_hba.conf"))
        new.server.start()
        yield new
    finally:
        new.close()


async def goes_on_as_it_was(cluster: Cluster, followers: FollowerLog, heads: Heads) -> None:
    """Assert that a server continues in an upgraded cluster, and has no position to raise."""
    with capture_logs() as logs:
        async with server(cluster.url("lived_in")) as there:
            await go_on(there, followers)
            await proven(there, *heads)
            assert await offset(there) == 0
            async with there.transaction() as tx:
                assert await tx.scalar(text("SELECT table_id = tableoid FROM positions"))
    assert [line for line in logs if line["event"] == LOOKED] == []
