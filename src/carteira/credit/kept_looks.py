"""Looks of the credit desk, kept for some minutes, so that reading the page again is no second look.

Redis holds each one sealed for its maker, under an id; nobody else can open it. Where Redis is away, nothing is kept,
and the answer is shown once.
"""

from datetime import datetime, timedelta
from uuid import UUID

from pydantic import BaseModel
from redis.asyncio import Redis

from carteira.credit.schemas import ProfileOut, Purpose, ScoreOut
from carteira.kit.outbound.redis import PatientRedis
from carteira.kit.security.sealing import Sealer
from carteira.kit.values.ids import uuid7
from carteira.kit.web.access import Principal
from carteira.kit.web.state import StateKey

KEPT_FOR = timedelta(minutes=15)
_PATIENCE_SECONDS, _AWAY_SECONDS = 0.5, 1.0


class CreditSeen(BaseModel):
    """The content of a look: a CPF's bases, and the score with its reasons, or why there is none."""

    masked: str
    purpose: Purpose
    at: datetime
    profile: ProfileOut
    score: ScoreOut | None
    no_score: str


class KeptLooks:
    """The kept looks, over the process's Redis."""

    def __init__(self, redis: Redis | None) -> None:
        self._redis = PatientRedis(
            redis, "credit looks", patience_seconds=_PATIENCE_SECONDS, away_seconds=_AWAY_SECONDS
        )

    async def keep(self, sealer: Sealer, who: Principal, seen: CreditSeen) -> UUID | None:
        """Keep a look for its maker; return its id, or None where Redis is away."""
        look_id = uuid7()
        sealed = sealer.seal(who.user_id, seen.model_dump_json().encode())
        kept = await self._redis.ask(lambda redis: redis.set(_key(look_id), sealed, ex=KEPT_FOR))
        return look_id if kept else None

    async def find(self, sealer: Sealer, who: Principal, look_id: UUID) -> CreditSeen | None:
        """Return a kept look to its maker; None: there is none any more, it is another's, or Redis is away."""
        sealed = await self._redis.ask(lambda redis: redis.get(_key(look_id)))
        if not isinstance(sealed, bytes):
            return None
        try:
            return CreditSeen.model_validate_json(sealer.open(who.user_id, sealed))
        except ValueError:  # another's, or of another release
            return None


def _key(look_id: UUID) -> str:
    return f"credit-look:{look_id}"


KEPT_LOOKS = StateKey[KeptLooks]("credit_looks")
"""The process's kept looks."""
