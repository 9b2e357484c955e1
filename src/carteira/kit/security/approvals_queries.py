"""The reads of operations that wait, or waited, for a second person: lists and counts for those who may see them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, LargeBinary, Uuid, and_, any_, func, literal, or_, select, true

from carteira.kit.db.keyset import keyset
from carteira.kit.db.one_row import OneRow
from carteira.kit.db.session import Tx
from carteira.kit.security.approvals import PENDING, PendingOperation
from carteira.kit.values.actor import Actor
from carteira.kit.values.clock import clock


async def waiting_for(tx: Tx, kind: str, user_id: UUID) -> PendingOperation | None:
    """Return the newest pending operation of a kind about a person."""
    query = (
        select(PendingOperation)
        .where(PendingOperation.status == PENDING, PendingOperation.expires_at > clock.now())
        .where(PendingOperation.kind == kind, literal(user_id) == any_(PendingOperation.gaining_users))
        .order_by(PendingOperation.id.desc())
        .limit(1)
    )
    return await tx.scalar(query)


async def still_waiting(tx: Tx, ids: Collection[UUID]) -> Sequence[PendingOperation]:
    """Return the operations among some that are still pending, the oldest first."""
    waits = and_(PendingOperation.status == PENDING, PendingOperation.expires_at > clock.now())
    query = select(PendingOperation).where(PendingOperation.id.in_(ids), waits).order_by(PendingOperation.id)
    return (await tx.scalars(query)).all()


@dataclass(frozen=True, slots=True)
class Seen:
    """A person's view of operations: those of some kinds, within their employers, and their own."""

    kinds: Collection[str]
    maker: Actor
    scopes: Collection[UUID] | None = None
    """None: they are not bound."""


async def listed(  # noqa: PLR0913 - a list's filters and bounds
    tx: Tx,
    seen: Seen,
    *,
    status: str | None,
    kind: str | None,
    limit: int,
    before: UUID | None,
    turned: bool = False,
) -> Sequence[PendingOperation]:
    """List operations, the newest first or the other way round, without orders and outcomes."""
    mine = and_(PendingOperation.maker_kind == seen.maker.kind, PendingOperation.maker_id == seen.maker.id)
    in_scope = true() if seen.scopes is None else PendingOperation.scope.in_(seen.scopes)
    theirs = and_(PendingOperation.kind.in_(seen.kinds), in_scope)
    query = select(PendingOperation).where(or_(theirs, mine))
    if status is not None:
        query = query.where(PendingOperation.status == status)
    if kind is not None:
        query = query.where(PendingOperation.kind == kind)
    query = keyset(query, PendingOperation.id, after=before, limit=limit, newest_first=True, turned=turned)
    return (await tx.scalars(query)).all()


def count_for(seen: Seen, parties: Collection[UUID], digests: Sequence[bytes]) -> OneRow[int]:
    """Return the query that counts pending operations of some kinds that no party made or, by CPF too, gains by."""
    query = select(func.count()).where(
        PendingOperation.status == PENDING,
        PendingOperation.expires_at > clock.now(),
        PendingOperation.kind.in_(seen.kinds),
        true() if seen.scopes is None else PendingOperation.scope.in_(seen.scopes),
        PendingOperation.maker_id.not_in([str(one) for one in parties]),
        ~PendingOperation.gaining_users.bool_op("&&")(literal(sorted(parties), ARRAY(Uuid))),
        ~PendingOperation.gaining_cpfs.bool_op("&&")(literal(sorted(digests), ARRAY(LargeBinary))),
    )
    return OneRow(query, int)


async def waiting(tx: Tx) -> Sequence[tuple[str, int, datetime]]:
    """Return the number of pending operations of each kind, and since when the oldest waits."""
    query = (
        select(PendingOperation.kind, func.count(), func.min(PendingOperation.created_at))
        .where(PendingOperation.status == PENDING)
        .group_by(PendingOperation.kind)
    )
    return [(kind, count, oldest) for kind, count, oldest in await tx.execute(query)]
