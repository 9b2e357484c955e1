"""Bearer tokens of people and operators: Ed25519 JWTs under an own audience (RFC 7519, RFC 9864).

The card processor's HS256 tokens are another kind (`benefits`): neither side accepts the other's.
"""

import base64
import binascii
import hashlib
import os
import time
from pathlib import Path
from typing import Any

import orjson
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from carteira.kit.ops.private_files import create_private_file, replace_private_file

ALGORITHM = "Ed25519"
AUDIENCE = "carteira"
ISSUER = "carteira"
_RETIRED = ".retired.pem"
RETIRED_SECONDS = 25 * 3600
"""A retired key verifies for a little longer than the longest-lived token (a developer's, 24 hours) lives."""
_LOOK_SECONDS = 1.0
_REMEMBERED = 20_000
"""Tokens; the one verified longest ago goes first."""


class InvalidToken(Exception):
    """An access token is not ours, was changed, or has expired."""


def _import(path: Path) -> OKPKey:
    key = OKPKey.import_key(path.read_bytes())
    return OKPKey.import_key(key.as_pem(private=True), {"kid": key.thumbprint(), "use": "sig", "alg": ALGORITHM})


def _new_key() -> bytes:
    return OKPKey.generate_key("Ed25519").as_pem(private=True)


def load_or_create_key(path: Path) -> OKPKey:
    """Read the signing key from a PEM file; make one, readable by its owner only, if there is none."""
    if not path.exists():
        create_private_file(path, _new_key())
    return _import(path)


def rotate(path: Path) -> str:
    """Put a new signing key in the place of the old one and give its `kid`.

    The old key stays beside it and goes on verifying for `RETIRED_SECONDS`; running servers notice within a second.
    Keys that were retired before that are deleted.
    """
    old = load_or_create_key(path)
    retired = path.with_name(f"{path.stem}-{old.kid}{_RETIRED}")
    retired.unlink(missing_ok=True)
    os.link(path, retired)
    os.utime(retired)
    replace_private_file(path, _new_key())
    for file in path.parent.glob(f"{path.stem}-*{_RETIRED}"):
        if file.stat().st_mtime < time.time() - RETIRED_SECONDS:
            file.unlink()
    kid = _import(path).kid
    assert kid is not None, "every key that is read gets its thumbprint as `kid`"
    return kid


class SigningKeys:
    """The signing key and those retired lately, read again when the file changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._looked_at = 0.0
        self._stamp = (0, 0)
        self._keys: dict[str, OKPKey] = {}
        self._verified: dict[bytes, dict[str, Any]] = {}
        self._current = load_or_create_key(path)
        self._refresh()

    def _refresh(self) -> None:
        now = time.monotonic()
        if self._keys and now - self._looked_at < _LOOK_SECONDS:
            return
        self._looked_at = now
        status = self._path.stat()
        if (status.st_mtime_ns, status.st_ino) == self._stamp:
            return
        self._current = _import(self._path)
        retired = [
            _import(file)
            for file in sorted(self._path.parent.glob(f"{self._path.stem}-*{_RETIRED}"))
            if file.stat().st_mtime > time.time() - RETIRED_SECONDS
        ]
        self._keys = {str(key.kid): key for key in [self._current, *retired]}
        self._stamp = (status.st_mtime_ns, status.st_ino)
        self._verified.clear()

    @property
    def current(self) -> OKPKey:
        """The key to sign with."""
        self._refresh()
        return self._current

    def public(self) -> dict[str, Any]:
        """Give the public halves as a JWK set (RFC 7517)."""
        self._refresh()
        return {"keys": [key.as_dict(private=False) for key in self._keys.values()]}

    def verify(self, token: str) -> dict[str, Any]:
        """Return an access token's content, checked with the key that it names; it is not the caller's to change.

        A token's signature is computed once: its digest is remembered until it expires or the keys change.

        Raises:
            InvalidToken: unknown key, or anything that `verify` refuses.
        """
        self._refresh()
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        content = self._verified.get(digest)
        if content is not None and time.time() < content["exp"]:
            return content
        key = self._keys.get(_kid(token))
        if key is None:
            raise InvalidToken
        content = verify(key, token)
        self._verified.pop(digest, None)
        if len(self._verified) >= _REMEMBERED:
            del self._verified[next(iter(self._verified))]
        self._verified[digest] = content
        return content


def _kid(token: str) -> str:
    head = token.partition(".")[0]
    try:
        header = orjson.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
        return str(header["kid"])
    except (ValueError, binascii.Error, KeyError, TypeError):
        return ""


def sign(key: OKPKey, *, subject: str, ttl_seconds: int, claims: dict[str, Any]) -> str:
    """Sign an access token for a subject, good for `ttl_seconds` from now."""
    now = int(time.time())
    content = {"iss": ISSUER, "aud": AUDIENCE, "sub": subject, "iat": now, "exp": now + ttl_seconds}
    header = {"alg": ALGORITHM, "typ": "at+jwt"} | ({"kid": key.kid} if key.kid else {})
    return jwt.encode(header, content | claims, key, algorithms=[ALGORITHM])


def verify(key: OKPKey, token: str) -> dict[str, Any]:
    """Give an access token's content.

    Raises:
        InvalidToken: wrong algorithm, signature, issuer or audience, or expired.
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
        raise InvalidToken from error
    return decoded.claims
