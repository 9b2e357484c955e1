"""PostgreSQL's log is copied without a gap, by any worker; and a gap is noticed."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from carteira.app import backup_config
from carteira.backup import wal
from carteira.backup.place import Manifest
from carteira.backup.restoring import Log, log_of
from carteira.backup.wal import Archiver
from carteira.kit.db import silence
from carteira.kit.security.age import PrivateKey
from carteira.settings import Settings
from tests.support.app import settings_for
from tests.support.clusters import Cluster, cluster
from tests.support.databases import open_database
from tests.support.waiting import until

pytestmark = pytest.mark.integration
AGE = "carteira_backup_log_timestamp_seconds"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("wal")) as running:
        yield running


@pytest.fixture
def settings(running: Cluster, tmp_path: Path, private_key: PrivateKey) -> Iterator[Settings]:
    yield settings_for(
        tmp_path / "home",
        carteira_modules="none",
        database_url=running.server.database_url,
        backup_url=(tmp_path / "place").as_uri(),
        backup_recipients=private_key.public,
        backup_database_url=running.server.backup_url,
        backup_form="physical",
        backup_wal_seconds=1,
    )
    with psycopg.connect(running.superuser_url, autocommit=True) as connection:
        connection.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")


@asynccontextmanager
async def archiving(settings: Settings, home: Path) -> AsyncIterator[None]:
    """Copy as a worker on its own machine does."""
    config, stop = backup_config(settings.model_copy(update={"carteira_home": home})), asyncio.Event()
    async with open_database(settings.database(), pool_size=1) as database:
        task = asyncio.create_task(Archiver(config, database).run(stop))
        try:
            yield
        finally:
            stop.set()
            await task


def switch(running: Cluster, times: int = 1) -> str:
    """Write rows and begin new segments; return the current segment's name."""
    with psycopg.connect(running.superuser_url, autocommit=True) as connection:
        for _ in range(times):
            connection.execute("SELECT pg_logical_emit_message(false, 'test', 'written')")
            connection.execute("SELECT pg_switch_wal()")
        row = connection.execute("SELECT pg_walfile_name(pg_current_wal_lsn() + 1)").fetchone()
    assert row is not None
    return str(row[0])


async def copied(settings: Settings, running: Cluster, first: str) -> Log:
    """Return the copied log behind a backup that begins at a segment."""
    with psycopg.connect(running.superuser_url) as connection:
        row = connection.execute("SELECT system_identifier::text FROM pg_control_system()").fetchone()
    assert row is not None
    manifest = Manifest("x", "", "", "1", "0001", "18", "carteira", "carteira", row[0], first)
    return await log_of(backup_config(settings).place, manifest)


def there(settings: Settings, name: str) -> bool:
    folder = backup_config(settings).place.folder
    return folder is not None and bool([*folder.glob(f"wal/*/{name}")])


async def test_another_worker_continues_at_the_first_ones_position(
    settings: Settings, running: Cluster, tmp_path: Path
) -> None:
    first = await asyncio.to_thread(switch, running)
    async with archiving(settings, tmp_path / "one"):
        await until(lambda: there(settings, "*"), "the log arrives")
        await asyncio.to_thread(switch, running, 2)
        await until(lambda: len([*(tmp_path / "place").glob("wal/*/" + "[0-9A-F]" * 24)]) > 1, "whole segments arrive")
    left = await asyncio.to_thread(switch, running, 3)
    async with archiving(settings, tmp_path / "two"):
        last = await asyncio.to_thread(switch, running, 1)
        await until(lambda: there(settings, f"{last}*"), "the last segment arrives")
    log = await copied(settings, running, first)
    assert (log.gap, log.names[0].removesuffix(".partial") >= first, f"{left}" in log.names) == (False, True, True)
    assert (log.names[-1].removesuffix(".partial"), len([name for name in log.names if "partial" in name])) == (last, 1)


