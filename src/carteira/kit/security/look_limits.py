"""How many people one operator is shown in an hour: who goes through everybody page by page is stopped, not only found.

What is shown is counted after the answer was made, so that a page is whole and its reader waits with the next one.
"""

from dataclasses import dataclass
from uuid import UUID

from limits import RateLimitItemPerHour

from carteira.kit.security.rate_limits import Limiter, LimitReached, RateLimit


@dataclass(frozen=True, slots=True)
class LookLimit:
    """The limit, the same for every operator. Exports are outside: they are a claim of their own."""

    limiter: Limiter
    people_per_hour: int

    def _of(self, actor_id: UUID) -> RateLimit:
        return RateLimit.of(RateLimitItemPerHour(self.people_per_hour, namespace="carteira:looks"), actor_id)

    async def wait(self, actor_id: UUID) -> int | None:
        """Tell for how many seconds an operator is shown nobody more; None: they may go on."""
        try:
            await self.limiter.check(self._of(actor_id))
        except LimitReached as reached:
            return reached.retry_after_seconds
        return None

    async def count(self, actor_id: UUID, people: int) -> None:
        """Count whom an operator was shown."""
        await self.limiter.spend(self._of(actor_id), people)
