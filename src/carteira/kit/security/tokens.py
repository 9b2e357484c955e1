"""Bearer tokens of people and operators: Ed25519 JWTs with an audience of their own (RFC 7519, RFC 9864).

The card processor's HS256 tokens (`benefits`) are separate: neither side accepts the other's.
"""

import base64
import binascii
import hashlib
import os
import time
from pathlib import Path
from typing import Any

import orjson
import structlog
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from carteira.kit.ops.private_files import create_private_file, locked_folder, replace_private_file
from carteira.kit.security.key_ring import KeyWaits

ALGORITHM = "Ed25519"
AUDIENCE = "carteira"
ISSUER = "carteira"
_RETIRED = ".retired.pem"
_WAITING = ".waiting.pem"
RETIRED_SECONDS = 25 * 3600
"""For how long a retired key verifies: a little longer than the life of any token (a developer's, 24 hours)."""
_LOOK_SECONDS = 1.0
_REMEMBERED = 20_000
"""The most verified tokens that are cached; the least recently verified is dropped first."""

log = structlog.get_logger(__name__)


class InvalidToken(Exception):
    """An access token is foreign, was changed, or has expired."""


def _import(path: Path) -> OKPKey:
    key = OKPKey.import_key(path.read_bytes())
    return OKPKey.import_key(key.as_pem(private=True), {"kid": key.thumbprint(), "use": "sig", "alg": ALGORITHM})


def _new_key() -> bytes:
    return OKPKey.generate_key("Ed25519").as_pem(private=True)


def create_key(path: Path) -> bool:
    """Create a signing key in a PEM file for its owner only, unless it exists; return whether this call did."""
    return create_private_file(path, _new_key())


def load_key(path: Path) -> OKPKey:
    """Read the signing key from its PEM file.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it holds no Ed25519 key.
    """
    try:
        return _import(path)
    except JoseError as error:
        raise ValueError(f"{path} holds no key") from error


def load_or_create_key(path: Path) -> OKPKey:
    """Read the signing key; make one if there is none (development). Raises as `load_key`."""
    if not path.exists():
        create_key(path)
    return load_key(path)


def prepare(path: Path) -> str:
    """Make a signing key that verifies but does not sign yet, in a file beside the active one; return its `kid`.

    Once it is copied to every machine, all accept what it signs later. Raises as `load_key`.

    Raises:
        KeyWaits: one waits already.
    """
    with locked_folder(path.parent):
        current = load_key(path)
        for file in waiting_keys(path):
            if (kid := str(load_key(file).kid)) != current.kid:
                raise KeyWaits(kid)
        content = _new_key()
        kid = str(OKPKey.import_key(content).thumbprint())
        replace_private_file(path.with_name(f"{path.stem}-{kid}{_WAITING}"), content)
    return kid


def rotate(path: Path, *, retire: bool = True) -> str:
    """Replace the signing key by the waiting key, or else a new one, and return its `kid`.

    With `retire` the old key verifies for another `RETIRED_SECONDS`; without it, the old key, all retired keys and the
    waiting key are deleted, and their tokens are refused. Running servers notice within a second. Expired keys are
    deleted. Raises as `load_key`.
    """
    with locked_folder(path.parent):
        old = load_key(path)
        waiting = [file for file in waiting_keys(path) if load_key(file).kid != old.kid] if retire else []
        content = waiting[0].read_bytes() if waiting else _new_key()
        retired = path.with_name(f"{path.stem}-{old.kid}{_RETIRED}")
        retired.unlink(missing_ok=True)
        if retire:
            os.link(path, retired)
            os.utime(retired)
        replace_private_file(path, content)
        for file in waiting_keys(path):
            file.unlink()
        for file in retired_keys(path):
            if not retire or not _is_good(file):
                file.unlink()
    kid = _import(path).kid
    assert kid is not None, "every key that is read gets its thumbprint as `kid`"
    return kid


def waiting_keys(path: Path) -> list[Path]:
    """Return the files of the keys that wait to replace a path's."""
    return sorted(path.parent.glob(f"{path.stem}-*{_WAITING}"))


def retired_keys(path: Path) -> list[Path]:
    """Return the files of a path's retired keys."""
    return sorted(path.parent.glob(f"{path.stem}-*{_RETIRED}"))


def _is_good(retired: Path) -> bool:
    """Return whether a retired key still verifies."""
    return retired.stat().st_mtime > time.time() - RETIRED_SECONDS


def _load_if_any(file: Path) -> OKPKey | None:
    """Read a key beside the signing one; None if the file is gone or incomplete."""
    try:
        return load_key(file)
    except (OSError, ValueError):
        return None


class SigningKeys:
    """The signing key, retired keys and the waiting key, read again when the files change.

    `create` makes a first one.
    """

    def __init__(self, path: Path, *, create: bool = False) -> None:
        self._path = path
        self._looked_at = 0.0
        self._stamp: object = None
        self._keys: dict[str, OKPKey] = {}
        self._verified: dict[bytes, dict[str, Any]] = {}
        self._current = load_or_create_key(path) if create else load_key(path)
        self._refresh()

    def _refresh(self, *, at_once: bool = False) -> None:
        now = time.monotonic()
        if self._keys and now - self._looked_at < _LOOK_SECONDS and not at_once:
            return
        self._looked_at = now
        try:
            self._read()
        except FileNotFoundError:  # during a rotation: the former keys are used for another second
            if not self._keys:
                raise
        except (OSError, ValueError) as error:  # during a copy: likewise
            if not self._keys:
                raise
            log.warning(
                "signing key not read, former key used",
                path=str(self._path),
                error=type(error).__name__,
                detail=str(error),
            )

    def _read(self) -> None:
        status = self._path.stat()
        beside = [*(file for file in retired_keys(self._path) if _is_good(file)), *waiting_keys(self._path)]
        stamp = (status.st_mtime_ns, status.st_ino, status.st_size, beside)
        if stamp == self._stamp:
            return
        current = load_key(self._path)
        others = [key for file in beside if (key := _load_if_any(file)) is not None]
        self._current = current
        self._keys = {str(key.kid): key for key in [current, *others]}
        self._stamp = stamp if len(others) == len(beside) else None
        self._verified.clear()

    @property
    def current(self) -> OKPKey:
        """The key to sign with."""
        self._refresh()
        return self._current

    def public(self) -> dict[str, Any]:
        """Return the public halves as a JWK set (RFC 7517)."""
        self._refresh()
        return {"keys": [key.as_dict(private=False) for key in self._keys.values()]}

    def verify(self, token: str) -> dict[str, Any]:
        """Return an access token's content, verified with the key that it names; callers must not change it.

        A signature is verified once: the token's digest is remembered until it expires or the keys change.

        Raises:
            InvalidToken: unknown key, or anything that `verify` refuses.
        """
        self._refresh()
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        content = self._verified.get(digest)
        if content is not None and time.time() < content["exp"]:
            return content
        kid = _kid(token)
        if kid not in self._keys:  # another process may have made and used a key within this second
            self._refresh(at_once=True)
        key = self._keys.get(kid)
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
    """Sign an access token for a subject, valid for `ttl_seconds` from now."""
    now = int(time.time())
    content = {"iss": ISSUER, "aud": AUDIENCE, "sub": subject, "iat": now, "exp": now + ttl_seconds}
    header = {"alg": ALGORITHM, "typ": "at+jwt"} | ({"kid": key.kid} if key.kid else {})
    return jwt.encode(header, content | claims, key, algorithms=[ALGORITHM])


def verify(key: OKPKey, token: str) -> dict[str, Any]:
    """Return an access token's content.

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
