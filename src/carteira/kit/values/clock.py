"""The one clock. Instants are aware and in UTC; business days and months are those of São Paulo."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

SAO_PAULO = ZoneInfo("America/Sao_Paulo")


class Clock:
    """Returns the time; tests set it with `set` and move it with `advance`."""

    def __init__(self) -> None:
        self._set: datetime | None = None

    def now(self) -> datetime:
        """Return the present instant, aware, in UTC."""
        return self._set if self._set is not None else datetime.now(UTC)

    def today(self) -> date:
        """Return the present business day in São Paulo."""
        return business_day(self.now())

    def set(self, instant: datetime) -> None:
        """Stop the clock at an aware instant.

        Raises:
            ValueError: the instant is naive.
        """
        if instant.tzinfo is None:
            raise ValueError("the clock takes aware instants only")
        self._set = instant.astimezone(UTC)

    def advance(self, by: timedelta) -> None:
        """Move the clock on, stopping it if it ran."""
        self._set = self.now() + by

    def run(self) -> None:
        """Let the clock run again."""
        self._set = None


clock = Clock()


def business_day(instant: datetime) -> date:
    """Return the business day of São Paulo of an aware instant."""
    return instant.astimezone(SAO_PAULO).date()


def business_month(instant: datetime) -> date:
    """Return the first day of the business month of São Paulo of an aware instant."""
    return business_day(instant).replace(day=1)
