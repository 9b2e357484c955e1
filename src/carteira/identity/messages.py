"""Limits on messages with codes, which do not disclose who has an account.

The limit that a client sees (429) counts by the typed name, normalised, and by the network: unknown names are treated
alike. A second limit counts by the person, whatever the names, and is not reported: requests by the e-mail address and
then by the CPF must not disclose that both are one person's.
"""

from uuid import UUID

from carteira.identity.runtime import Runtime
from carteira.identity.sessions.service import Client
from carteira.identity.users.login import normal_name
from carteira.kit.security.rate_limits import PER_ADDRESS, PER_RECOVERY, PER_RECOVERY_DAY, RateLimit, network
from carteira.kit.web.problems import TooManyRequests


def stranger(runtime: Runtime, name: str) -> UUID:
    """Return the pseudonym under which requests for an unknown name are counted."""
    return UUID(bytes=runtime.strangers(normal_name(name))[:16])


async def may_be_sent(runtime: Runtime, purpose: str, name: str, user_id: UUID | None, client: Client) -> bool:
    """Count a request for a message, and return whether the person still gets one.

    Raises:
        LimitReached, TooManyRequests: there were too many requests for that name or from that address.
    """
    limits = [
        RateLimit.of(PER_RECOVERY, purpose, normal_name(name)),
        RateLimit.of(PER_RECOVERY_DAY, purpose, normal_name(name)),
        RateLimit.of(PER_ADDRESS, "recovery", network(client.address)),
    ]
    await runtime.limiter.check(*limits)
    if not await runtime.limiter.count(*limits):
        raise TooManyRequests(60)
    who = user_id or stranger(runtime, name)
    return await runtime.limiter.count(
        RateLimit.of(PER_RECOVERY, purpose, "person", who), RateLimit.of(PER_RECOVERY_DAY, purpose, "person", who)
    )
