"""The keys that seal authenticators' secrets: rotated while people sign in, and whether they open what they should.

They seal the operations that wait for a second person too. What else they seal (what a provider said, links about
contacts) is short-lived and is not sealed anew: the former keys stay in the ring for `Sealer.settling`.
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
    """Rows that another module has sealed under these keys: how many there are, and what goes through them."""

    count: Callable[[Tx], Awaitable[int]]
    walk: Callable[..., Awaitable[SealedWalk]]
    """`walk(tx, ring, after, limit=…, reseal=…)`, as `approvals.walk_sealed`."""


@dataclass(frozen=True)
class SealingKeyRotation:
    """What a rotation did; `unreadable` secrets open under no key of the file and stay as they are."""

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
    """Draw a new key and seal under it what lies sealed in the database, `others`' too, in short transactions.

    Codes are taken meanwhile, whichever key a secret is on. Interrupted, run it again without `add_key`. Former keys
    leave the file at a later run, once they were replaced longer ago than `Sealer.settling`.
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
    """Open what lies sealed in the database, `others`' too, and count; without a ring none opens."""
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
            log.warning("authenticator's secret does not open", user_id=str(row.user_id))
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
