"""Lists by cursor: `?limit=` (1 to 100, 20) and `?cursor=`, answered as `{"items": […], "next_cursor": …}`.

A list declares its sort key once, as a `CursorOf` beside its query. A route takes the request with `asked:
PageRequest[Key] = page_of(CURSOR)`, reads `asked.limit + 1` rows after `asked.after`, and answers `asked.page(…)`.

A list that is sorted by time also takes `?from=` and `?to=` without any change to its query: the list begins at the key
of one instant, and `asked.page(…)` ends it where keys pass the other.
"""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import takewhile
from typing import Annotated, Any, Generic, TypeVar, get_args, get_origin, get_type_hints
from uuid import UUID

from fastapi import Depends, Query
from pydantic import BaseModel, Field, StringConstraints, TypeAdapter, WithJsonSchema

from carteira.kit.values.days import Day, Instant
from carteira.kit.values.ids import first_uuid7
from carteira.kit.web.period import Period, PeriodDep
from carteira.kit.web.problems import InvalidInput

T = TypeVar("T")
K = TypeVar("K")
Shown = TypeVar("Shown")
MAX_LIMIT = 100
DEFAULT_LIMIT = 20
MAX_CURSOR = 300

BigInt = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Integer = Annotated[int, Field(ge=-(2**31), lt=2**31)]
SmallInt = Annotated[int, Field(ge=-(2**15), lt=2**15)]
_Text = Annotated[str, StringConstraints(min_length=1, pattern=r"^[^\x00]*$")]

_KINDS: dict[Any, Any] = {int: BigInt, datetime: Instant, str: _Text, date: Day, UUID: UUID}
"""The parser of each plain type, which accepts only values that the database accepts."""
_NAMES = {int: "number", datetime: "instant", get_args(Instant)[0]: "instant", str: "text", date: "day", UUID: "id"}
"""The names of plain types in a cursor's format."""


class Page(BaseModel, Generic[T]):
    """One page of a list."""

    items: list[T]
    next_cursor: str | None = None

    def map(self, show: Callable[[T], Shown]) -> "Page[Shown]":
        """Return the page with `show` applied to each item."""
        return Page(items=[show(item) for item in self.items], next_cursor=self.next_cursor)


class CursorOf(Generic[K]):
    """Reads the sort key of a list out of a cursor.

    The key is one value (`CursorOf(UUID)`), or a NamedTuple whose fields are the parts of the key. A plain type has the
    range of its widest column; a narrower column names its kind (`SmallInt`, `Integer`).

    Where the list is sorted by time, `at` returns the least key of an instant: exactly the earlier rows sort below it.
    """

    def __init__(self, key: type[K], *, at: Callable[[datetime], K] | None = None) -> None:
        self.at = at
        self._make: Callable[..., K] = key if issubclass(key, tuple) else lambda value: value
        kinds = get_type_hints(key, include_extras=True).values() if issubclass(key, tuple) else [key]
        self._readers: list[TypeAdapter[Any]] = [TypeAdapter(_safe(kind)) for kind in kinds]
        self.format = "-".join(["cursor", *(_NAMES[_plain(kind)] for kind in kinds)])

    @property
    def schema(self) -> dict[str, Any]:
        """The cursor's schema in the OpenAPI document, which says what cursors hold, for generated tests."""
        # `read` checks the length, so that each wrong cursor gets the same answer.
        return {"type": "string", "maxLength": MAX_CURSOR, "format": self.format}

    def read(self, text: str) -> K:
        """Return the key that a cursor holds.

        Raises:
            InvalidInput: not a cursor of this list.
        """
        try:
            parts = zip(self._readers, _unpack(text), strict=True)
            return self._make(*(reader.validate_python(part) for reader, part in parts))
        except ValueError as error:
            raise InvalidInput(errors=[{"field": "cursor", "message": "Cursor inválido."}]) from error


def _unpack(text: str) -> list[str]:
    if len(text) > MAX_CURSOR:
        raise ValueError("too long")
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode().split("|")


def _plain(kind: Any) -> Any:  # noqa: ANN401 - a type, or an annotated one
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _safe(kind: Any) -> Any:  # noqa: ANN401 - a type, or an annotated one
    if kind not in _KINDS and get_origin(kind) is not Annotated:
        raise TypeError(f"a cursor holds no {kind}")
    return _KINDS.get(kind, kind)


@dataclass(frozen=True, slots=True)
class PageRequest(Generic[K]):
    """The requested page of a list: up to `limit` items that follow the key `after`; None is the first page.

    `within` returns whether a key lies within the requested period. `turned` asks for the list the other way round.
    """

    limit: int
    after: K | None = None
    within: Callable[[K], bool] | None = None
    turned: bool = False

    def page(self, rows: Sequence[T], key: Callable[[T], K]) -> Page[T]:
        """Cut up to `limit + 1` fetched rows into a page; it has a `next_cursor` if there is more."""
        within = self.within
        found = rows if within is None else list(takewhile(lambda row: within(key(row)), rows))
        items = list(found[: self.limit])
        return Page(items=items, next_cursor=write_cursor(key(items[-1])) if len(found) > self.limit else None)


def write_cursor(key: object) -> str:
    """Return a sort key as an opaque text, which the list's `CursorOf` reads."""
    parts = key if isinstance(key, tuple) else (key,)
    return base64.urlsafe_b64encode("|".join(map(str, parts)).encode()).decode().rstrip("=")


BY_ID = CursorOf(UUID, at=lambda instant: first_uuid7(instant.timestamp()))
"""The cursor of lists that are sorted by id, and so by time of creation."""

_Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Itens por página")]


def page_of(cursor: CursorOf[K], *, oldest_first: bool = False, dated: bool = True) -> PageRequest[K]:
    """Return the default of a route's `PageRequest` parameter; mypy compares the types of both keys.

    A list whose cursor holds a time also takes `from` and `to`, unless that time means nothing to a reader
    (`dated=False`). The newest come first by default.
    """
    query = Query(alias="cursor", description="`next_cursor` da página anterior; não se monta outro")
    kind = Annotated[Annotated[str, WithJsonSchema(cursor.schema)] | None, query]

    # Coroutines, since FastAPI runs plain functions in a thread.
    async def asked(limit: _Limit = DEFAULT_LIMIT, text: kind = None) -> PageRequest[K]:
        return PageRequest(limit, None if text is None else cursor.read(text))

    async def asked_within(
        period: PeriodDep,
        limit: _Limit = DEFAULT_LIMIT,
        text: kind = None,
    ) -> PageRequest[K]:
        after = None if text is None else cursor.read(text)
        return page_within(cursor, period, limit, after, oldest_first=oldest_first)

    dependency: PageRequest[K] = Depends(asked_within if dated and cursor.at is not None else asked)
    return dependency


def page_within(
    cursor: CursorOf[K], period: Period, limit: int, after: K | None, *, oldest_first: bool
) -> PageRequest[K]:
    """Begin a list at one end of a period, and end it at the other."""
    assert cursor.at is not None, "the list is sorted by time"
    since, until = (None if instant is None else cursor.at(instant) for instant in (period.since, period.until))
    begin, end = (since, until) if oldest_first else (until, since)
    if begin is not None and (after is None or _sorts_below(after, begin) is oldest_first):
        after = begin
    if end is None:
        return PageRequest(limit, after)
    return PageRequest(limit, after, lambda key: _sorts_below(key, end) is oldest_first)


def _sorts_below(key: K, other: K) -> bool:
    return key < other  # type: ignore[operator, no-any-return] # keys are numbers, texts, instants, ids, or tuples of them
