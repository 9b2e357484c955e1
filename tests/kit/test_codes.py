"""One-time codes: what is sent, what is stored, how long a code is valid, and how many guesses are allowed."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from carteira.kit.db.engine import Database
from carteira.kit.security import codes
from carteira.kit.security.codes import WRONG_A_DAY, Attempt, CodeMessage, KeptCode, OneTimeCode
from carteira.kit.values.clock import clock
from carteira.kit.values.ids import uuid7


def stored_code(fresh: OneTimeCode, bound_to: UUID, tries: int = 0) -> KeptCode:
    return KeptCode(bound_to, fresh.code_hash, fresh.expires_at, tries)


def other(code: str) -> str:
    return f"{(int(code) + 1) % 10 ** len(code):0{len(code)}}"


async def attempt(tx: AsyncSession, row: KeptCode, text: str, person: UUID) -> Attempt:
    return await codes.check_code(tx, row, text, person=person, purpose="test")


async def use_up(tx: AsyncSession, person: UUID) -> None:
    bound_to = uuid7()
    fresh = await codes.draw(tx, bound_to, person=person)
    for _ in range(WRONG_A_DAY):
        assert not (await attempt(tx, stored_code(fresh, bound_to), other(fresh.code), person)).is_right


async def test_a_code_has_eight_digits_and_is_right_for_its_own_request_only(tx: AsyncSession) -> None:
    bound_to, person = uuid7(), uuid7()
    fresh = await codes.draw(tx, bound_to, person=person)
    assert len(fresh.code) == 8
    assert fresh.code.isdecimal()
    assert await attempt(tx, stored_code(fresh, bound_to), fresh.code, person) == Attempt(is_right=True, tries=1)
    assert await attempt(tx, stored_code(fresh, uuid7()), fresh.code, person) == Attempt(is_right=False, tries=1)
    for wrong in (fresh.code[:-1], "\udc80", "", "x" * 80, other(fresh.code)):
        assert not (await attempt(tx, stored_code(fresh, bound_to), wrong, person)).is_right


@pytest.mark.parametrize(
    "form", ["{} {}", " {}{}\n", "{}-{}", "{}.{}", "{}\u00a0{}", "\u200b{}{}\ufeff", "{}\u2009{}", "{}–{}"]
)
async def test_a_code_is_read_as_people_paste_it(tx: AsyncSession, form: str) -> None:
    bound_to, person = uuid7(), uuid7()
    fresh = await codes.draw(tx, bound_to, person=person)
    pasted = form.format(fresh.code[:4], fresh.code[4:])
    assert (await attempt(tx, stored_code(fresh, bound_to), pasted, person)).is_right
    wide = fresh.code.translate({ord("0") + digit: chr(0xFF10 + digit) for digit in range(10)})
    assert (await attempt(tx, stored_code(fresh, bound_to), wide, person)).is_right


async def test_codes_that_were_sent_before_an_upgrade_go_on_being_good(tx: AsyncSession) -> None:
    bound_to = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
    stored = sha256(b"01890a5d-ac96-774b-bcce-b302099a8057:123456").digest()
    row = KeptCode(bound_to, stored, clock.now() + timedelta(minutes=1), 0)
    assert (await attempt(tx, row, "123456", uuid7())).is_right


async def test_a_code_may_be_tried_five_times_within_ten_minutes(tx: AsyncSession) -> None:
    bound_to, person = uuid7(), uuid7()
    fresh = await codes.draw(tx, bound_to, person=person)
    assert (await attempt(tx, stored_code(fresh, bound_to, tries=4), fresh.code, person)).is_right
    assert await attempt(tx, stored_code(fresh, bound_to, tries=5), fresh.code, person) == Attempt(
        is_right=False, tries=5
    )
    clock.set(fresh.expires_at)
    assert not (await attempt(tx, stored_code(fresh, bound_to), fresh.code, person)).is_right


@pytest.mark.parametrize("missing", [{"code_hash": None}, {"code_hash": b""}, {"expires_at": None}])
async def test_a_code_that_was_not_made_yet_cannot_be_tried(tx: AsyncSession, missing: dict[str, None]) -> None:
    bound_to, person = uuid7(), uuid7()
    fresh = await codes.draw(tx, bound_to, person=person)
    row = replace(stored_code(fresh, bound_to), **missing)  # type: ignore[arg-type] # a field of either
    assert not (await attempt(tx, row, fresh.code, person)).is_right


async def test_after_ten_wrong_ones_typed_codes_rest_and_a_link_lets_the_person_in(tx: AsyncSession) -> None:
    bound_to, person = uuid7(), uuid7()
    before = await codes.draw(tx, bound_to, person=person)
    await use_up(tx, person)
    assert not (await attempt(tx, stored_code(before, bound_to), before.code, person)).is_right, (
        "codes to be typed are paused"
    )
    link = await codes.draw(tx, bound_to, person=person)
    assert len(link.code) == 22
    for _ in range(20):
        assert not (await attempt(tx, stored_code(link, bound_to), "00000000", person)).is_right
        assert not (await attempt(tx, stored_code(link, bound_to), link.code[:-1] + "_", person)).tries
    assert (await attempt(tx, stored_code(link, bound_to, tries=5), link.code, person)).is_right, (
        "guesses use up none of its tries"
    )
    assert codes.is_typed((await codes.draw(tx, bound_to, person=uuid7())).code), "other people's codes still work"
    clock.advance(timedelta(days=1))
    assert codes.is_typed((await codes.draw(tx, bound_to, person=person)).code), "until the next day"


async def test_right_codes_use_nothing_up(tx: AsyncSession) -> None:
    bound_to, person = uuid7(), uuid7()
    for _ in range(WRONG_A_DAY + 2):
        fresh = await codes.draw(tx, bound_to, person=person)
        assert (await attempt(tx, stored_code(fresh, bound_to), fresh.code, person)).is_right


async def test_guesses_at_once_over_many_codes_are_ten_in_all(database: Database) -> None:
    person = uuid7()

    async def guess() -> int:
        """Guess at a code of its own request; return how many tries it took."""
        async with database.transaction() as tx:
            bound_to = uuid7()
            fresh = OneTimeCode("12345678", sha256(f"{bound_to}:12345678".encode()).digest(), clock.now() + codes.TTL)
            return (await attempt(tx, stored_code(fresh, bound_to), "00000000", person)).tries

    assert sum(await asyncio.gather(*(guess() for _ in range(30)))) == WRONG_A_DAY


async def test_old_counts_are_forgotten(tx: AsyncSession) -> None:
    person = uuid7()
    await use_up(tx, person)
    await codes.forget_old(tx)
    assert not codes.is_typed((await codes.draw(tx, uuid7(), person=person)).code), "today's stay"
    clock.advance(timedelta(days=3))
    await codes.forget_old(tx)
    clock.run()
    assert codes.is_typed((await codes.draw(tx, uuid7(), person=person)).code)


def test_a_message_has_its_channel_and_text_and_no_log_has_its_code() -> None:
    message = CodeMessage("maria@exemplo.com.br", "12345678", {"name": "Maria"})
    assert message.is_email
    assert message.values("https://x") == {"name": "Maria", "code": "12345678", "link": None, "minutes": 10}
    assert not CodeMessage("11987654321", "12345678", {}).is_email
    assert CodeMessage("11987654321", "aB-_" * 5, {}).link("https://x") == "https://x/auth/code?code=" + "aB-_" * 5
    assert "12345678" not in repr(message)
    assert "12345678" not in repr(OneTimeCode("12345678", b"", clock.now()))
