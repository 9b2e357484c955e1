import os
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from carteira import documents
from carteira.documents import DocumentType, MasterKeyRing, Vault
from carteira.kit.db.engine import Database
from carteira.kit.values.clock import clock
from tests.support import files
from tests.support.app import RunningApp
from tests.support.databases import NewDatabase
from tests.support.documents import download, upload


@pytest.fixture
async def own_database(new_database: NewDatabase) -> AsyncIterator[Database]:
    database = Database(new_database("upkeep"), pool_size=5)
    yield database
    await database.close()


async def test_rotation_wraps_every_key_anew_and_files_stay_readable(app: RunningApp, vault: Vault) -> None:
    person = app.person()
    data = files.pdf(5_000)
    document_id = (await upload(person, data)).json()["id"]
    told: list[tuple[int, int]] = []
    old = vault.ring.active.id
    done = await documents.rotate_master_key(
        app.database, vault.ring, lambda rewrapped, total: told.append((rewrapped, total))
    )
    assert done.active_key == vault.ring.active.id != old
    assert (done.rewrapped, done.rewrapped) == told[-1]
    async with app.database.transaction() as tx:
        left = await tx.scalar(text("SELECT count(*) FROM document_versions WHERE key_id = :old"), {"old": old})
    assert left == done.unreadable == 0
    assert (await download(person, document_id)).content == data
    clock.advance(timedelta(days=2))
    again = await documents.rotate_master_key(app.database, vault.ring)
    assert old in again.retired
    assert (await download(person, document_id)).content == data


async def test_a_key_that_nothing_opens_stops_no_rotation(app: RunningApp, vault: Vault) -> None:
    person = app.person()
    lost = (await upload(person, files.pdf())).json()["id"]
    kept = (await upload(person, files.pdf())).json()["id"]
    break_key = text("UPDATE document_versions SET wrapped_key = decode('00', 'hex') WHERE document_id = :id")
    async with app.database.transaction() as tx:
        await tx.execute(break_key, {"id": UUID(lost)})
    try:
        done = await documents.rotate_master_key(app.database, vault.ring)
        assert (done.unreadable, done.rewrapped > 0) == (1, True)
        assert (await download(person, kept)).status_code == 200
    finally:
        await person.client.delete(f"/documents/{lost}", headers=person.headers)


async def test_rotation_with_a_key_that_somebody_else_put_into_the_file(app: RunningApp, vault: Vault) -> None:
    await upload(app.person(), files.pdf())
    fresh = MasterKeyRing(vault.ring.path, create=False).add()
    done = await documents.rotate_master_key(app.database, vault.ring, add_key=False)
    assert (done.active_key, done.retired) == (fresh.id, [])
    assert done.rewrapped > 0


async def test_old_orphans_are_removed(own_database: Database, tmp_path: Path) -> None:
    vault = Vault(tmp_path.as_uri(), tmp_path / "k.json", True, None, documents._nameless)  # noqa: SLF001 - the test uses the module's default
    old, fresh = uuid4(), uuid4()
    for version_id in (old, fresh):
        for index in range(3):
            await vault.storage.put(version_id, index, b"sealed")
    (tmp_path / "not-ours.txt").write_text("kept")
    long_ago = (datetime.now(UTC) - timedelta(hours=2)).timestamp()
    for file in (tmp_path / old.hex).iterdir():
        os.utime(file, (long_ago, long_ago))
    assert await documents.remove_orphans(own_database, vault.storage) == 1
    assert {found async for found, _ in vault.storage.versions()} == {fresh}
    assert (tmp_path / "not-ours.txt").exists()


async def test_files_with_rows_are_no_orphans_and_a_wrong_database_deletes_nothing(
    app: RunningApp, vault: Vault, own_database: Database
) -> None:
    person = app.person()
    document_id = (await upload(person, files.pdf())).json()["id"]
    clock.advance(timedelta(hours=2))
    await documents.remove_orphans(app.database, vault.storage)
    clock.run()
    assert (await download(person, document_id)).status_code == 200
    for _ in range(110):
        await vault.storage.put(uuid4(), 0, b"sealed")
    stored = len({found async for found, _ in vault.storage.versions()})
    clock.advance(timedelta(hours=2))
    assert await documents.remove_orphans(own_database, vault.storage) == 0
    assert len({found async for found, _ in vault.storage.versions()}) == stored


async def paper(tx: AsyncSession, ring: MasterKeyRing, expires_on: date | None) -> UUID:
    made = await documents.register(
        tx, ring, uuid4(), document_type=DocumentType.OTHER, document_number="1", expires_on=expires_on
    )
    return made.id


async def reminders(tx: AsyncSession, *papers: UUID) -> list[tuple[UUID, int]]:
    rows = await tx.execute(text("SELECT payload FROM events WHERE topic = 'documents.expiring' ORDER BY id"))
    told = [(UUID(payload["document_id"]), payload["days_left"]) for (payload,) in rows]
    return [reminder for reminder in told if reminder[0] in papers]


async def test_each_step_reminds_once_and_a_new_date_begins_anew(tx: AsyncSession, tmp_path: Path) -> None:
    ring = MasterKeyRing(tmp_path / "keys.json", create=True)
    today = date(2026, 6, 1)
    clock.set(datetime(2026, 6, 1, 12, tzinfo=UTC))
    papers = soon, later, _never, _past = [
        await paper(tx, ring, expires_on)
        for expires_on in (today + timedelta(days=8), today + timedelta(days=31), None, today - timedelta(days=1))
    ]
    for _ in range(2):
        await documents.remind(tx)
    assert await reminders(tx, *papers) == [(soon, 8)]
    for _ in range(7):
        clock.advance(timedelta(days=1))
        await documents.remind(tx)
    assert await reminders(tx, *papers) == [(soon, 8), (soon, 7), (later, 30), (soon, 1)]
    owner = await tx.scalar(text("SELECT user_id FROM documents WHERE id = :id"), {"id": soon})
    assert isinstance(owner, UUID)
    await documents.service.update(
        tx,
        owner,
        soon,
        document_type=DocumentType.OTHER,
        document_number="1",
        file_name=None,
        expires_on=today + timedelta(days=20),
    )
    await documents.remind(tx)
    assert (await reminders(tx, *papers))[-1] == (soon, 13)
