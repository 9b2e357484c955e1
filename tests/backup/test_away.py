"""A PostgreSQL or a place that goes away while a backup is made: it ends, says so, and the next one is whole."""

import asyncio
import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from carteira import schema
from carteira.app import backup_config
from carteira.backup import checking, making, place
from carteira.backup.errors import BackupFailed
from carteira.backup.mounts import MARK
from carteira.cli.errors import sentence_of
from carteira.kit.db import silence
from carteira.kit.ops.progress import Progress, no_progress
from carteira.kit.outbound.objects import ObjectsDown
from carteira.kit.security.age import PrivateKey
from carteira.settings import Settings
from tests.support.app import settings_for
from tests.support.clusters import Cluster, cluster
from tests.support.patroni import PATH, small_disk
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
MEBIBYTES = 256


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("away")) as running:
        schema.migrate(running.url("carteira"))
        yield running


@pytest.fixture
def settings(server: Cluster, tmp_path: Path, private_key: PrivateKey) -> Settings:
    return settings_for(
        tmp_path / "home",
        carteira_modules="none",
        database_url=server.server.database_url,
        backup_url=(tmp_path / "place").as_uri(),
        backup_recipients=private_key.public,
        backup_database_url=server.server.backup_url,
        backup_form="physical",
    )


def at(step: str, act: Callable[[], object]) -> making.ProgressOf:
    """Act when a step begins."""

    def progress_of(name: str) -> Progress:
        if name == step:
            act()
        return no_progress

    return progress_of


def amid(step: str, act: Callable[[], object]) -> making.ProgressOf:
    """Act once a step has read something."""

    def progress_of(name: str) -> Progress:
        acts = [act] if name == step else []

        def step_on(_done: int, _total: int) -> None:
            if acts:
                acts.pop()()

        return step_on

    return progress_of


async def assert_the_next_is_whole(settings: Settings, key: PrivateKey) -> None:
    config = backup_config(settings)
    assert await place.manifests(config.place) == []
    manifest = await making.make(config)
    assert await checking.check(config, manifest, key) == []


@pytest.mark.parametrize("when", [at, amid])
async def test_a_postgresql_that_stands_still_ends_the_backup(
    settings: Settings,
    server: Cluster,
    private_key: PrivateKey,
    monkeypatch: pytest.MonkeyPatch,
    when: Callable[[str, Callable[[], object]], making.ProgressOf],
) -> None:
    with ExitStack() as still, monkeypatch.context() as hasty:
        hasty.setattr(silence, "SIGN_OF_LIFE_SECONDS", 0.5)
        hasty.setattr(making, "HELD_SECONDS", 0.2)
        stop = when(making.BASE, lambda: still.enter_context(server.standing_still()))
        with pytest.raises(BackupFailed, match="caiu durante o backup"):
            await making.make(backup_config(settings), stop)
    await asyncio.to_thread(wait_until, lambda: not is_held(server), "the lock is free")
    await assert_the_next_is_whole(settings, private_key)


def is_held(server: Cluster) -> bool:
    """Return whether the lock is held, as it still is for a moment by the connection that was cut."""
    with psycopg.connect(server.superuser_url) as connection:
        found = connection.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").fetchone()
    return found != (0,)


async def test_a_folder_whose_disk_went_away_takes_nothing(
    settings: Settings, tmp_path: Path, private_key: PrivateKey
) -> None:
    folder, disk = tmp_path / "place", tmp_path / "disk"

    def unmount() -> None:
        folder.rename(disk)
        folder.mkdir()

    with pytest.raises(BackupFailed, match="O disco foi desmontado"):
        await making.make(backup_config(settings), at("documents", unmount))
    assert [*folder.rglob("manifest.json"), *disk.rglob("manifest.json")] == []
    with pytest.raises(BackupFailed, match="O disco foi desmontado"):
        await making.make(backup_config(settings))
    assert [*folder.iterdir()] == [], "nothing was written below the mount point"
    folder.rmdir()
    disk.rename(folder)
    await assert_the_next_is_whole(settings, private_key)

    remembered = settings.carteira_home / "backup" / "place"
    folder.rename(disk)
    with pytest.raises(BackupFailed, match=str(remembered)):
        await making.make(backup_config(settings))
    remembered.unlink()  # a new disk
    await making.make(backup_config(settings))
    assert (folder / MARK).exists()


async def test_pieces_that_the_place_lost_meanwhile_are_stored_again(
    settings: Settings, tmp_path: Path, private_key: PrivateKey
) -> None:
    def lose() -> None:
        next(tmp_path.glob(f"place/sets/*/{making.BASE}/0000")).unlink()

    with pytest.raises(BackupFailed, match="perdeu pedaços"):
        await making.make(backup_config(settings), at("documents", lose))
    await assert_the_next_is_whole(settings, private_key)


async def test_a_place_that_turns_read_only_is_named(
    settings: Settings, tmp_path: Path, private_key: PrivateKey
) -> None:
    if os.geteuid() != 0:
        pytest.skip("NO DISK TURNED READ-ONLY: only root mounts one")

    folder = tmp_path / "place"

    def remount(mode: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{mode}", str(folder)], check=True, env={"PATH": PATH})

    folder.mkdir()
    with small_disk(folder, MEBIBYTES):
        with pytest.raises(ObjectsDown) as refused:
            await making.make(backup_config(settings), at(making.BASE, lambda: remount("ro")))
        assert refused.value.errno == errno.EROFS
        assert "só aceita leituras" in str(sentence_of(refused.value, None))
        remount("rw")
        await assert_the_next_is_whole(settings, private_key)
