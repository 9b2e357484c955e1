import base64
from datetime import UTC, datetime
from typing import cast
from uuid import UUID, uuid4

import pytest
from fastapi import APIRouter
from hypothesis import example, given
from hypothesis import strategies as st

from carteira.kit.web.access import public
from carteira.kit.web.pagination import Cursor, Limit, Page, decode_cursor, encode_cursor, instant, page, whole
from carteira.kit.web.problems import InvalidInput
from tests.support.client import client_of
from tests.support.kit_app import application

router = APIRouter()


@router.get("/numbers", dependencies=[public("a test")])
async def numbers(limit: Limit = 20, cursor: Cursor = None) -> Page[int]:
    parts = decode_cursor(cursor, whole)
    last = cast("int", parts[0]) if parts else 0
    items, next_cursor = page(range(last + 1, min(last + limit + 2, 48)), limit, lambda number: (number,))
    return Page(items=items, next_cursor=next_cursor)


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


@given(st.datetimes(timezones=st.just(UTC)), st.integers(-(2**63), 2**63 - 1), st.uuids())
def test_a_cursor_comes_back(at: datetime, number: int, identifier: UUID) -> None:
    assert decode_cursor(encode_cursor(at, number, identifier), instant, whole, UUID) == [at, number, identifier]


@given(st.text(max_size=60))
@example(packed("2026-01-01T00:00:00", "1", str(uuid4())))
@example(packed("0001-01-01T00:00:00+14:00", "1", str(uuid4())))
@example(packed("9999-12-31T23:59:59-14:00", "1", str(uuid4())))
def test_what_is_no_cursor_is_invalid_input(text: str) -> None:
    with pytest.raises(InvalidInput):
        decode_cursor(text, instant, whole, UUID)


def test_no_cursor_is_the_first_page() -> None:
    assert decode_cursor(None, whole) is None
