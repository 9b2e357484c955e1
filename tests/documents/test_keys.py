from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from carteira.documents import MasterKeyRing, links
from carteira.documents.errors import FileDamaged, LinkRefused
from carteira.documents.keys import MasterKeyMissing
from carteira.documents.sealing import FileSealer, new_data_key
from carteira.kit.security.key_ring import KeyFileUnreadable
from carteira.kit.values.clock import clock


@pytest.fixture
def ring(tmp_path: Path) -> MasterKeyRing:
    made = MasterKeyRing(tmp_path / "keys" / "documents.json", create=True)
    made.keys()
    return made


def test_a_key_is_wrapped_for_one_context(ring: MasterKeyRing) -> None:
    key_id, wrapped = ring.wrap(b"k" * 32, b"here")
    assert ring.unwrap(key_id, wrapped, b"here") == b"k" * 32
    assert b"k" * 32 not in wrapped
    with pytest.raises(FileDamaged):
        ring.unwrap(key_id, wrapped, b"there")
    with pytest.raises(FileDamaged):
        ring.unwrap(key_id, wrapped[:5], b"here")
    with pytest.raises(MasterKeyMissing):
        ring.unwrap("other", wrapped, b"here")


def test_the_key_file_is_its_owners_alone_and_is_made_once(ring: MasterKeyRing) -> None:
    assert ring.path.stat().st_mode & 0o777 == 0o600
    assert MasterKeyRing(ring.path, create=True).active == ring.active
    assert list(ring.path.parent.iterdir()) == [ring.path]


def test_a_running_process_sees_a_new_key(ring: MasterKeyRing) -> None:
    other = MasterKeyRing(ring.path, create=False)
    fresh = other.add()
    assert ring.active == fresh
    assert len(ring.keys()) == 2


def test_a_replaced_key_leaves_after_a_day_if_nothing_is_wrapped_with_it(ring: MasterKeyRing) -> None:
    old = ring.active.id
    ring.add()
    assert ring.retire(frozenset()) == []
    clock.advance(timedelta(days=1, minutes=1))
    assert ring.retire(frozenset({old})) == []
    assert ring.retire(frozenset()) == [old]
    assert len(ring.keys()) == 1


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '[{"id":"a"}]', '[{"id":"a","key":"AA==","created_at":"2026-11-22"}]']
)
def test_a_file_that_holds_no_keys_is_reported(tmp_path: Path, text: str) -> None:
    path = tmp_path / "documents.json"
    path.write_text(text)
    with pytest.raises(KeyFileUnreadable):
        MasterKeyRing(path).keys()


def test_a_missing_key_file_is_not_created(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        MasterKeyRing(tmp_path / "documents.json").keys()


def test_segments_cannot_be_changed_moved_cut_off_or_swapped() -> None:
    document, version = uuid4(), uuid4()
    sealer = FileSealer(document, version, new_data_key())
    sealed = sealer.seal(0, b"clear", last=False)
    assert sealer.open(0, sealed, last=False) == b"clear"
    with pytest.raises(FileDamaged):
        sealer.open(1, sealed, last=False)
    with pytest.raises(FileDamaged):
        sealer.open(0, sealed, last=True)
    with pytest.raises(FileDamaged):
        sealer.open(0, sealed[:-1] + bytes([sealed[-1] ^ 1]), last=False)
    for other in (FileSealer(uuid4(), version, sealer.key), FileSealer(document, uuid4(), sealer.key)):
        with pytest.raises(FileDamaged):
            other.open(0, sealed, last=False)


def test_a_link_is_good_for_its_purpose_and_its_time(ring: MasterKeyRing) -> None:
    ids = [uuid4(), uuid4()]
    token, expires_at = links.sign(ring, "proof", *ids)
    assert links.read(ring, "proof", token) == ids
    ring.add()
    assert links.read(ring, "proof", token) == ids
    with pytest.raises(LinkRefused):
        links.read(ring, "file", token)
    clock.set(expires_at)
    with pytest.raises(LinkRefused):
        links.read(ring, "proof", token)


@pytest.mark.parametrize("token", ["", ".", "a.b", "é.é", "====", "e30.e30", "\x00"])
def test_rubbish_is_no_link(ring: MasterKeyRing, token: str) -> None:
    with pytest.raises(LinkRefused):
        links.read(ring, "file", token)


def test_a_changed_link_is_refused(ring: MasterKeyRing) -> None:
    token, _ = links.sign(ring, "file", uuid4())
    for place in range(0, len(token) - 1, 7):
        changed = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
        with pytest.raises(LinkRefused):
            links.read(ring, "file", changed)
