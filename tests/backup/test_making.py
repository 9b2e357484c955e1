"""Making backups: what one contains, how an interrupted one is resumed, and which faults are found in the place."""

import asyncio
import hashlib
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from carteira.app import backup_config
from carteira.backup import (
    checking,
    copying,
    finishing,
    jobs,
    keys,
    making,
    mounts,
    place,
    restoring,
    retention,
    signing,
)
from carteira.backup.errors import BackupDamaged, BackupFailed
from carteira.backup.place import Manifest, Part
from carteira.backup.programs import Programs
from carteira.cli.backup import app as backup
from carteira.embedded import Endpoints
from carteira.key_rings import RINGS
from carteira.kit.db.address import DatabaseAddress
from carteira.kit.ops.progress import Progress, no_progress
from carteira.kit.outbound.objects import ObjectsDown
from carteira.kit.security.age import PrivateKey
from carteira.kit.security.key_ring import KeyRing
from carteira.settings import Settings
from tests.support import files
from tests.support.app import RunningApp
from tests.support.commands import set_environment, typed
from tests.support.credit import analyst_of, fill_bases
from tests.support.databases import on_server
from tests.support.documents import upload
from tests.support.people import new_cpf


@pytest.fixture
def settings(settings: Settings, endpoints: Endpoints, tmp_path: Path) -> Settings:
    database = str(settings.database()).rpartition("/")[2]
    return settings.model_validate(
        settings.model_dump()
        | {
            "backup_url": (tmp_path / "place").as_uri(),
            "backup_database_url": on_server(endpoints.backup_url, database),
            "backup_form": "logical",
        }
    )


async def made(settings: Settings) -> Manifest:
    return await making.make(backup_config(settings))


async def test_a_backup_is_whole_and_the_next_copies_only_new_data(
    app: RunningApp, settings: Settings, private_key: PrivateKey, tmp_path: Path
) -> None:
    person = app.person()
    await upload(person, files.pdf(300_000))
    await fill_bases(analyst_of(app, "*"), new_cpf())
    first = await made(settings)
    assert (set(first.parts), first.objects) == ({"dump", "base-b"}, 2)
    assert await checking.check(backup_config(settings), first, private_key) == []
    (first_copy,) = (tmp_path / "place").glob("objects/*")
    written_at = (first_copy / "0000").stat().st_mtime_ns
    await upload(person, files.pdf())
    second = await made(settings)
    assert (second.objects, (first_copy / "0000").stat().st_mtime_ns) == (3, written_at)
    assert [one.id for one in await place.manifests(backup_config(settings).place)] == [first.id, second.id]


