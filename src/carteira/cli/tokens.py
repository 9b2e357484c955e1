"""Tokens for operators at the command line. Development only."""

import time
from datetime import timedelta

from joserfc import jwt
from joserfc.jwk import OctKey

from carteira import demo
from carteira.app import access_key
from carteira.kit.security import tokens
from carteira.settings import Settings

TTL = timedelta(hours=24)


def administrator(settings: Settings, claims: list[str], ttl: timedelta) -> str:
    """Sign a bearer token of the demo administrator with the claims named (`*` is every claim)."""
    return tokens.sign(
        access_key(settings),
        subject=str(demo.ADMINISTRATOR_ID),
        ttl_seconds=int(ttl.total_seconds()),
        claims={"claims": claims},
    )


def processor(settings: Settings, ttl: timedelta) -> str:
    """Sign a card processor's token for the authorizer: HS256 with `JWT_SECRET` and nothing but `exp`."""
    key = OctKey.import_key(settings.jwt_secret.get_secret_value())
    return jwt.encode({"alg": "HS256"}, {"exp": int(time.time() + ttl.total_seconds())}, key, algorithms=["HS256"])
