"""Operations that wait for a second person (four eyes), and limits on what one operator does alone.

A verb that does an operator's work has an `Act`: its actor, its approver, and `weigh`, which the verb calls once it
knows the amount and before it moves anything. Under a limit `weigh` counts the amount against the operator's daily
ceiling, or raises `MustWait`: the caller rolls the verb back and stores the operation as pending. After the approval
the same verb runs again, with an act that has its checker and refuses one who gains.
"""

import base64
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    ColumnElement,
    Date,
    Index,
    LargeBinary,
    Text,
    Uuid,
    and_,
    any_,
    func,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, mapped_column, undefer_group

from carteira.kit.db import outbox
from carteira.kit.db.base import INSTANT, Base
from carteira.kit.db.session import Tx
from carteira.kit.security.sealing import SealedWalk, Sealer
from carteira.kit.values.actor import Actor, ActorKind
from carteira.kit.values.clock import clock
from carteira.kit.values.limits import Limit

PENDING, APPROVED, REFUSED, EXPIRED, FAILED = "pending", "approved", "refused", "expired", "failed"
_WHOLE = "whole"
_SEALED = "sealed:"


class PendingOperation(Base):
    """An operation that waits, or waited, for its checker.

    `payload` (the order) and `outcome` are JSON texts; sealed, except for the reason of a refusal or a failure.
    `counted_on` is the day of its maker that `amount` counts against. Payload and digests of CPFs are deleted at the
    decision.
    """

    __tablename__ = "pending_operations"
    __table_args__ = (
        CheckConstraint("status IN ('pending', 'approved', 'refused', 'expired', 'failed')", name="status"),
        CheckConstraint("(status = 'pending') = (decided_at IS NULL)", name="decided_at"),
        CheckConstraint("(status = 'pending') = (payload IS NOT NULL)", name="payload"),
        CheckConstraint("status <> 'approved' OR checker_id IS NOT NULL", name="checker_id"),
        CheckConstraint("status <> 'approved' OR checker_id::text <> maker_id", name="four_eyes"),
        CheckConstraint("amount >= 0", name="amount"),
        Index("ix_pending_operations_expires_at", "expires_at", postgresql_where="status = 'pending'"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(Text)
    payload: Mapped[str | None] = mapped_column(Text, deferred=True, deferred_group=_WHOLE)
    summary: Mapped[str] = mapped_column(Text)
    amount: Mapped[int] = mapped_column(BigInteger)
    limit_name: Mapped[str | None] = mapped_column(Text)
    counted_on: Mapped[date | None] = mapped_column(Date)
    maker_kind: Mapped[ActorKind] = mapped_column(Text)
    maker_id: Mapped[str] = mapped_column(Text)
    gaining_users: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid))
    gaining_cpfs: Mapped[list[bytes]] = mapped_column(ARRAY(LargeBinary))
    scope: Mapped[UUID | None]
    status: Mapped[str] = mapped_column(Text)
    checker_id: Mapped[UUID | None]
    outcome: Mapped[str | None] = mapped_column(Text, deferred=True, deferred_group=_WHOLE)
    created_at: Mapped[datetime] = mapped_column(INSTANT)
    expires_at: Mapped[datetime] = mapped_column(INSTANT)
    decided_at: Mapped[datetime | None] = mapped_column(INSTANT)
    told_at: Mapped[datetime | None] = mapped_column(INSTANT)
    """The instant at which the people who may approve it were notified."""

    @property
    def maker(self) -> Actor:
        """The actor who asked for it."""
        return Actor(self.maker_kind, self.maker_id)


class OperatorDay(Base):
    """The sum that an operator moved or proposed under one limit on one day of São Paulo, in centavos."""

    __tablename__ = "operator_days"
    __table_args__ = (CheckConstraint("amount >= 0", name="amount"),)

    actor_kind: Mapped[str] = mapped_column(Text, primary_key=True)
    actor_id: Mapped[str] = mapped_column(Text, primary_key=True)
    limit_name: Mapped[str] = mapped_column(Text, primary_key=True)
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    amount: Mapped[int] = mapped_column(BigInteger)


