"""Signs everybody out, for an operator whose signing key or database was stolen."""

from redis.asyncio import Redis

from carteira.identity.config import IdentityConfig
from carteira.identity.sessions.service import end_all
from carteira.identity.sessions.standing import SessionStandings
from carteira.kit.db.engine import Database
from carteira.kit.security import audit
from carteira.kit.security.tokens import SigningKeys
from carteira.kit.values.actor import Actor

_PIECE = 5_000


async def sign_everybody_out(database: Database, redis: Redis | None, config: IdentityConfig) -> int:
    """End every session, in transactions of some thousand, and return how many there were.

    It takes effect at once in all server processes, like any change of rights. Sign-ins meanwhile may survive.
    """
    access = SessionStandings(SigningKeys(config.signing_key, create=config.development), database, redis, config)
    total, ended = 0, _PIECE
    while ended == _PIECE:
        async with database.transaction() as tx:
            ended = await end_all(tx, limit=_PIECE)
            access.changed_for_everyone(tx)
        total += ended
    async with database.transaction() as tx:
        await audit.record(tx, "everybody_signed_out", actor=Actor("command", "users sign-out"), sessions=total)
    return total
