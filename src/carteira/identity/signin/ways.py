"""What a person signs in by beside the password, taken away where a stranger may have added it.

The authenticator is none of these: it lets nobody in by itself, and may be what keeps a stranger out.
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
    """Forget passkeys and accounts at providers, and name which of the two went.

    Args:
        tx: The transaction.
        user_id: Whose.
        since: Those that were added from this instant on; None: all.
        but: A provider whose accounts stay.
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


async def forget_what_is_under_way(tx: Tx, user_id: UUID) -> None:
    """Forget known devices, and every sign-in, recovery, passkey and link that is begun and not finished."""
    for table in (KnownDevice, MfaChallenge, Recovery, PasskeyChallenge, SocialRegistration):
        await tx.execute(delete(table).where(table.user_id == user_id))
