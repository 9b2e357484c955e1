"""Rings of keys: several in one file, the last one active, and files of older releases."""

import multiprocessing
import secrets
from datetime import timedelta
from pathlib import Path

import pytest

from carteira.kit.ops.private_files import others_may
from carteira.kit.security.key_ring import KeyFileUnreadable, KeyRing
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


def test_a_former_key_leaves_once_what_it_sealed_is_over(tmp_path: Path) -> None:
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


@pytest.mark.parametrize("text", ["", "ab", "zz" * 32, "[1]", '[{"id": "a", "key": "AAAA", "created_at": "2026"}]'])
def test_what_is_no_ring_is_told_of(tmp_path: Path, text: str) -> None:
    path = tmp_path / "identity.key"
    path.write_text(text)
    with pytest.raises(KeyFileUnreadable):
        KeyRing(path).keys()


def _add(path: Path) -> None:
    KeyRing(path).add()


def test_of_many_who_add_a_key_at_once_none_loses_another_s(tmp_path: Path) -> None:
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
def test_who_else_may_touch_a_file(tmp_path: Path, mode: int, expected: str | None) -> None:
    path = tmp_path / "key"
    path.write_text("secret")
    path.chmod(mode)
    assert others_may(path) == expected
