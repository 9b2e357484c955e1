"""The audit: acts by claim, looks at people, sign-ins, changes of claims. Append-only; ids, never content.

A row is written in the transaction of the act itself. Actor, session and request come from the request (`during`); code
outside of a request names them. A look names one person: by their user id, or by a module's id of somebody without one
(a benefit account, a CPF's pseudonym in credit).
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, Literal
from uuid import UUID

import orjson
import structlog
from prometheus_client import Counter
from sqlalchemy import BigInteger, Boolean, Index, Text, bindparam, false, text
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.orm import Mapped, mapped_column

from carteira.kit.db import positions, wakes
from carteira.kit.db.base import INSTANT, Base
from carteira.kit.db.insert import Insert
from carteira.kit.db.session import Tx
from carteira.kit.values.actor import Actor
from carteira.kit.values.clock import clock
from carteira.kit.values.ids import uuid7

acts_total = Counter("carteira_audit_acts", "Acts written into the audit, including sign-ins, by action", ["action"])


class AuditRecord(Base):
    """A row: actor, act or look, person concerned, session and request; ids only."""

    __tablename__ = "audit_log"
    __table_args__ = (
        Index("ix_audit_log_subject_id_id", "subject_id", "id"),
        Index("ix_audit_log_action_id", "action", "id"),
        Index("ix_audit_log_actor_id_id", "actor_id", "id"),
        Index("ix_audit_log_xid_id", "xid", "id"),
        {"postgresql_partition_by": "RANGE (id)"},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    actor_id: Mapped[UUID | None]
    subject_id: Mapped[UUID | None]
    action: Mapped[str] = mapped_column(Text)
    details: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    created_at: Mapped[datetime] = mapped_column(INSTANT)
    xid: Mapped[int] = mapped_column(BigInteger, server_default=positions.NOW)
    actor_kind: Mapped[str | None] = mapped_column(Text)
    session_id: Mapped[UUID | None]
    request_id: Mapped[str | None] = mapped_column(Text)
    entry_id: Mapped[UUID | None]
    actor_name: Mapped[str | None] = mapped_column(Text)
    look: Mapped[bool] = mapped_column(Boolean, server_default=false())


@dataclass(slots=True)
class Request:
    """A request's caller, and what it has recorded so far.

    Attributes:
        actor: The authenticated caller.
        session_id: Its session; none for a token without one.
        acts: The actions recorded.
        looked: Whether looks were recorded, even if for nobody.
        by_claim: Whether a claim gave access.
        nothing_done: Whether it was answered without any act: a refusal or a replay.
        shown: The number of other people whose data it has shown.
        wait_seconds: The seconds for which its actor may look at nobody else, since the limit is reached; None: they
        may look.
        confirm: Confirms the actor's rights before anything is written; None: they are confirmed.
    """

    actor: Actor
    session_id: UUID | None
    confirm: Callable[[], Awaitable[None]] | None = None
    acts: list[str] = field(default_factory=list)
    looked: bool = False
    by_claim: bool = False
    nothing_done: bool = False
    shown: int = 0
    wait_seconds: int | None = None


class TooManyLooks(Exception):
    """The caller has reached the limit of people to look at."""

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(retry_after_seconds)
        self.retry_after_seconds = retry_after_seconds


_request: ContextVar[Request | None] = ContextVar("audit_request", default=None)


PROPOSED = "operation_proposed"
"""The action of an operation that waits for a second person."""


class _FromRequest(Enum):
    ACTOR = 0


FROM_REQUEST: Literal[_FromRequest.ACTOR] = _FromRequest.ACTOR
"""The default: the request's actor; outside of a request there is none (an operator's own tool)."""
By = Actor | UUID | Literal[_FromRequest.ACTOR] | None
"""The actor of a row; a user's id stands for the person."""


@contextmanager
def during(
    actor: Actor, session_id: UUID | None, confirm: Callable[[], Awaitable[None]] | None = None
) -> Iterator[Request]:
    """Record rows within the block as the request's caller, whom `confirm` confirms first."""
    request = Request(actor, session_id, confirm)
    token = _request.set(request)
    try:
        yield request
    finally:
        _request.reset(token)