@dataclass(frozen=True, slots=True)
class Gains:
    """The people who gain by an operation: users, and CPFs that may have none.

    `users` may include the people and clients who made the thing that it decides on. The people behind a client count
    as the client.
    """

    users: frozenset[UUID] = frozenset()
    cpfs: frozenset[str] = frozenset()

    @classmethod
    def of(cls, user_id: UUID | None, cpf: str | None = None) -> "Gains":
        """Return the gains of one person, as far as they are known."""
        return cls(frozenset({user_id} - {None}), frozenset({cpf} - {None}))  # type: ignore[arg-type] # None is out


FindGains = Callable[[], Awaitable[Gains]]
FindCpf = Callable[[Tx, UUID], Awaitable[str | None]]
FindBehind = Callable[[Tx, Collection[UUID]], Awaitable[Collection[UUID]]]
"""Returns the people who can act as one of some clients; ids of people among them add nobody."""


async def no_people_behind(_tx: Tx, _ids: Collection[UUID]) -> Collection[UUID]:
    """Return the people behind clients where there are no clients."""
    return ()


class MustWait(Exception):
    """The operation exceeds what one person may do alone: it is rolled back and waits for a second person."""

    def __init__(self, amount: int, summary: str, gains: Gains, scope: UUID | None) -> None:
        self.amount, self.summary, self.gains, self.scope = amount, summary, gains, scope
        super().__init__(summary)


class DailyCeilingReached(Exception):
    """The operation exceeds what is left of the operator's daily ceiling: `left` centavos."""

    def __init__(self, left: int) -> None:
        self.left = left
        super().__init__(f"{left} centavos left")


class OwnOperation(Exception):
    """The caller made the operation or gains by it, and so may not approve it."""


class OperationChanged(Exception):
    """The operation would now move more than its checker saw."""


@dataclass(slots=True)
class Act:
    """The act that a verb carries out. This class has no limit: it is for a job, a command or a person's own things.

    `key` names an approved act in the ledger, so that it is posted once.
    """

    actor: Actor
    approved_by: UUID | None = None
    key: str | None = None

    def key_of(self, part: object) -> str | None:
        """Return the ledger key of one of several entries."""
        return None if self.key is None else f"{self.key}:{part}"

    async def weigh(
        self, tx: Tx, *, amount: int | None, summary: str, gains: Gains | FindGains, scope: UUID | None = None
    ) -> None:
        """Declare an effect before it happens; `summary` is Portuguese, for the checker, without personal data.

        An `amount` of None exceeds any limit: the effect is unbounded.

        Raises:
            MustWait: a second person must approve it.
            DailyCeilingReached: it exceeds what is left of the operator's daily ceiling.
            OwnOperation: its checker gains by it.
            OperationChanged: it would move more than was proposed.
        """

    async def refuse_own(self, tx: Tx, gains: Gains) -> None:
        """Refuse an act by which its maker or checker gains, whatever the amount.

        Raises:
            OwnOperation: the maker or the checker is among those who gain.
        """


@dataclass(slots=True)
class OperatorAct(Act):
    """An operator's act under a limit, if there is one."""

    find_cpf: FindCpf = field(kw_only=True)
    behind: FindBehind = field(kw_only=True, default=no_people_behind)
    limit: Limit | None = field(kw_only=True, default=None)

    async def weigh(
        self, tx: Tx, *, amount: int | None, summary: str, gains: Gains | FindGains, scope: UUID | None = None
    ) -> None:
        """Raise `MustWait` above the limit for one person; otherwise count the amount against the daily ceiling."""
        if self.limit is None:
            return
        if self.limit.alone is not None and (amount is None or amount > self.limit.alone):
            raise MustWait(amount or 0, summary, await _found(gains), scope)
        await count(tx, self.actor, self.limit, amount or 0)

    async def refuse_own(self, tx: Tx, gains: Gains) -> None:
        """Compare its maker, and the people behind a client, with those who gain."""
        if self.actor.user_id is not None:
            await self._refuse(tx, {self.actor.user_id}, gains)
        elif self.actor.kind == "client":
            client_id = UUID(self.actor.id)
            await self._refuse(tx, {client_id, *await self.behind(tx, [client_id])}, gains)

    async def _refuse(self, tx: Tx, acting: Collection[UUID], gains: Gains) -> None:
        barred = {*gains.users, *await self.behind(tx, gains.users)} if gains.users else set()
        if not barred.isdisjoint(acting):
            raise OwnOperation
        if gains.cpfs:
            for one in acting:
                if await self.find_cpf(tx, one) in gains.cpfs:
                    raise OwnOperation


