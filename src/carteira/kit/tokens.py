"""Bearer tokens of people and operators: Ed25519 JWTs under an own audience (RFC 7519, RFC 9864).

The card processor's HS256 tokens are another kind (`benefits`): neither side accepts the other's.
"""

import os
import time
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from carteira.kit.problems import NotAuthenticated

ALGORITHM = "Ed25519"
AUDIENCE = "carteira"
ISSUER = "carteira"


def load_or_create_key(path: Path) -> OKPKey:
    """Read the signing key from a PEM file; make one, readable by its owner only, if there is none."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return OKPKey.import_key(path.read_bytes())
    with os.fdopen(descriptor, "wb") as file:
        file.write(OKPKey.generate_key("Ed25519").as_pem(private=True))
    return OKPKey.import_key(path.read_bytes())


def sign(key: OKPKey, *, subject: str, ttl_seconds: int, claims: dict[str, Any]) -> str:
    """Sign an access token for a subject, good for `ttl_seconds` from now."""
    now = int(time.time())
    content = {"iss": ISSUER, "aud": AUDIENCE, "sub": subject, "iat": now, "exp": now + ttl_seconds}
    return jwt.encode({"alg": ALGORITHM, "typ": "at+jwt"}, content | claims, key, algorithms=[ALGORITHM])


def verify(key: OKPKey, token: str) -> dict[str, Any]:
    """Give an access token's content.

    Raises:
        NotAuthenticated: wrong algorithm, signature, issuer or audience, or expired.
    """
    registry = jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": ISSUER},
        aud={"essential": True, "value": AUDIENCE},
        sub={"essential": True},
        exp={"essential": True},
    )
    try:
        decoded = jwt.decode(token, key, algorithms=[ALGORITHM])
        registry.validate(decoded.claims)
    except (JoseError, ValueError, TypeError) as error:
        raise NotAuthenticated("Sua sessão não é válida ou expirou. Entre de novo.") from error
    return decoded.claims