def current() -> Request | None:
    """Return the present request; None outside of an authenticated one."""
    return _request.get()


def nothing_done() -> None:
    """Mark the request as answered without any act, so that there is nothing to record."""
    if request := _request.get():
        request.nothing_done = True


async def confirm_caller() -> None:
    """Confirm the caller's rights, unless they are confirmed; to be awaited before anything is written.

    Raises:
        Exception: what the request's `confirm` raises.
    """
    request = _request.get()
    if request is not None and request.confirm is not None:
        await request.confirm()


def _row(action: str, by: By, subject: UUID | None, details: dict[str, Any]) -> dict[str, Any]:
    request = _request.get()
    if by is FROM_REQUEST:
        by = request.actor if request else None
    if isinstance(by, UUID):
        by = request.actor if request and request.actor.id == str(by) else Actor.person(by)
    has_id = by is not None and by.kind in {"person", "client"}
    return {
        "id": uuid7(),
        "actor_kind": by.kind if by else None,
        "actor_id": UUID(by.id) if by and has_id else None,
        "actor_name": by.id if by and not has_id else None,
        "session_id": request.session_id if request and by == request.actor else None,
        "request_id": structlog.contextvars.get_contextvars().get("request_id"),
        "subject_id": subject,
        "action": action,
        "details": {name: value for name, value in details.items() if value is not None},
        "created_at": clock.now(),
        "entry_id": None,
        "look": False,
    }


async def record(  # noqa: PLR0913 - the fields of a row
    tx: Tx,
    action: str,
    *,
    actor: By = FROM_REQUEST,
    subject: UUID | None = None,
    entry: UUID | None = None,
    approved_by: UUID | None = None,
    **details: Any,  # noqa: ANN401 - any JSON
) -> None:
    """Record an act in the transaction that does it. Details hold no personal data.

    `subject` is the person concerned, `entry` the ledger entry that moved the money, `approved_by` the second person of
    an approved operation. Details that are None are left out.
    """
    await write(tx, [act_row(action, actor=actor, subject=subject, entry=entry, approved_by=approved_by, **details)])


def act_row(
    action: str,
    *,
    actor: By = FROM_REQUEST,
    subject: UUID | None = None,
    entry: UUID | None = None,
    approved_by: UUID | None = None,
    **details: Any,  # noqa: ANN401 - any JSON
) -> dict[str, Any]:
    """Return the row of `record`, for code that writes it elsewhere."""
    done(action)
    details["approved_by"] = str(approved_by) if approved_by else None
    return _row(action, actor, subject, details) | {"entry_id": entry}


def done(action: str) -> None:
    """Note that the request has recorded an act, and count it; for code that has written a row of `acts_of`."""
    if request := _request.get():
        request.acts.append(action)
    acts_total.labels(action).inc()


def acts_of(
    action: str,
    *,
    actor: By = FROM_REQUEST,
    subject: UUID | None = None,
    entry: UUID | None = None,
    **details: Any,  # noqa: ANN401 - any JSON
) -> str:
    """Return one row of `record` as the parameter of `ACTS`, for a statement that may fail; then call `done`."""
    row = _row(action, actor, subject, details) | {"entry_id": entry}
    return orjson.dumps([row], default=str).decode()  # the driver has a UUID of its own


_ACT_COLUMNS = (
    ("id", "uuid"),
    ("actor_id", "uuid"),
    ("subject_id", "uuid"),
    ("action", "text"),
    ("details", "jsonb"),
    ("created_at", "timestamptz"),
    ("actor_kind", "text"),
    ("session_id", "uuid"),
    ("request_id", "text"),
    ("entry_id", "uuid"),
    ("actor_name", "text"),
)
_ACT_NAMES = ", ".join(name for name, _ in _ACT_COLUMNS)
_ACT_TYPES = ", ".join(f"{name} {kind}" for name, kind in _ACT_COLUMNS)
ACTS = Insert(
    (
        f"audit_log (xid, {_ACT_NAMES})",
        f"SELECT (SELECT position_now()), new.* FROM jsonb_to_recordset({{0}}::jsonb) AS new ({_ACT_TYPES})",  # noqa: S608 - constants
    ),
    parameters=1,
)
"""Appends acts within the statement that does them: rows of `acts_of`."""


