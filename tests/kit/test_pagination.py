import base64
from datetime import UTC, date, datetime
from typing import NamedTuple
from uuid import UUID, uuid4

import pytest
from fastapi import APIRouter
from hypothesis import example, given
from hypothesis import strategies as st

from carteira.kit.web.access import public
from carteira.kit.web.pagination import (
    BY_ID,
    CursorOf,
    Integer,
    Page,
    PageRequest,
    SmallInt,
    page_of,
    write_cursor,
)
from carteira.kit.web.problems import InvalidInput
from tests.support.client import client_of
from tests.support.kit_app import application

router = APIRouter()
NUMBERS = CursorOf(int)


class Line(NamedTuple):
    at: datetime
    seq: int
    id: UUID
    line: SmallInt


class Labelled(NamedTuple):
    day: date
    number: Integer
    label: str


LINES = CursorOf(Line)
LABELLED = CursorOf(Labelled)


@router.get("/numbers", dependencies=[public("a test")])
async def numbers(asked: PageRequest[int] = page_of(NUMBERS)) -> Page[int]:
    last = asked.after or 0
    return asked.page(range(last + 1, min(last + asked.limit + 2, 48)), lambda number: number)


@pytest.mark.parametrize(("limit", "pages"), [(None, 3), (1, 47), (46, 2), (47, 1), (100, 1)])
async def test_a_list_is_read_to_its_end(limit: int | None, pages: int) -> None:
    seen: list[int] = []
    cursor: str | None = None
    count = 0
    async with client_of(application(router)) as client:
        while True:
            query = {name: value for name, value in {"limit": limit, "cursor": cursor}.items() if value is not None}
            answer = (await client.get("/numbers", params=query)).json()
            seen, cursor, count = seen + answer["items"], answer["next_cursor"], count + 1
            if cursor is None:
                break
    assert (seen, count) == (list(range(1, 48)), pages)


def packed(*parts: str) -> str:
    return base64.urlsafe_b64encode("|".join(parts).encode()).decode()


@pytest.mark.parametrize(
    "query",
    [
        *({"limit": value} for value in ("0", "-1", "101", "1.5", "x", "", "9" * 30)),
        *({"cursor": value} for value in ("", "x", "é", "=", "====", "a" * 301, "/../", "\x00", "null", "-1")),
        *({"cursor": packed(*parts)} for parts in (["x"], [], [""], ["1", "2"], ["1.5"], ["9" * 20], ["9" * 5000])),
        *({"cursor": packed(part)} for part in ("-9223372036854775809", "9223372036854775808", "NaN")),
        {"cursor": base64.urlsafe_b64encode(b"\xff\xfe").decode()},
    ],
    ids=str,
)
async def test_rubbish_is_422(query: dict[str, str]) -> None:
    async with client_of(application(router)) as client:
        response = await client.get("/numbers", params=query)
    assert response.status_code == 422, response.text
    assert response.json()["errors"][0]["field"] in query


@given(st.datetimes(timezones=st.just(UTC)), st.integers(-(2**63), 2**63 - 1), st.uuids(), st.integers(0, 2**15 - 1))
def test_a_cursor_comes_back(at: datetime, number: int, identifier: UUID, line: int) -> None:
    key = Line(at, number, identifier, line)
    assert LINES.read(write_cursor(key)) == key
    assert LINES.read(packed(at.isoformat(), str(number), str(identifier), str(line))) == key
    assert BY_ID.read(write_cursor(identifier)) == identifier


@given(st.dates(), st.integers(-(2**31), 2**31 - 1), st.from_regex(r"[^|\x00]{1,30}", fullmatch=True))
def test_a_cursor_of_a_day_and_a_text_comes_back(day: date, number: int, label: str) -> None:
    key = Labelled(day, number, label)
    assert LABELLED.read(write_cursor(key)) == key


@given(st.text(max_size=60))
@example(packed("2026-01-01T00:00:00", "1", str(uuid4()), "1"))
@example(packed("0001-01-01T00:00:00+14:00", "1", str(uuid4()), "1"))
@example(packed("9999-12-31T23:59:59-14:00", "1", str(uuid4()), "1"))
@example(packed("2026-01-01T00:00:00Z", "1", str(uuid4()), str(2**15)))
@example(packed("2026-01-01T00:00:00Z", str(2**63), str(uuid4()), "1"))
def test_invalid_cursors_are_invalid_input(text: str) -> None:
    with pytest.raises(InvalidInput):
        LINES.read(text)


@pytest.mark.parametrize(
    "parts",
    [("2026-13-01", "1", "a"), ("2026-01-01", str(2**31), "a"), ("2026-01-01", "1", ""), ("2026-01-01", "1", "a\x00")],
)
def test_each_part_has_its_columns_type(parts: tuple[str, ...]) -> None:
    with pytest.raises(InvalidInput):
        LABELLED.read(packed(*parts))


def test_unsupported_column_types_are_no_keys() -> None:
    with pytest.raises(TypeError):
        CursorOf(bytes)