@dataclass(slots=True)
class ApprovedAct(OperatorAct):
    """An act that was proposed and is approved: the verb's second run."""

    proposed: int = field(kw_only=True)
    weighed: int | None = None

    async def weigh(
        self,
        tx: Tx,
        *,
        amount: int | None,
        summary: str,  # noqa: ARG002 - the checker has read it
        gains: Gains | FindGains,
        scope: UUID | None = None,  # noqa: ARG002 - the proposal has the scope
    ) -> None:
        """Compare the present effect with the proposed one, and the checker with those who gain now."""
        assert self.approved_by is not None, "approved by somebody"
        await self._refuse(tx, {self.approved_by}, await _found(gains))
        self.weighed = amount or 0
        if self.weighed > self.proposed:
            raise OperationChanged

    async def refuse_own(self, tx: Tx, gains: Gains) -> None:
        """Compare its maker and its checker with those who gain."""
        await OperatorAct.refuse_own(self, tx, gains)
        assert self.approved_by is not None, "approved by somebody"
        await self._refuse(tx, {self.approved_by}, gains)


async def _found(gains: Gains | FindGains) -> Gains:
    return gains if isinstance(gains, Gains) else await gains()


async def count(tx: Tx, actor: Actor, limit: Limit, amount: int) -> date | None:
    """Count an amount against an operator's daily ceiling, if there is one; return the day that it counts against.

    The day's row is locked until the transaction ends, so that concurrent operations never exceed the ceiling together.

    Raises:
        DailyCeilingReached: too little is left.
    """
    if limit.daily is None or amount == 0:
        return None
    day = clock.today()
    key = {"actor_kind": actor.kind, "actor_id": actor.id, "limit_name": limit.name, "day": day}
    grown = OperatorDay.amount + amount
    counted = None
    if amount <= limit.daily:
        counted = await tx.scalar(
            insert(OperatorDay)
            .values(**key, amount=amount)
            .on_conflict_do_update(index_elements=list(key), set_={"amount": grown}, where=grown <= limit.daily)
            .returning(OperatorDay.amount)
        )
    if counted is None:
        used = await tx.scalar(select(OperatorDay.amount).filter_by(**key))
        raise DailyCeilingReached(max(limit.daily - (used or 0), 0))
    return day


async def _reduce_day(tx: Tx, row: PendingOperation, amount: int) -> None:
    """Subtract an amount that was not carried out from the day that it counted against."""
    if row.counted_on is None or amount == 0:
        return
    await tx.execute(
        update(OperatorDay)
        .where(
            OperatorDay.actor_kind == row.maker_kind,
            OperatorDay.actor_id == row.maker_id,
            OperatorDay.limit_name == row.limit_name,
            OperatorDay.day == row.counted_on,
        )
        .values(amount=OperatorDay.amount - amount)
    )


@dataclass(frozen=True, slots=True)
class Proposal:
    """An operation to store: its order (sealed), its maker, and who gains (CPFs as keyed digests)."""

    id: UUID
    kind: str
    payload: str
    summary: str
    amount: int
    maker: Actor
    users: Collection[UUID]
    cpf_digests: Collection[bytes]
    limit: Limit | None = None
    scope: UUID | None = None


