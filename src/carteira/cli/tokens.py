"""Tokens for operators at the command line. Development only."""

import time
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from carteira.demo_people import ADMINISTRATOR_ID
from carteira.settings import Settings

if TYPE_CHECKING:
    from carteira import identity

TTL = timedelta(hours=24)


def administrator(settings: Settings, claims: list[str], ttl: timedelta) -> str:
    """Sign a bearer token of the demo administrator with the claims named (`*` is every claim)."""
    return of_person(settings, ADMINISTRATOR_ID, claims, ttl)


def of_person(settings: Settings, user_id: UUID, claims: list[str], ttl: timedelta) -> str:
    """Sign a bearer token of a person with the claims named."""
    from carteira.app import access_key
    from carteira.kit.security import tokens

    return tokens.sign(
        access_key(settings),
        subject=str(user_id),
        ttl_seconds=int(ttl.total_seconds()),
        claims={"claims": claims},
    )


async def find(url: str, email: str) -> "identity.PersonView | None":
    """Find the person of an e-mail address or CPF, with the claims that they hold now."""
    from carteira import identity
    from carteira.kit.db.engine import open_database

    async with open_database(url) as database, database.transaction() as tx:
        return await identity.find_person(tx, email)


def processor(settings: Settings, ttl: timedelta) -> str:
    """Sign a card processor's token for the authorizer: HS256 with the first of `JWT_SECRET` and nothing but `exp`."""
    from joserfc import jwt
    from joserfc.jwk import OctKey

    key = OctKey.import_key(settings.jwt_secrets[0])
    return jwt.encode({"alg": "HS256"}, {"exp": int(time.time() + ttl.total_seconds())}, key, algorithms=["HS256"])
