"""Random tokens that are handed out once and stored as digests only."""

import hashlib
import secrets


def new_token() -> str:
    """Make an opaque token of 256 bits."""
    return secrets.token_urlsafe(32)


def digest(token: str) -> bytes:
    """Give what is stored of a token: enough to know it again, nothing to use."""
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