def seal(sealer: Sealer, operation_id: UUID, content: str) -> str:
    """Seal an operation's order or outcome, since either may name a CPF or an address."""
    return _SEALED + base64.b64encode(sealer.seal(operation_id, content.encode())).decode()


def opened(sealer: Sealer, row: PendingOperation, content: str | None) -> str | None:
    """Return an operation's `payload` or `outcome` as JSON; None if it has none. Old rows are in clear."""
    if content is None or not content.startswith(_SEALED):
        return content
    return sealer.open(row.id, base64.b64decode(content.removeprefix(_SEALED))).decode()


async def write_down(tx: Tx, proposal: Proposal, *, lasts: timedelta) -> PendingOperation:
    """Store an operation that waits for its checker, and count it against its maker's daily ceiling.

    Raises:
        DailyCeilingReached: too little of it is left.
    """
    counted_on = None
    if proposal.limit is not None:
        counted_on = await count(tx, proposal.maker, proposal.limit, proposal.amount)
    now = clock.now()
    row = PendingOperation(
        id=proposal.id,
        kind=proposal.kind,
        payload=proposal.payload,
        summary=proposal.summary,
        amount=proposal.amount,
        limit_name=proposal.limit.name if proposal.limit else None,
        counted_on=counted_on,
        maker_kind=proposal.maker.kind,
        maker_id=proposal.maker.id,
        gaining_users=sorted(proposal.users),
        gaining_cpfs=sorted(proposal.cpf_digests),
        scope=proposal.scope,
        status=PENDING,
        created_at=now,
        expires_at=now + lasts,
    )
    tx.add(row)
    await tx.flush()
    return row


async def lock_operation(tx: Tx, operation_id: UUID) -> PendingOperation | None:
    """Lock an operation and return it whole, as it is now."""
    return await tx.scalar(
        select(PendingOperation)
        .where(PendingOperation.id == operation_id)
        .options(undefer_group(_WHOLE))
        .with_for_update()
    )


async def barred(tx: Tx, row: PendingOperation, behind: FindBehind) -> set[UUID]:
    """Return the ids that may not approve an operation: its maker, who gains, and the people behind their clients."""
    made = {UUID(row.maker_id)} if row.maker_kind in {"person", "client"} else set()
    parties = made.union(row.gaining_users)
    return parties.union(await behind(tx, parties))


async def find(tx: Tx, operation_id: UUID) -> PendingOperation | None:
    """Return an operation, whole."""
    return await tx.scalar(
        select(PendingOperation).where(PendingOperation.id == operation_id).options(undefer_group(_WHOLE))
    )


async def end(  # noqa: PLR0913 - the fields of an outcome
    tx: Tx, row: PendingOperation, status: str, *, checker: UUID | None, outcome: str | None, carried_out: int = 0
) -> None:
    """Store the outcome of a locked operation; if it was not carried out it no longer counts against the ceiling.

    Followers of `operations.decided` notify its maker.
    """
    await _reduce_day(tx, row, row.amount - carried_out)
    row.status, row.checker_id, row.outcome, row.decided_at = status, checker, outcome, clock.now()
    row.payload, row.gaining_cpfs = None, []
    await outbox.emit(tx, "operations.decided", {"operation_id": str(row.id)})


async def count_sealed(tx: Tx) -> int:
    """Return the number of operations with a sealed value."""
    return await tx.scalar(select(func.count()).select_from(PendingOperation).where(_is_sealed())) or 0


def _is_sealed() -> ColumnElement[bool]:
    return or_(PendingOperation.payload.startswith(_SEALED), PendingOperation.outcome.startswith(_SEALED))


