"""The place of the backups: pieces, and the faults that are found when they are read."""

import asyncio
import os
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest

from carteira.backup.errors import BackupDamaged
from carteira.backup.place import Manifest, Part, PieceReader, PieceWriter, manifest_of, manifests
from carteira.backup.restoring import fetch_log
from carteira.embedded import Endpoints
from carteira.kit.ops.progress import no_progress
from carteira.kit.outbound.objects import ObjectsDown, ObjectStore, opener
from carteira.kit.security.age import PrivateKey, Recipients

Open = Callable[[], ObjectStore]


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, endpoints: Endpoints, tmp_path: Path) -> ObjectStore:
    url = tmp_path.as_uri() if request.param == "folder" else f"s3://backups/{tmp_path.name}"
    return opener(url, aws_endpoint_url=endpoints.aws_endpoint_url)()


def manifest(set_id: str, **parts: Part) -> Manifest:
    at = "2026-01-01T00:00:00+00:00"
    return Manifest(set_id, at, at, "1", "0001", "18", "carteira", "carteira", "7", None, parts=parts)


async def test_a_stream_comes_back_from_its_pieces(store: ObjectStore) -> None:
    content = os.urandom(2_500)
    writer = PieceWriter(store, "sets/a/base.tar", piece_bytes=1_000)
    for start in range(0, 2_500, 700):
        writer.write(content[start : start + 700])
    writer.end()
    assert [piece.size for piece in writer.pieces] == [1_000, 1_000, 500]
    reader, read = PieceReader(store, writer.pieces), b""
    while piece := reader.read(333):
        read += piece
    assert read == content


async def test_a_piece_that_was_changed_or_is_missing_is_named(store: ObjectStore) -> None:
    writer = PieceWriter(store, "sets/a/base.tar", piece_bytes=10)
    writer.write(bytes(20))
    await store.put("sets/a/base.tar/0001", b"other")
    reader = PieceReader(store, writer.pieces)
    assert reader.read(100) == bytes(10)
    with pytest.raises(BackupDamaged, match=r"sets/a/base.tar/0001 foi alterado"):
        reader.read(100)
    await store.remove(["sets/a/base.tar/0000"])
    with pytest.raises(BackupDamaged, match=r"falta sets/a/base.tar/0000"):
        PieceReader(store, writer.pieces).read(1)


async def test_a_backup_counts_once_its_manifest_is_there(store: ObjectStore) -> None:
    with pytest.raises(BackupDamaged, match="não há um backup completo"):
        await manifest_of(store, None)
    writer = PieceWriter(store, "sets/20260101T000000Z/dump")
    writer.end()
    assert await manifests(store) == []
    one = manifest("20260101T000000Z", dump=Part(writer.pieces, 0))
    await store.put("sets/20260101T000000Z/manifest.json", one.to_json())
    await store.put("sets/20260102T000000Z/manifest.json", manifest("20260102T000000Z").to_json())
    assert (await manifest_of(store, "20260101T000000Z")) == one
    assert (await manifest_of(store, None)).id == "20260102T000000Z"
    for content in (b"", b"{}", b"[]", b'{"format": 2, "id": "x"}', b'{"format": 2, "parts": []}', one.to_json()):
        await store.put("sets/20260103T000000Z/manifest.json", content)
        with pytest.raises(BackupDamaged, match="20260103T000000Z"):
            await manifests(store)
        with pytest.raises(BackupDamaged, match="20260103T000000Z"):
            await manifest_of(store, None)
        assert (await manifest_of(store, "20260101T000000Z")) == one


@pytest.mark.unit
async def test_a_continued_restore_fetches_the_last_segment_again(tmp_path: Path) -> None:
    key, folder = PrivateKey.make(), tmp_path / "restore_wal"
    store = opener((tmp_path / "place").as_uri(), aws_endpoint_url=None)()
    first, second = "0" * 23 + "1", "0" * 23 + "2"

    async def put(name: str, content: bytes) -> None:
        sealed = bytearray()
        Recipients.parse(key.public).encrypt_stream(BytesIO(content), sealed.extend)
        await store.put(f"wal/7/{name}", bytes(sealed))

    await put(first, b"whole")
    await put(f"{second}.partial", b"half")
    await asyncio.to_thread(fetch_log, store, "7", key, folder, [first, f"{second}.partial"], no_progress)
    await put(second, b"whole by now")
    before = (folder / first).stat().st_ino
    await asyncio.to_thread(fetch_log, store, "7", key, folder, [first, second], no_progress)
    assert ((folder / first).stat().st_ino, (folder / second).read_bytes()) == (before, b"whole by now")
    assert folder.stat().st_mode & 0o777 == 0o700


async def test_an_unreachable_place_is_reported(tmp_path: Path) -> None:
    (tmp_path / "sets").write_text("in the way")
    store = opener(tmp_path.as_uri(), aws_endpoint_url=None)()
    with pytest.raises(ObjectsDown):
        await store.put("sets/a", b"")
    with pytest.raises(ObjectsDown):
        store.put_now("sets/a", b"")
