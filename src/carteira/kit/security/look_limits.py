"""The hourly limit of people that one operator is shown: paging through everybody is stopped, not only recorded.

People are counted after the answer was made: a page is never cut short, and its reader waits before the next.
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
        """Return for how many seconds an operator is shown nobody more; None: they may go on."""
        try:
            await self.limiter.check(self._of(actor_id))
        except LimitReached as reached:
            return reached.retry_after_seconds
        return None

    async def count(self, actor_id: UUID, people: int) -> None:
        """Count the people that an operator was shown."""
        await self.limiter.spend(self._of(actor_id), people)
