"""Key rings: several keys in one file, the last one active, and files of older releases."""

import multiprocessing
import secrets
from datetime import timedelta
from pathlib import Path

import pytest

from carteira.kit.ops.private_files import others_may
from carteira.kit.security.key_ring import KeyFileUnreadable, KeyRing, KeyWaits
from carteira.kit.security.sealing import KeyedDigest, Sealer
from carteira.kit.values.clock import clock
from carteira.kit.values.ids import uuid7


def test_a_file_of_64_hex_digits_is_a_ring_of_one_that_grows(tmp_path: Path) -> None:
    path, key = tmp_path / "identity.key", secrets.token_bytes(32)
    path.write_text(key.hex() + "\n")
    ring, owner = Sealer(path), uuid7()
    sealed = ring.seal(owner, b"segredo")
    assert ring.active.key == key
    digest = KeyedDigest(ring, "use")
    before = digest("52998224725")
    fresh = ring.add()
    kept = Sealer(path).keys()
    assert [one.key for one in kept] == [key, fresh.key]
    assert ring.unseal(owner, sealed)[0] == b"segredo"
    assert ring.unseal(owner, ring.seal(owner, b"novo"))[1] == fresh
    assert digest("52998224725") != before
    assert digest.all("52998224725") == [digest("52998224725"), before]


def test_a_former_key_is_removed_once_its_sealed_data_have_expired(tmp_path: Path) -> None:
    ring = Sealer(tmp_path / "identity.key", create=True)
    former = ring.active
    ring.add()
    clock.advance(timedelta(days=30))
    assert ring.retire() == []
    clock.advance(timedelta(days=1, minutes=1))
    assert ring.retire() == [former.id]
    kept = ring.keys()
    assert former not in kept


def test_a_ring_is_made_only_where_that_is_meant(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "identity.key"
    with pytest.raises(FileNotFoundError):
        KeyRing(path).keys()
    assert not path.exists()
    assert KeyRing(path).make()
    content = path.read_bytes()
    assert not KeyRing(path).make()
    assert path.read_bytes() == content


def test_a_key_that_waits_opens_and_seals_once_it_is_rotated_to(tmp_path: Path) -> None:
    here, there = tmp_path / "here" / "identity.key", tmp_path / "there" / "identity.key"
    KeyRing(here).make()
    there.parent.mkdir()
    ring, other, owner = Sealer(here), Sealer(there), uuid7()
    former = ring.active
    waiting = ring.prepare()
    with pytest.raises(KeyWaits, match=waiting.id):
        ring.prepare()
    assert (ring.active, ring.waiting) == (former, waiting)
    there.write_bytes(here.read_bytes())
    assert ring.add().key == waiting.key
    assert [key.is_waiting for key in Sealer(here).keys()] == [False, False]  # noqa: SIM118 - a ring is no mapping
    assert other.open(owner, ring.seal(owner, b"here")) == b"here", "the other machine's file is not copied again yet"
    assert ring.open(owner, other.seal(owner, b"there")) == b"there"
    assert other.active == former


def test_a_key_that_waits_is_not_retired_and_does_not_age(tmp_path: Path) -> None:
    ring = Sealer(tmp_path / "identity.key", create=True)
    first = ring.active
    second = ring.add()
    waiting = ring.prepare()
    clock.advance(timedelta(days=32))
    assert ring.retire() == [first.id]
    kept = ring.keys()
    assert [key.id for key in kept] == [waiting.id, second.id]
    assert ring.add().created_at == clock.now()
    assert ring.retire() == [], "the file was replaced just now"


def test_while_a_file_is_written_over_the_keys_that_it_had_go_on(tmp_path: Path) -> None:
    path = tmp_path / "identity.key"
    ring = KeyRing(path, create=True)
    keys = ring.keys()
    whole = path.read_bytes()
    for part in (b"", whole[:40], b"[]"):
        path.write_bytes(part)
        assert ring.keys() == keys
        with pytest.raises(KeyFileUnreadable):
            ring.add()
        assert path.read_bytes() == part, "an unreadable file is not overwritten"
    path.write_bytes(whole)
    assert ring.add() == KeyRing(path).active


@pytest.mark.parametrize("text", ["", "ab", "zz" * 32, "[1]", '[{"id": "a", "key": "AAAA", "created_at": "2026"}]'])
def test_invalid_key_rings_are_reported(tmp_path: Path, text: str) -> None:
    path = tmp_path / "identity.key"
    path.write_text(text)
    with pytest.raises(KeyFileUnreadable):
        KeyRing(path).keys()


def _add(path: Path) -> None:
    KeyRing(path).add()


def test_concurrent_additions_of_keys_lose_none(tmp_path: Path) -> None:
    path = tmp_path / "identity.key"
    KeyRing(path).make()
    context = multiprocessing.get_context("spawn")
    adding = [context.Process(target=_add, args=(path,)) for _ in range(6)]
    for process in adding:
        process.start()
    for process in adding:
        process.join()
    assert [process.exitcode for process in adding] == [0] * 6
    assert len(KeyRing(path).keys()) == 7


@pytest.mark.parametrize(
    ("mode", "expected"), [(0o600, None), (0o440, None), (0o640, None), (0o604, "read"), (0o660, "write")]
)
def test_file_modes_show_the_access_of_others(tmp_path: Path, mode: int, expected: str | None) -> None:
    path = tmp_path / "key"
    path.write_text("secret")
    path.chmod(mode)
    assert others_may(path) == expected