async def walk_sealed(tx: Tx, ring: Sealer, after: UUID, *, limit: int, reseal: bool) -> SealedWalk:
    """Open the sealed values of `limit` operations after one, and reseal those that are under a former key."""
    query = (
        select(PendingOperation)
        .where(PendingOperation.id > after, _is_sealed())
        .order_by(PendingOperation.id)
        .limit(limit)
        .options(undefer_group(_WHOLE))
    )
    found = SealedWalk()
    for row in await tx.scalars(query.with_for_update() if reseal else query):
        found += SealedWalk(last=row.id)
        for column in ("payload", "outcome"):
            content: str | None = getattr(row, column)
            if content is None or not content.startswith(_SEALED):
                continue
            try:
                clear, key = ring.unseal(row.id, base64.b64decode(content.removeprefix(_SEALED)))
            except ValueError:
                found += SealedWalk(unreadable=1, last=row.id)
                continue
            is_active = key == ring.active
            found += SealedWalk(on_active=is_active, on_former=not is_active, last=row.id)
            if reseal and not is_active:
                setattr(row, column, seal(ring, row.id, clear.decode()))
    return found


async def export_person(tx: Tx, sealer: Sealer, user_id: UUID) -> Sequence[Mapping[str, Any]]:
    """Return the operations that a person asked for, decided, or gains by, JSON-ready, the oldest first (LGPD).

    An order is included if the person asked for it, or is the only one who gains by it.
    """
    mine = and_(PendingOperation.maker_kind == "person", PendingOperation.maker_id == str(user_id))
    gains = literal(user_id) == any_(PendingOperation.gaining_users)
    query = select(PendingOperation).where(or_(mine, gains, PendingOperation.checker_id == user_id))
    rows = await tx.scalars(query.order_by(PendingOperation.id).options(undefer_group(_WHOLE)))
    return [_exported(sealer, row, user_id) for row in rows]


def _exported(sealer: Sealer, row: PendingOperation, user_id: UUID) -> Mapping[str, Any]:
    whole = row.maker.user_id == user_id or row.gaining_users == [user_id]
    order = opened(sealer, row, row.payload) if whole else None
    outcome = opened(sealer, row, row.outcome) if whole else None
    return {
        "id": str(row.id),
        "kind": row.kind,
        "summary": row.summary,
        "amount": row.amount,
        "status": row.status,
        "asked_by_you": row.maker.user_id == user_id,
        "decided_by_you": row.checker_id == user_id,
        "for_you": user_id in row.gaining_users,
        "order": None if order is None else orjson.loads(order),
        "outcome": None if outcome is None else orjson.loads(outcome),
        "created_at": row.created_at.isoformat(),
        "decided_at": None if row.decided_at is None else row.decided_at.isoformat(),
    }


async def erase_person(tx: Tx, user_id: UUID) -> None:
    """End pending operations that an erased person asked for, or that concern them alone; delete their outcomes too.

    A batch that includes them goes on: it names accounts, and its order is deleted at the decision.
    """
    theirs = or_(
        and_(PendingOperation.maker_kind == "person", PendingOperation.maker_id == str(user_id)),
        PendingOperation.gaining_users == [user_id],
    )
    waits = select(PendingOperation).where(theirs, PendingOperation.status == PENDING).order_by(PendingOperation.id)
    for row in (await tx.scalars(waits.with_for_update())).all():
        await end(tx, row, EXPIRED, checker=None, outcome=None)
    await tx.execute(update(PendingOperation).where(theirs, PendingOperation.outcome.is_not(None)).values(outcome=None))


async def expire(tx: Tx, *, limit: int = 100) -> int:
    """End up to `limit` expired operations and return how many there were. A job calls it."""
    due = await tx.scalars(
        select(PendingOperation)
        .where(PendingOperation.status == PENDING, PendingOperation.expires_at <= clock.now())
        .order_by(PendingOperation.expires_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    rows = due.all()
    for row in rows:
        await end(tx, row, EXPIRED, checker=None, outcome=None)
    return len(rows)


async def mark_unnotified(tx: Tx, *, limit: int = 500) -> Sequence[PendingOperation]:
    """Return pending operations that nobody was notified of, the oldest first, and mark them as notified."""
    due = await tx.scalars(
        select(PendingOperation)
        .where(PendingOperation.status == PENDING, PendingOperation.told_at.is_(None))
        .order_by(PendingOperation.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    rows = due.all()
    for row in rows:
        row.told_at = clock.now()
    await tx.flush()
    return rows
