"""The verbs of requests about a person's data: ask, ask for somebody, list, fulfil or refuse.

A request states a person's wish. It is fulfilled by other acts (a download by the person, a change of contact, an
erasure); the answer reports them. The law gives fifteen days (LGPD, art. 19, II).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Select, func, select

from carteira.identity.clients.service import is_own
from carteira.identity.errors import (
    DataRequestAnswered,
    DataRequestNotFound,
    OwnDataRequest,
    TooManyDataRequests,
    UserNotFound,
)
from carteira.identity.models import DataRequest, User
from carteira.kit.db.batches import delete_batch
from carteira.kit.db.keyset import keyset
from carteira.kit.db.session import Tx, locked
from carteira.kit.security import audit
from carteira.kit.values.clock import clock
from carteira.kit.values.ids import first_uuid7, uuid7
from carteira.kit.web.access import Principal
from carteira.kit.web.pagination import Page, PageRequest

Kind = Literal["copy", "correction", "erasure", "other"]
Outcome = Literal["fulfilled", "refused"]
DAYS = 15
"""The days within which a request must be answered (LGPD, art. 19, II)."""
MOST_OPEN = 5
"""Most open requests of one person."""
_LOOK = "data_requests_listed"


@dataclass(frozen=True, slots=True)
class DataRequestView:
    """A request, with its person's name for operators."""

    id: UUID
    user_id: UUID
    name: str
    kind: Kind
    message: str
    by_person: bool
    """Whether the person asked themself; otherwise an operator wrote it down."""
    created_at: datetime
    due_on: date
    answered_at: datetime | None
    outcome: Outcome | None
    answer: str | None

    @property
    def is_late(self) -> bool:
        """Whether its day has passed without an answer."""
        return self.answered_at is None and self.due_on < clock.today()


@dataclass(frozen=True, slots=True)
class RequestFilter:
    """Filters of requests; None: any."""

    is_open: bool | None = True
    kind: Kind | None = None
    since: datetime | None = None
    until: datetime | None = None


def _view(row: DataRequest, name: str | None) -> DataRequestView:
    return DataRequestView(
        row.id,
        row.user_id,
        name or "",
        row.kind,
        row.message,
        row.asked_by == row.user_id,
        row.created_at,
        row.due_on,
        row.answered_at,
        row.outcome,
        row.answer,
    )


async def ask(tx: Tx, who: Principal, user_id: UUID, kind: Kind, message: str) -> DataRequestView:
    """Write down a person's request: they ask, or an operator whom they asked in another way.

    Raises:
        UserNotFound: there is no such person, or they were erased.
        TooManyDataRequests: they have too many open ones.
    """
    user = await locked(tx, User, user_id)
    if user is None or user.erased_at is not None:
        raise UserNotFound
    waiting = select(func.count()).where(DataRequest.user_id == user_id, DataRequest.answered_at.is_(None))
    if (await tx.scalar(waiting) or 0) >= MOST_OPEN:
        raise TooManyDataRequests
    now = clock.now()
    row = DataRequest(
        id=uuid7(),
        user_id=user_id,
        kind=kind,
        message=message,
        asked_by=who.id,
        created_at=now,
        due_on=clock.today() + timedelta(days=DAYS),
    )
    tx.add(row)
    await tx.flush()
    await audit.record(tx, "data_requested", actor=who.actor, subject=user_id, request=str(row.id), kind=kind)
    return _view(row, user.full_name)


async def own(tx: Tx, user_id: UUID, asked: PageRequest[UUID]) -> Page[DataRequestView]:
    """List a person's own requests, the newest first."""
    query = select(DataRequest).where(DataRequest.user_id == user_id)
    query = keyset(query, DataRequest.id, after=asked.after, limit=asked.limit + 1, newest_first=True)
    return asked.page([_view(row, None) for row in await tx.scalars(query)], lambda row: row.id)


def _requests() -> Select[DataRequest, str | None]:
    return (
        select(DataRequest, User.full_name).join(User, User.id == DataRequest.user_id).where(User.erased_at.is_(None))
    )


async def listed(tx: Tx, wanted: RequestFilter, asked: PageRequest[UUID]) -> Page[DataRequestView]:
    """List requests, the oldest first or the other way round; looks at their people are recorded."""
    query = _requests()
    if wanted.is_open is not None:
        is_open = DataRequest.answered_at.is_(None)
        query = query.where(is_open if wanted.is_open else ~is_open)
    if wanted.kind is not None:
        query = query.where(DataRequest.kind == wanted.kind)
    if wanted.since is not None:
        query = query.where(DataRequest.id >= first_uuid7(wanted.since.timestamp()))
    if wanted.until is not None:
        query = query.where(DataRequest.id < first_uuid7(wanted.until.timestamp()))
    query = keyset(query, DataRequest.id, after=asked.after, limit=asked.limit + 1, turned=asked.turned)
    rows = [_view(*row) for row in await tx.execute(query)]
    page = asked.page(rows, lambda row: row.id)
    await audit.record_looks(tx, _LOOK, [row.user_id for row in page.items])
    return page


async def one(tx: Tx, request_id: UUID) -> tuple[DataRequestView, UUID | None]:
    """Return a request, and who answered it; the look at its person is recorded.

    Raises:
        DataRequestNotFound: there is none.
    """
    row = (await tx.execute(_requests().where(DataRequest.id == request_id))).one_or_none()
    if row is None:
        raise DataRequestNotFound
    await audit.record_looks(tx, _LOOK, [row[0].user_id])
    return _view(*row), row[0].answered_by


async def answer(tx: Tx, who: Principal, request_id: UUID, outcome: Outcome, text: str) -> DataRequestView:
    """Answer a request, once: fulfilled, or refused with the reason; the person reads the text.

    Raises:
        DataRequestNotFound: there is none.
        DataRequestAnswered: it was answered before.
        OwnDataRequest: the request is the operator's own; or a client answers, and the person can act as the client.
    """
    row = await locked(tx, DataRequest, request_id)
    if row is None:
        raise DataRequestNotFound
    if await is_own(tx, who, row.user_id):
        raise OwnDataRequest
    if row.answered_at is not None:
        raise DataRequestAnswered
    row.outcome, row.answer = outcome, text
    row.answered_by, row.answered_at = who.id, clock.now()
    await tx.flush()
    await audit.record(
        tx, "data_request_answered", actor=who.actor, subject=row.user_id, request=str(row.id), outcome=outcome
    )
    return _view(row, None)


def count_open(operator: UUID) -> Select[int]:
    """Return the query that counts the open requests, except the operator's own."""
    return select(func.count()).where(DataRequest.answered_at.is_(None), DataRequest.user_id != operator)


async def export_person(tx: Tx, user_id: UUID) -> Sequence[dict[str, Any]]:
    """Return a person's requests, JSON-ready, the oldest first (LGPD)."""
    rows = await tx.scalars(select(DataRequest).where(DataRequest.user_id == user_id).order_by(DataRequest.id))
    return [
        {
            "kind": row.kind,
            "message": row.message,
            "created_at": row.created_at,
            "due_on": row.due_on,
            "outcome": row.outcome,
            "answer": row.answer,
            "answered_at": row.answered_at,
        }
        for row in rows
    ]


async def forget_erased(tx: Tx) -> int:
    """Delete some requests of erased people, and return how many. A job calls it.

    An erasure deletes the person's requests itself. Only a server of an older release, without requests, leaves them.
    """
    return await delete_batch(tx, DataRequest, DataRequest.user_id == User.id, User.erased_at.is_not(None))