@pytest.mark.usefixtures("app")
async def test_a_dump_loads_into_an_empty_database_as_its_owner(
    settings: Settings, endpoints: Endpoints, private_key: PrivateKey
) -> None:
    manifest = await made(settings)
    with psycopg.connect(endpoints.superuser_url, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS of_dump")
        connection.execute("CREATE DATABASE of_dump OWNER carteira")
    programs = Programs(DatabaseAddress.parse(on_server(endpoints.owner_url, "of_dump")))
    await asyncio.to_thread(restoring.load_dump, backup_config(settings), manifest, private_key, programs)
    with psycopg.connect(programs.address.conninfo) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == (manifest.revision,)
        found = connection.execute("SELECT extname FROM pg_extension WHERE extname <> 'plpgsql'").fetchall()
        assert found == [(making.EXTENSION,)]


async def test_documents_that_were_not_lost_stay_and_what_is_missing_comes_back(
    app: RunningApp, settings: Settings, tmp_path: Path
) -> None:
    person, config, restored = app.person(), backup_config(settings), finishing.Restored()
    await upload(person, files.pdf(300_000))
    await made(settings)
    (lost,) = (tmp_path / "home" / "documents").glob("*/0000")
    await upload(person, files.pdf(300_000))  # after the last copy, and its row is in the log
    unknown = (await upload(person, files.pdf(300_000))).json()["id"]
    async with app.database.transaction() as tx:
        await tx.execute(text("DELETE FROM documents WHERE id = :id"), {"id": unknown})
    before = {path: path.read_bytes() for path in (tmp_path / "home" / "documents").glob("*/*")}
    lost.unlink()
    with pytest.raises(BackupFailed, match="--again"):
        await finishing.bring_back_documents(config, app.database, restored, again=False)
    await finishing.bring_back_documents(config, app.database, restored, again=True)
    assert (restored.documents_missing, restored.faults) == (0, [])
    assert {path: path.read_bytes() for path in (tmp_path / "home" / "documents").glob("*/*")} == before


async def test_an_interrupted_backup_continues_where_it_stopped(
    app: RunningApp, settings: Settings, tmp_path: Path
) -> None:
    await upload(app.person(), files.pdf())
    (tmp_path / "place").mkdir()
    (tmp_path / "place" / "objects").write_text("in the way")
    with pytest.raises(ObjectsDown):
        await made(settings)
    assert await place.manifests(backup_config(settings).place) == []
    (dump,) = (tmp_path / "place").glob("sets/*/dump/0000")
    written_at = dump.stat().st_mtime_ns
    (tmp_path / "place" / "objects").unlink()
    manifest = await made(settings)
    assert (manifest.id, dump.stat().st_mtime_ns) == (dump.parents[1].name, written_at)
    assert [path.name for path in dump.parents[1].iterdir() if path.name == making.UNFINISHED] == []


async def test_an_unfinished_backup_of_somebody_else_is_not_continued_or_taken_for_whole(
    app: RunningApp, settings: Settings, tmp_path: Path
) -> None:
    await upload(app.person(), files.pdf())
    store = backup_config(settings).place
    (tmp_path / "place" / "objects").write_text("in the way")
    with pytest.raises(ObjectsDown):
        await made(settings)
    (noted,) = (tmp_path / "place").glob(f"sets/*/{making.UNFINISHED}")
    ours = noted.read_bytes()
    name = f"sets/{noted.parent.name}/manifest.json"
    await store.put(name, ours)
    with pytest.raises(BackupDamaged, match="não é o de um backup completo"):
        await place.manifest_of(store, noted.parent.name)
    await store.remove([name])

    (tmp_path / "place" / "objects").unlink()
    true = Manifest.from_json(ours)
    others = (replace(true, owner="mallory"), replace(true, signature="", signed_by=""), replace(true, id="other"))
    for planted in (*(one.to_json() for one in others), ours[:-1], b"[]"):
        noted.write_bytes(planted)
        assert (await made(settings)).id != true.id
    noted.write_bytes(ours)
    assert (await made(settings)).id == true.id


@pytest.mark.usefixtures("app")
async def test_a_backup_that_lost_its_lock_is_not_declared_whole(settings: Settings, endpoints: Endpoints) -> None:
    def end_the_lock(step: str) -> Progress:
        if step == "documents":
            with psycopg.connect(endpoints.superuser_url, autocommit=True) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_locks"
                    " WHERE locktype = 'advisory' AND (classid::bigint << 32) + objid::bigint = %s"
                    " AND database = (SELECT oid FROM pg_database WHERE datname = %s)",
                    (making.LOCK, str(settings.database()).rpartition("/")[2]),
                )
        return no_progress

    with pytest.raises(BackupFailed, match="caiu durante o backup"):
        await making.make(backup_config(settings), end_the_lock)
    assert await place.manifests(backup_config(settings).place) == []
    await made(settings)


async def test_only_one_makes_a_backup_at_a_time(app: RunningApp, settings: Settings) -> None:
    del app
    with psycopg.connect(backup_config(settings).address.conninfo, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s)", (making.LOCK,))
        with pytest.raises(BackupFailed, match="em andamento"):
            await made(settings)


async def test_changed_parts_are_named(
    app: RunningApp, settings: Settings, private_key: PrivateKey, tmp_path: Path
) -> None:
    await upload(app.person(), files.pdf())
    manifest, config = await made(settings), backup_config(settings)
    (copy,) = (tmp_path / "place").glob("objects/*/0000")
    copy.unlink()
    piece = tmp_path / "place" / manifest.parts["dump"].pieces[0].name
    piece.write_bytes(piece.read_bytes()[:-1])
    for key in (None, private_key):
        faults = await checking.check(config, manifest, key)
        assert ["dump: " in faults[0], "documentos" in faults[-1], len(faults)] == [True, True, 2]
    assert "não abre" in (await checking.check(config, manifest, PrivateKey.make()))[1]


