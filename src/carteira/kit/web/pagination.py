"""Lists by cursor: `?limit=` (1 to 100, 20) and `?cursor=`, answered as `{"items": […], "next_cursor": …}`."""

import base64
import binascii
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel

from carteira.kit.web.problems import InvalidInput

T = TypeVar("T")
MAX_LIMIT = 100
DEFAULT_LIMIT = 20

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Itens por página")]
Cursor = Annotated[str | None, Query(max_length=300, description="`next_cursor` da página anterior")]


class Page(BaseModel, Generic[T]):
    """One page of a list."""

    items: list[T]
    next_cursor: str | None = None


def encode_cursor(*parts: object) -> str:
    """Pack the sort key of a page's last row into an opaque text."""
    return base64.urlsafe_b64encode("|".join(map(str, parts)).encode()).decode().rstrip("=")


def instant(text: str) -> datetime:
    """Read an instant out of a cursor; the database takes aware ones only.

    Raises:
        ValueError: not an instant, or one without an offset.
        OverflowError: out of the calendar in UTC.
    """
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError("an instant has an offset")
    return at.astimezone(UTC)


def whole(text: str) -> int:
    """Read a whole number out of a cursor, as large as a BIGINT at most.

    Raises:
        ValueError: not a number, or too large.
    """
    number = int(text)
    if not -(2**63) <= number < 2**63:
        raise ValueError("too large")
    return number


def decode_cursor(cursor: str | None, *kinds: Callable[[str], object]) -> list[object] | None:
    """Unpack a cursor into its parts, each read by its kind (`whole`, `instant`, `UUID`, …).

    Raises:
        InvalidInput: not a cursor of this list.
    """
    if cursor is None:
        return None
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        return [kind(part) for kind, part in zip(kinds, text.split("|"), strict=True)]
    except (ValueError, binascii.Error, OverflowError) as error:
        raise InvalidInput(errors=[{"field": "cursor", "message": "Cursor inválido."}]) from error


def page(rows: Sequence[T], limit: int, key: Callable[[T], tuple[object, ...]]) -> tuple[list[T], str | None]:
    """Cut `limit + 1` fetched rows into a page and the cursor of the next one, if there is more."""
    items = list(rows[:limit])
    return items, encode_cursor(*key(items[-1])) if len(rows) > limit else None
