"""One-time codes: what is sent, what is kept of it, and how long it may be tried."""

from collections.abc import Iterator
from hashlib import sha256
from uuid import UUID

import pytest

from carteira.kit.security import codes
from carteira.kit.security.codes import CodeMessage
from carteira.kit.values.clock import clock
from carteira.kit.values.ids import uuid7


@pytest.fixture(autouse=True)
def _clock() -> Iterator[None]:
    yield
    clock.run()


@pytest.mark.parametrize("digits", [6, 8])
def test_a_code_has_all_its_digits_and_matches_its_own_subject_only(digits: int) -> None:
    subject = uuid7()
    for _ in range(50):  # a tenth of all begin with a nought
        fresh = codes.new_code(subject, digits=digits)
        assert len(fresh.code) == digits
        assert fresh.code.isdecimal()
        assert codes.matches(fresh.code_hash, subject, fresh.code)
        assert not codes.matches(fresh.code_hash, uuid7(), fresh.code)
    assert not codes.matches(fresh.code_hash, subject, fresh.code[:-1])
    assert not codes.matches(fresh.code_hash, subject, "\udc80")
    assert not codes.matches(None, subject, fresh.code)
    assert not codes.matches(b"", subject, fresh.code)


def test_codes_that_were_sent_before_an_upgrade_go_on_being_good() -> None:
    subject = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
    stored = sha256(b"01890a5d-ac96-774b-bcce-b302099a8057:123456").digest()
    assert codes.matches(stored, subject, "123456")


def test_a_code_may_be_tried_five_times_within_ten_minutes() -> None:
    fresh = codes.new_code(uuid7())
    assert [codes.is_live(fresh.code_hash, fresh.expires_at, tries) for tries in (0, 4, 5)] == [True, True, False]
    clock.set(fresh.expires_at)
    assert not codes.is_live(fresh.code_hash, fresh.expires_at, 0)


def test_a_code_that_was_not_made_yet_cannot_be_tried() -> None:
    fresh = codes.new_code(uuid7())
    assert not codes.is_live(None, fresh.expires_at, 0)
    assert not codes.is_live(b"", fresh.expires_at, 0)
    assert not codes.is_live(fresh.code_hash, None, 0)


def test_a_message_tells_its_way_and_what_its_text_says_and_no_log_its_code() -> None:
    message = CodeMessage("maria@exemplo.com.br", "123456", {"name": "Maria"})
    assert message.is_email
    assert message.values == {"name": "Maria", "code": "123456", "minutes": 10}
    assert not CodeMessage("11987654321", "123456", {}).is_email
    assert "123456" not in repr(message)
    fresh = codes.new_code(uuid7())
    assert fresh.code not in repr(fresh)
