"""Removes ways of signing in beside the password, where a stranger may have added them.

The authenticator is not among them: it admits nobody by itself, and may keep a stranger out.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, true

from carteira.identity.models import (
    KnownDevice,
    MfaChallenge,
    Passkey,
    PasskeyChallenge,
    Recovery,
    SocialAccount,
    SocialRegistration,
)
from carteira.kit.db.session import Tx


async def forget(tx: Tx, user_id: UUID, *, since: datetime | None = None, but: str | None = None) -> list[str]:
    """Delete passkeys and provider accounts, and return which of the two were deleted.

    Args:
        tx: The transaction.
        user_id: The person.
        since: Only those added from this instant on; None: all.
        but: A provider whose accounts are kept.
    """
    gone = []
    for way in (Passkey, SocialAccount):
        which = (way.user_id == user_id, way.created_at >= since if since is not None else true())
        query = delete(way).where(*which)
        if way is SocialAccount and but is not None:
            query = query.where(SocialAccount.provider != but)
        if (await tx.scalars(query.returning(way.user_id))).all():
            gone.append(way.__tablename__)
    return gone


async def forget_unfinished(tx: Tx, user_id: UUID) -> None:
    """Delete known devices, and every unfinished sign-in, recovery, passkey and link."""
    for table in (KnownDevice, MfaChallenge, Recovery, PasskeyChallenge, SocialRegistration):
        await tx.execute(delete(table).where(table.user_id == user_id))
