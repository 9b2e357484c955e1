"""How many messages with codes may be asked for, so that nothing tells who is known.

What a client sees (429) goes by the name as it was typed, in its one spelling, and by the network: the same for names
that nobody has. How many a person gets goes by the person, whatever the names, and is not told: who asks by the e-mail
address and then by the CPF must not learn that both are one person's.
"""

from uuid import UUID

from carteira.identity.runtime import Runtime
from carteira.identity.sessions.service import Client
from carteira.identity.users.login import normal_name
from carteira.kit.security.rate_limits import PER_ADDRESS, PER_RECOVERY, PER_RECOVERY_DAY, RateLimit, network
from carteira.kit.web.problems import TooManyRequests


def stranger(runtime: Runtime, name: str) -> UUID:
    """Return whom what is done with a name that nobody has is counted for."""
    return UUID(bytes=runtime.strangers(normal_name(name))[:16])


async def may_be_sent(runtime: Runtime, purpose: str, name: str, user_id: UUID | None, client: Client) -> bool:
    """Count a request for a message, and return whether the person gets one still.

    Raises:
        LimitReached, TooManyRequests: too many were asked for by that name or from that address.
    """
    told = [
        RateLimit.of(PER_RECOVERY, purpose, normal_name(name)),
        RateLimit.of(PER_RECOVERY_DAY, purpose, normal_name(name)),
        RateLimit.of(PER_ADDRESS, "recovery", network(client.address)),
    ]
    await runtime.limiter.check(*told)
    if not await runtime.limiter.count(*told):
        raise TooManyRequests(60)
    who = user_id or stranger(runtime, name)
    return await runtime.limiter.count(
        RateLimit.of(PER_RECOVERY, purpose, "person", who), RateLimit.of(PER_RECOVERY_DAY, purpose, "person", who)
    )
