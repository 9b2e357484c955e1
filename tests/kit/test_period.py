"""`?from=` and `?to=`: what a day and an instant mean, and that the pages of a period have its rows once each."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import pytest
from fastapi import APIRouter
from hypothesis import given, settings
from hypothesis import strategies as st

from carteira.kit.values.days import Instant
from carteira.kit.values.ids import first_uuid7
from carteira.kit.web.access import public
from carteira.kit.web.pagination import BY_ID, CursorOf, Page, PageRequest, page_of
from carteira.kit.web.period import Period, PeriodDep
from tests.support.client import client_of
from tests.support.kit_app import application

router = APIRouter()
NOON = datetime(2026, 10, 15, 15, tzinfo=UTC)
ROWS = [NOON + timedelta(hours=hour) for hour in range(-30, 31)]


class Key(NamedTuple):
    at: Instant
    seq: int


TIMES = CursorOf(Key, at=lambda instant: Key(instant, -1))
PERIODS: list[Period] = []


@router.get("/periods", dependencies=[public("a test")])
async def periods(period: PeriodDep) -> None:
    PERIODS.append(period)


@router.get("/newest", dependencies=[public("a test")])
async def newest(asked: PageRequest[Key] = page_of(TIMES)) -> Page[datetime]:
    keys = [Key(at, seq) for seq, at in enumerate(ROWS)]
    rows = [key for key in reversed(keys) if asked.after is None or key < asked.after]
    return asked.page(rows[: asked.limit + 1], lambda key: key).map(lambda key: key.at)


@router.get("/oldest", dependencies=[public("a test")])
async def oldest(asked: PageRequest[UUID] = page_of(BY_ID, oldest_first=True)) -> Page[UUID]:
    ids = [UUID(int=first_uuid7(at.timestamp()).int + 7) for at in ROWS]
    rows = [made for made in ids if asked.after is None or made > asked.after]
    return asked.page(rows[: asked.limit + 1], lambda made: made)


@pytest.mark.parametrize(
    ("query", "period"),
    [
        ("", Period()),
        ("from=2026-10-01", Period(since=datetime(2026, 10, 1, 3, tzinfo=UTC))),
        ("to=2026-10-31", Period(until=datetime(2026, 11, 1, 3, tzinfo=UTC))),
        ("to=2018-11-03", Period(until=datetime(2018, 11, 4, 3, tzinfo=UTC))),  # a day whose midnight did not exist
        ("from=2026-10-01T12:00:00-03:00", Period(since=datetime(2026, 10, 1, 15, tzinfo=UTC))),
        ("to=2026-10-01T12:00:00Z", Period(until=datetime(2026, 10, 1, 12, tzinfo=UTC))),
    ],
)
async def test_a_day_is_sao_paulos_and_an_instant_itself(query: str, period: Period) -> None:
    async with client_of(application(router)) as client:
        assert (await client.get(f"/periods?{query}")).status_code == 200
    assert PERIODS.pop() == period


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("from=ontem", "from"),
        ("from=31/10/2026", "from"),
        ("from=2026-02-30", "from"),
        ("to=2026-10-01T12:00:00", "to"),
        ("to=9999-12-31", "to"),
        ("from=", "from"),
        ("from=2026-10-02&to=2026-09-30", "to"),
    ],
)
async def test_anything_else_is_422(query: str, field: str) -> None:
    async with client_of(application(router)) as client:
        answer = await client.get(f"/newest?{query}")
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]


async def walk(path: str, limit: int, **query: str) -> list[str]:
    seen: list[str] = []
    cursor: str | None = ""
    async with client_of(application(router)) as client:
        while cursor is not None:
            asked = query | {"limit": str(limit)} | ({"cursor": cursor} if cursor else {})
            page = (await client.get(path, params=asked)).raise_for_status().json()
            assert len(page["items"]) <= limit
            seen += page["items"]
            cursor = page["next_cursor"]
    return seen


@settings(deadline=None, max_examples=30)
@given(
    first=st.integers(-2, len(ROWS) + 1),
    length=st.integers(0, len(ROWS)),
    limit=st.integers(5, 30),
    late=st.integers(0, 1),
)
async def test_the_pages_of_a_period_hold_its_rows_once(first: int, length: int, limit: int, late: int) -> None:
    since = ROWS[0] + timedelta(hours=first, seconds=late)
    until = since + timedelta(hours=length)
    inside = [at for at in ROWS if since <= at < until]
    asked = {"from": since.isoformat(), "to": until.isoformat()}
    found = [datetime.fromisoformat(at) for at in await walk("/newest", limit, **asked)]
    assert found == inside[::-1]
    by_id = [
        datetime.fromtimestamp((UUID(made).int >> 80) / 1000, UTC) for made in await walk("/oldest", limit, **asked)
    ]
    assert by_id == inside


async def test_one_bound_alone_is_enough() -> None:
    noon = {"from": NOON.isoformat()}
    assert len(await walk("/newest", 10, **noon)) == len(await walk("/oldest", 10, **noon)) == 31
    noon = {"to": NOON.isoformat()}
    assert len(await walk("/newest", 10, **noon)) == len(await walk("/oldest", 10, **noon)) == 30
