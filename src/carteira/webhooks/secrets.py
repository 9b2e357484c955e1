"""The secrets that deliveries are signed with, and the signature: Standard Webhooks 1.0, its symmetric scheme.

A secret is shown once, when it is made. It is stored sealed, since signing needs it again.
"""

import base64
import hmac
import os
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, or_, select

from carteira.kit.db.session import Tx
from carteira.kit.security.sealing import SealedWalk, Sealer
from carteira.kit.values.clock import clock
from carteira.kit.values.ids import uuid7
from carteira.webhooks.errors import TooManyWebhookSecrets
from carteira.webhooks.models import WebhookSecret

PREFIX = "whsec_"
_BYTES = 32
_VALID = 2
"""The most valid secrets at once: the present one and the former one."""


def written(secret: bytes) -> str:
    """Return a secret in the form for people and libraries."""
    return PREFIX + base64.b64encode(secret).decode()


def signatures(secrets: Sequence[bytes], message_id: str, timestamp: int, body: bytes) -> str:
    """Return the `webhook-signature` of a message: one per secret, so that a receiver may have either."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return " ".join(f"v1,{base64.b64encode(hmac.digest(secret, signed, 'sha256')).decode()}" for secret in secrets)


async def add_secret(tx: Tx, sealer: Sealer, endpoint_id: UUID, *, overlap: timedelta) -> str:
    """Add a new secret of an endpoint and return it as it is shown; the present one stays valid for `overlap`.

    The endpoint's row is locked by the caller.

    Raises:
        TooManyWebhookSecrets: two are valid, and `overlap` keeps the one in use.
    """
    now = clock.now()
    await tx.execute(delete(WebhookSecret).where(WebhookSecret.endpoint_id == endpoint_id, ~_is_valid(now)))
    former = (await tx.scalars(select(WebhookSecret).where(WebhookSecret.endpoint_id == endpoint_id))).all()
    if overlap and len(former) >= _VALID:
        raise TooManyWebhookSecrets
    for row in former:
        if overlap:
            row.expires_at = now + overlap
        else:
            await tx.delete(row)
    secret, secret_id = os.urandom(_BYTES), uuid7()
    tx.add(WebhookSecret(id=secret_id, endpoint_id=endpoint_id, sealed=sealer.seal(secret_id, secret), created_at=now))
    await tx.flush()
    return written(secret)


async def valid_secrets(tx: Tx, sealer: Sealer, endpoint_id: UUID) -> list[bytes]:
    """Return the secrets of an endpoint that are valid, the newest first.

    Raises:
        ValueError: one was sealed with a key that is not in the file.
    """
    rows = await tx.scalars(
        select(WebhookSecret)
        .where(WebhookSecret.endpoint_id == endpoint_id, _is_valid(clock.now()))
        .order_by(WebhookSecret.id.desc())
    )
    return [sealer.open(row.id, row.sealed) for row in rows]


def _is_valid(now: datetime) -> ColumnElement[bool]:
    return or_(WebhookSecret.expires_at.is_(None), WebhookSecret.expires_at > now)


async def count_sealed(tx: Tx) -> int:
    """Return how many secrets there are."""
    return await tx.scalar(select(func.count()).select_from(WebhookSecret)) or 0


async def walk_sealed(tx: Tx, ring: Sealer, after: UUID, *, limit: int, reseal: bool) -> SealedWalk:
    """Open `limit` secrets after one, and reseal those that are under a former key."""
    query = select(WebhookSecret).where(WebhookSecret.id > after).order_by(WebhookSecret.id).limit(limit)
    found = SealedWalk()
    for row in await tx.scalars(query.with_for_update() if reseal else query):
        try:
            clear, key = ring.unseal(row.id, row.sealed)
        except ValueError:
            found += SealedWalk(unreadable=1, last=row.id)
            continue
        is_active = key == ring.active
        found += SealedWalk(on_active=is_active, on_former=not is_active, last=row.id)
        if reseal and not is_active:
            row.sealed = ring.seal(row.id, clear)
    return found