async def test_a_postgresql_that_stands_still_holds_nobody_up(
    settings: Settings, running: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AGAIN_SECONDS", "BUSY_SECONDS", "END_SECONDS"):
        monkeypatch.setattr(wal, name, 0.1)
    monkeypatch.setattr(silence, "SIGN_OF_LIFE_SECONDS", 0.5)
    first = await asyncio.to_thread(switch, running)
    with capture_logs() as lines:
        async with archiving(settings, tmp_path / "one"):
            await until(lambda: there(settings, "*"), "the log arrives")
            with running.standing_still():
                await until(lambda: "log not archived" in {line["event"] for line in lines}, "the round ends")
            monkeypatch.undo()
            last = await asyncio.to_thread(switch, running, 1)
            await until(lambda: there(settings, f"{last}*"), "the log goes on")
    assert not (await copied(settings, running, first)).gap


async def test_a_place_whose_disk_is_away_takes_no_log_and_loses_none(
    settings: Settings, running: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AGAIN_SECONDS", "BUSY_SECONDS"):
        monkeypatch.setattr(wal, name, 0.1)
    first = await asyncio.to_thread(switch, running)
    folder, disk = tmp_path / "place", tmp_path / "disk"
    with capture_logs() as lines:
        async with archiving(settings, tmp_path / "one"):
            await until(lambda: there(settings, "*"), "the log arrives")
            folder.rename(disk)
            folder.mkdir()
            last = await asyncio.to_thread(switch, running, 3)
            await until(lambda: "desmontado" in str(lines), "the round says so")
            before = REGISTRY.get_sample_value(AGE), [*folder.rglob("*")]
            await until(lambda: str(lines).count("desmontado") > 2, "the next rounds say so")
            assert (REGISTRY.get_sample_value(AGE), [*folder.rglob("*")]) == before, "the alert goes by that age"
            shutil.rmtree(folder)
            disk.rename(folder)
            await until(lambda: there(settings, f"{last}*"), "the log goes on")
    log = await copied(settings, running, first)
    assert (log.gap, log.names[-1].removesuffix(".partial") >= last) == (False, True)


async def test_a_segment_that_postgresql_removed_is_reported_and_the_copy_continues(
    settings: Settings, running: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AGAIN_SECONDS", "BUSY_SECONDS"):
        monkeypatch.setattr(wal, name, 0.1)
    first = await asyncio.to_thread(switch, running)
    async with archiving(settings, tmp_path / "one"):
        await asyncio.to_thread(switch, running, 1)
        await until(lambda: there(settings, "[0-9A-F]" * 24), "whole segments arrive")
    running.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
    await asyncio.to_thread(switch, running, 3)
    running.execute("CHECKPOINT", "SELECT pg_switch_wal()", "CHECKPOINT")
    with capture_logs() as lines:
        async with archiving(settings, tmp_path / "two"):
            last = await asyncio.to_thread(switch, running, 1)
            await until(lambda: there(settings, f"{last}*"), "the log goes on after the gap")
    assert "log has a gap, new backup needed" in {line["event"] for line in lines}
    log = await copied(settings, running, first)
    assert (log.gap, log.last is not None and log.last < last) == (True, True)
    assert not (await copied(settings, running, last)).gap


A = "0000000100000000000000FE"
B = "0000000100000000000000FF"
C = "000000010000000100000000"
D = "000000020000000100000000"
E = "000000020000000100000001"
F = "000000010000000100000001"
G = "000000030000000100000001"


@pytest.mark.unit
@pytest.mark.parametrize(
    ("there", "names", "gap"),
    [
        ([A, B, C], [A, B, C], False),
        ([A, B, f"{C}.partial"], [A, B, f"{C}.partial"], False),
        ([A, B, C, f"{C}.partial"], [A, B, C], False),
        ([A, B, C, D, E], [A, B, C, D, E], False),
        ([A, B, D, E], [A, B, D, E], False),
        ([A, B, C, F, D, E], [A, B, C, D, E], False),
        ([A, B, C, f"{F}.partial", f"{D}.partial"], [A, B, C, f"{D}.partial"], False),
        ([A, B, C, f"{D}.partial", G], [A, B, C, f"{D}.partial", G], False),
        ([A, C], [A], True),
        ([C], [C], True),
        ([B], [B], False),
        ([], [], False),
    ],
)
async def test_the_log_is_followed_over_the_ends_of_numbers_and_timelines(
    settings_of_nothing: Settings, *, there: list[str], names: list[str], gap: bool
) -> None:
    store = backup_config(settings_of_nothing).place
    for name in there:
        await store.put(f"wal/7/{name}", b"x")
    manifest = Manifest("x", "", "", "1", "0001", "18", "carteira", "carteira", "7", A, last_wal=B)
    log = await log_of(store, manifest)
    assert (log.names, log.gap, log.last) == (names, gap, names[-1] if names else None)