async def test_a_role_without_replication_and_a_missing_address_are_reported(
    app: RunningApp, settings: Settings
) -> None:
    del app
    with pytest.raises(BackupFailed, match="BACKUP_DATABASE_URL"):
        await made(settings.model_copy(update={"backup_database_url": None}))
    with pytest.raises(BackupFailed, match="BACKUP_URL"):
        await made(settings.model_copy(update={"backup_url": None}))
    physical = settings.model_copy(
        update={"backup_form": "physical", "backup_database_url": settings.database_url, "backup_programs": None}
    )
    with pytest.raises(BackupFailed, match=r"pg_basebackup: .*(REPLICATION|permission)"):
        await made(physical)


def manifest_of(settings: Settings, set_id: str, first_wal: str | None, parts: dict[str, Part] | None = None) -> bytes:
    """Return the file of a manifest that this installation signed."""
    at = place.began_at(set_id).isoformat()
    manifest = Manifest(set_id, at, at, "1", "0001", "18", "carteira", "carteira", "7", first_wal, parts=parts or {})
    signing.sign(manifest, settings)
    return manifest.to_json()


@pytest.mark.unit
async def test_old_backups_are_removed_and_the_newest_keeps_all_that_it_needs(
    settings_of_nothing: Settings,
) -> None:
    config = backup_config(settings_of_nothing)
    store = config.place
    for set_id, first, names in (
        ("20200101T000000000000Z", "0" * 23 + "1", {"a/0000": 1, "b/0000": 1}),
        ("20200102T000000000000Z", "0" * 23 + "3", {"b/0000": 1}),
    ):
        await store.put(f"sets/{set_id}/manifest.json", manifest_of(settings_of_nothing, set_id, first))
        await store.put(f"sets/{set_id}/{copying.LIST}", copying.to_list(names))
    for name in ("a/0000", "b/0000"):
        await store.put(f"objects/{name}", b"x")
    for number in range(1, 6):
        await store.put(f"wal/7/{number:024X}", b"x")
    await store.put("wal/8/" + "0" * 24, b"of a cluster whose first backup is yet to come")
    await store.put("sets/20190101T000000000000Z/unfinished.json", b"{}")
    await store.put("sets/set-aside/unfinished.json", b"{}")
    gone = await retention.prune(config)
    assert (gone.backups, gone.segments) == (2, 2)
    left = sorted([entry.name async for entry in store.entries()])
    assert [name for name in left if name.startswith("wal/7")] == [f"wal/7/{number:024X}" for number in (3, 4, 5)]
    assert [name for name in left if name.startswith("sets/")] == [
        "sets/20200102T000000000000Z/manifest.json",
        "sets/20200102T000000000000Z/objects.json.gz",
        "sets/set-aside/unfinished.json",
    ]
    assert (await retention.prune(config)).backups == 0
    with pytest.raises(BackupDamaged):
        await place.manifest_of(store, "20200101T000000000000Z")


@pytest.mark.unit
async def test_pruning_removes_nothing_in_favour_of_a_backup_that_is_not_proven(settings_of_nothing: Settings) -> None:
    config = backup_config(settings_of_nothing)
    store, days = config.place, [f"2020010{number}T000000000000Z" for number in range(1, 6)]
    _, old, proven, unsigned, newest = days
    for day in days:
        piece = place.Piece(f"sets/{day}/dump/0000", 1, hashlib.sha256(b"x").hexdigest())
        await store.put(piece.name, b"x")
        await store.put(f"sets/{day}/{copying.LIST}", copying.to_list({}))
        signed = manifest_of(settings_of_nothing, day, None, {"dump": Part([piece], 1)})
        planted = replace(Manifest.from_json(signed), signature="", signed_by="").to_json()
        await store.put(f"sets/{day}/manifest.json", planted if day == unsigned else signed)

    async def left() -> list[str]:
        return [one.id for one in await place.manifests(store)]

    await store.put(f"sets/{newest}/dump/0000", b"y")
    await store.put(f"sets/{newest}/{copying.LIST}", b"no list")
    gone = await retention.prune(config)
    assert (gone.backups, gone.damaged, await left()) == (3, [newest, unsigned], [proven, newest])

    await store.remove([f"sets/{proven}/dump/0000"])
    await store.put(f"sets/{old}/manifest.json", manifest_of(settings_of_nothing, old, None))
    gone = await retention.prune(config)
    assert (gone.damaged, await left()) == ([newest, proven, old], [old, proven, newest]), "none is proven"

    await store.put(f"sets/{old}/{copying.LIST}", copying.to_list({}))
    gone = await retention.prune(config)
    assert (gone.damaged, await left()) == ([newest, proven], [old, newest])
    await store.put(f"sets/{newest}/dump/0000", b"x")
    await store.put(f"sets/{newest}/{copying.LIST}", copying.to_list({}))
    gone = await retention.prune(config)
    assert (gone.damaged, await left()) == ([], [newest])


