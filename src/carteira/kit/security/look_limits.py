"""The hourly limit of people that one operator is shown: paging through everybody is stopped, not only recorded.

People are counted after the answer was made: a page is never cut short, but its reader waits before the next one.
"""

from dataclasses import dataclass
from uuid import UUID

from limits import RateLimitItemPerHour

from carteira.kit.security.rate_limits import Limiter, LimitReached, RateLimit


@dataclass(frozen=True, slots=True)
class LookLimit:
    """The limit, the same for every operator. Exports do not count: they have a claim of their own."""

    limiter: Limiter
    people_per_hour: int

    def _of(self, actor_id: UUID) -> RateLimit:
        return RateLimit.of(RateLimitItemPerHour(self.people_per_hour, namespace="carteira:looks"), actor_id)

    async def wait(self, actor_id: UUID) -> int | None:
        """Return the seconds for which an operator may see nobody more; None: the limit is not reached."""
        try:
            await self.limiter.check(self._of(actor_id))
        except LimitReached as reached:
            return reached.retry_after_seconds
        return None

    async def count(self, actor_id: UUID, people: int) -> None:
        """Count the people that an operator was shown."""
        await self.limiter.spend(self._of(actor_id), people)
