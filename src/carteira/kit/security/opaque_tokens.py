"""Random tokens that are handed out once and stored as digests only."""

import hashlib
import secrets


def new_token() -> str:
    """Make an opaque token of 256 bits."""
    return secrets.token_urlsafe(32)


def digest(token: str) -> bytes:
    """Return the digest of a token, which is stored in its place."""
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