OLD, FAST = "20200101T000000000000Z", "20990101T000000000000Z"


@pytest.mark.usefixtures("app")
@pytest.mark.timeout(400)
async def test_the_nightly_job_makes_a_backup_and_fails_with_what_the_command_said(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_environment(monkeypatch, settings, tmp_path)
    store = backup_config(settings).place
    await store.put(f"sets/{OLD}/manifest.json", manifest_of(settings, OLD, None))
    (job,) = jobs.blueprint.tasks.values()

    async def run(settings: Settings) -> list[str]:
        context = type("Context", (), {"additional_context": {"settings": settings}})()
        await job.func(context, timestamp=0)
        return [one.id for one in await place.manifests(store)]

    (made_id,) = await run(settings)
    assert made_id != OLD, "the new one is there, and the old one is removed"
    manifest = await place.manifest_of(store, made_id)
    assert set(manifest.parts) == {"dump", "base-b"}
    assert await checking.check(backup_config(settings), manifest, None) == []

    (tmp_path / "place" / mounts.MARK).unlink()
    with pytest.raises(BackupFailed, match="O disco foi desmontado"):
        await run(settings)
    assert await run(settings.model_copy(update={"backup_url": None})) == [made_id], "without a place it does nothing"


@pytest.mark.usefixtures("app")
async def test_a_backup_with_prune_removes_old_ones_and_names_a_newer_one_that_is_damaged(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_environment(monkeypatch, settings, tmp_path)
    store = backup_config(settings).place

    async def left() -> list[str]:
        return [one.id for one in await place.manifests(store)]

    await store.put(f"sets/{OLD}/manifest.json", manifest_of(settings, OLD, None))
    assert (await typed(backup, "create")).exit_code == 0
    old, first = await left()
    assert old == OLD, "it is removed only if that is asked for"
    done = await typed(backup, "create", "--prune")
    assert (done.exit_code, "Removidos: 1 backups, 0 segmentos" in done.output) == (0, True), done.output
    kept = await left()
    assert (kept[0], len(kept)) == (first, 2)

    planted = replace(Manifest.from_json(manifest_of(settings, FAST, None)), signature="", signed_by="")
    await store.put(f"sets/{FAST}/manifest.json", planted.to_json())
    await store.put(f"sets/{OLD}/manifest.json", manifest_of(settings, OLD, None))
    done = await typed(backup, "create", "--prune")
    assert (done.exit_code, f"o backup {FAST} não está inteiro" in done.stderr) == (1, True), done.output
    *whole, newest = await left()
    assert (whole[:2], len(whole), newest) == (kept, 3, FAST)


async def test_a_manifest_is_signed_and_no_other_is_taken_for_ours(
    app: RunningApp, settings: Settings, private_key: PrivateKey, tmp_path: Path
) -> None:
    del app
    manifest, config = await made(settings), backup_config(settings)
    ring = signing.ring_of(settings)
    signing.require_signature(manifest, ring)
    stored = await place.manifest_of(config.place, None)
    signing.require_signature(stored, ring)
    packed = keys.pack(settings, config.recipients)
    signing.require_signature(stored, signing.ring_in(packed, private_key, settings))

    foreign = KeyRing(tmp_path / "foreign.key", create=True).keys()
    for changed, known, said in (
        (replace(stored, owner="mallory"), ring, "não é das chaves desta instalação"),
        (replace(stored, parts={}), ring, "não é das chaves desta instalação"),
        (stored, foreign, "não é das chaves desta instalação"),
        (replace(stored, signature="", signed_by=""), ring, "não tem assinatura"),
    ):
        with pytest.raises(BackupDamaged, match=said):
            signing.require_signature(changed, known)
    assert await checking.check(config, stored, None) == []
    assert len(await checking.check(config, replace(stored, owner="mallory"), None)) == 1

    KeyRing(RINGS["identity"].path(settings)).add()
    signing.require_signature(stored, signing.ring_of(settings))
    older = replace(stored, format=1, signature="", signed_by="", objects_sha256="")
    assert Manifest.from_json(older.to_json()) == older