async def write(tx: Tx, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows of `act_row` or `look_rows` with the transaction, in one statement; rows that exist are kept."""
    if rows:
        await confirm_caller()
        await tx.execute(insert(AuditRecord).values(rows).on_conflict_do_nothing(index_elements=["id"]))
        wakes.followed(tx)


@dataclass(frozen=True, slots=True)
class Look:
    """A look under way: `at` records the people shown, in batches, even after its request has ended (a stream).

    Attributes:
        row: The values that all of its rows share.
    """

    row: dict[str, Any]

    def rows(self, subjects: Iterable[UUID | None]) -> list[dict[str, Any]]:
        """Return a row for each person; none for oneself, nor for erased people (None).

        Raises:
            TooManyLooks: there are rows, and the request may show nobody else. A stream, whose request has ended, may.
        """
        others = [one for one in dict.fromkeys(subjects) if one and one != self.row["actor_id"]]
        if others and (request := _request.get()):
            if request.wait_seconds is not None:
                raise TooManyLooks(request.wait_seconds)
            request.shown += len(others)
        return [self.row | {"id": uuid7(), "subject_id": one} for one in others]

    async def at(self, tx: Tx, subjects: Iterable[UUID | None]) -> None:
        """Record that these people are shown, in one statement."""
        if rows := self.rows(subjects):
            await confirm_caller()
            ids = {"ids": [row["id"] for row in rows], "subjects": [row["subject_id"] for row in rows]}
            await tx.execute(_INSERT_LOOKS, self.row | ids)


_INSERT_LOOKS = text("""
    INSERT INTO audit_log (id, actor_kind, actor_id, actor_name, session_id, request_id, subject_id, action, details,
                           created_at, look)
    SELECT one.id, :actor_kind, CAST(:actor_id AS uuid), :actor_name, CAST(:session_id AS uuid), :request_id,
           one.subject_id, :action, :details, CAST(:created_at AS timestamptz), true
    FROM unnest(CAST(:ids AS uuid[]), CAST(:subjects AS uuid[])) AS one (id, subject_id)
""").bindparams(bindparam("details", type_=JSONB))


def look(
    action: str,
    *,
    actor: By = FROM_REQUEST,
    **details: Any,  # noqa: ANN401 - any JSON
) -> Look:
    """Begin a look whose people are known only as they are read; rows go into the reading transactions."""
    if request := _request.get():
        request.looked = True
    return Look(_row(action, actor, None, details) | {"look": True})


async def record_looks(
    tx: Tx,
    action: str,
    subjects: Iterable[UUID | None],
    *,
    actor: By = FROM_REQUEST,
    **details: Any,  # noqa: ANN401 - any JSON
) -> None:
    """Record a look at other people's data, a row for each of them, in one statement.

    Looks at oneself and at erased people (None) leave no row. The rows go into the reading transaction: the answer
    leaves after the commit, so nothing is shown unrecorded.
    """
    await look(action, actor=actor, **details).at(tx, subjects)


async def record_look_at_everybody(tx: Tx, action: str, *, actor: By, **details: Any) -> None:  # noqa: ANN401 - any JSON
    """Record that everybody's data were written to a file that nobody has opened yet: one row, shown to all."""
    await write(tx, [look(action, actor=actor, **details).row])


def look_rows(
    action: str,
    subjects: Iterable[UUID | None],
    *,
    actor: By = FROM_REQUEST,
    **details: Any,  # noqa: ANN401 - any JSON
) -> list[dict[str, Any]]:
    """Return the rows of `record_looks`, for code that writes them elsewhere."""
    return look(action, actor=actor, **details).rows(subjects)
