"""The keys that seal authenticators' secrets: their rotation while people sign in, and a check of sealed rows.

They also seal pending operations. Other sealed values (providers' profiles, links about contacts) are short-lived and
are not resealed: former keys stay in the ring for `Sealer.settling`.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

import structlog
from sqlalchemy import func, select

from carteira.identity.models import Totp
from carteira.kit.db.engine import Database
from carteira.kit.db.session import Tx
from carteira.kit.ops.progress import Progress, no_progress
from carteira.kit.security import approvals
from carteira.kit.security.sealing import SealedWalk, Sealer

_BATCH = 500

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SealedRows:
    """Another module's rows that are sealed under these keys: their count and their walk."""

    count: Callable[[Tx], Awaitable[int]]
    walk: Callable[..., Awaitable[SealedWalk]]
    """`walk(tx, ring, after, limit=…, reseal=…)`, as `approvals.walk_sealed`."""


@dataclass(frozen=True)
class SealingKeyRotation:
    """The result of a rotation; `unreadable` secrets open under no key of the file and are left as they are."""

    active_key: str
    resealed: int
    unreadable: int
    retired: list[str]


async def rotate_sealing_key(
    database: Database,
    ring: Sealer,
    progress: Progress = no_progress,
    *,
    others: Sequence[SealedRows] = (),
    add_key: bool = True,
) -> SealingKeyRotation:
    """Add a new key and reseal the database's sealed values under it, `others`' too, in short transactions.

    Codes are accepted meanwhile, whichever key a secret is under. After an interruption, run it again without
    `add_key`. A later run removes former keys from the file, once they were replaced longer than `Sealer.settling` ago.
    """
    if add_key:
        ring.add()
    async with database.transaction() as tx:
        total = await _count(tx, others)
    done, found = 0, SealedWalk()
    for walk in _walks(others):
        after: UUID | None = UUID(int=0)
        while after is not None:
            async with database.transaction() as tx:
                part = await walk(tx, ring, after, reseal=True)
            found, after = found + part, part.last
            done += part.on_active + part.on_former + part.unreadable
            progress(done, max(total, done))
    retired = ring.retire()
    log.info("sealing key rotated", resealed=found.on_former, unreadable=found.unreadable, retired=len(retired))
    return SealingKeyRotation(ring.active.id, found.on_former, found.unreadable, retired)


async def check_sealed(tx: Tx, ring: Sealer | None, others: Sequence[SealedRows] = ()) -> SealedWalk:
    """Open all sealed values of the database, `others`' too, and count them; without a ring none opens."""
    if ring is None:
        return SealedWalk(unreadable=await _count(tx, others))
    found = SealedWalk()
    for walk in _walks(others):
        after: UUID | None = UUID(int=0)
        while after is not None:
            part = await walk(tx, ring, after, reseal=False)
            found, after = found + part, part.last
    return found


async def _count(tx: Tx, others: Sequence[SealedRows]) -> int:
    secrets = await tx.scalar(select(func.count()).select_from(Totp)) or 0
    return secrets + sum([await one.count(tx) for one in (_OPERATIONS, *others)])


async def _walk_totp(tx: Tx, ring: Sealer, after: UUID, *, reseal: bool) -> SealedWalk:
    query = select(Totp).where(Totp.user_id > after).order_by(Totp.user_id).limit(_BATCH)
    found = SealedWalk()
    for row in await tx.scalars(query.with_for_update() if reseal else query):
        try:
            secret, key = ring.unseal(row.user_id, row.secret)
        except ValueError:
            log.warning("authenticator secret not opened", user_id=str(row.user_id))
            found += SealedWalk(unreadable=1, last=row.user_id)
            continue
        is_active = key == ring.active
        found += SealedWalk(on_active=is_active, on_former=not is_active, last=row.user_id)
        if reseal and not is_active:
            row.secret = ring.seal(row.user_id, secret)
    return found


_OPERATIONS = SealedRows(approvals.count_sealed, approvals.walk_sealed)


def _walks(others: Sequence[SealedRows]) -> list[Callable[..., Awaitable[SealedWalk]]]:
    return [_walk_totp, *(partial(one.walk, limit=_BATCH) for one in (_OPERATIONS, *others))]
