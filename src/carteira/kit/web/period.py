"""`?from=` and `?to=` of lists and statements: the period.

Each is an instant (RFC 3339) or a day of São Paulo (`YYYY-MM-DD`). `from` is inclusive; `to` includes the whole of a
day, and excludes an instant.
"""

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Annotated, Any

from fastapi import Depends, Query
from pydantic import BeforeValidator, WithJsonSchema

from carteira.kit.values.clock import SAO_PAULO
from carteira.kit.values.days import Instant, parse_day
from carteira.kit.values.texts import trim
from carteira.kit.web.problems import InvalidInput

_DAY_LENGTH = len("YYYY-MM-DD")
_SCHEMA: dict[str, Any] = {"anyOf": [{"type": "string", "format": "date"}, {"type": "string", "format": "date-time"}]}


@dataclass(frozen=True, slots=True)
class Period:
    """Instants from `since` on and before `until`; None: no bound."""

    since: datetime | None = None
    until: datetime | None = None


def _begin(value: object) -> object:
    """Replace a day by its first instant; anything else is left to the parser of instants."""
    return _midnight(value, timedelta()) if _is_day(value) else value


def _end(value: object) -> object:
    return _midnight(value, timedelta(days=1)) if _is_day(value) else value


def _is_day(value: object) -> bool:
    return isinstance(value, str) and len(trim(value)) == _DAY_LENGTH


def _midnight(value: object, later: timedelta) -> datetime:
    try:
        day = parse_day(str(value)) + later
    except OverflowError as error:
        raise ValueError("out of the calendar") from error
    return datetime.combine(day, time(), SAO_PAULO)


From = Annotated[
    Annotated[Instant, BeforeValidator(_begin), WithJsonSchema(_SCHEMA)] | None,
    Query(alias="from", description="Desde este dia (de São Paulo) ou instante RFC 3339", examples=["2026-10-01"]),
]
To = Annotated[
    Annotated[Instant, BeforeValidator(_end), WithJsonSchema(_SCHEMA)] | None,
    Query(
        alias="to",
        description="Até este dia (de São Paulo), inclusive, ou antes deste instante RFC 3339",
        examples=["2026-10-31"],
    ),
]


async def period_of(since: From = None, until: To = None) -> Period:
    """Return the requested period.

    Raises:
        InvalidInput: it ends before it begins.
    """
    if since is not None and until is not None and until < since:
        raise InvalidInput(errors=[{"field": "to", "message": "O período termina antes de começar."}])
    return Period(since, until)


PeriodDep = Annotated[Period, Depends(period_of)]
"""A parameter for routes whose query filters by time itself; `page_of` does so for all other lists."""
