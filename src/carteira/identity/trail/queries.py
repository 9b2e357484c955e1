"""Reads of the audit, with the actors' names and functions."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, SelectBase, Uuid, and_, any_, cast, func, or_, select, union_all

from carteira.identity.clients.models import ClientRow
from carteira.identity.models import Role, User
from carteira.identity.proof.service import proven_cpf
from carteira.kit.db.keyset import keyset
from carteira.kit.db.session import Tx
from carteira.kit.security.audit import AuditRecord
from carteira.kit.values.actor import ActorKind
from carteira.kit.values.ids import first_uuid7

IdsOf = Callable[[UUID, str | None], SelectBase | None]
"""Returns the query of the ids, beside the user's, under which a module records looks at a person with this proven CPF;
None: there are none."""

_FORMER_LOOKS = (
    "user_read",
    "user_listed",
    "users_reported",
    "users_exported",
    "role_read",
    "claims_read",
    "document_listed",
    "document_read",
    "document_file_read",
)
"""Actions of looks from before rows were marked as looks."""
_SKEW_SECONDS = 86_400
"""An id's time differs from its row's by less than this."""
_EVERYBODY = ("users_exported", "users_reported")
"""Looks at all people at once, which name nobody."""


@dataclass(frozen=True, slots=True)
class DataAccessView:
    """A look at a person's data; without an actor it was an operator's own tool."""

    id: UUID
    action: str
    actor_kind: str | None
    actor_id: UUID | None
    actor_name: str | None
    actor_role: str | None
    purpose: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class AuditView:
    """A row of the audit, with its actor's name and function."""

    id: UUID
    action: str
    look: bool
    actor_kind: str | None
    actor_id: UUID | None
    actor_name: str | None
    actor_role: str | None
    subject_id: UUID | None
    session_id: UUID | None
    request_id: str | None
    entry_id: UUID | None
    details: dict[str, Any]
    created_at: datetime


def _with_names(*columns: Any) -> Select[Any]:  # noqa: ANN401 - columns of any type
    """Select rows with the actor's name: a person's, a client's, or the job's or command's own."""
    name = func.coalesce(User.full_name, ClientRow.name, AuditRecord.actor_name)
    role = select(Role.description).where(Role.id == User.role_id, User.erased_at.is_(None)).correlate(User)
    return (
        select(*columns, name.label("actor_name"), role.scalar_subquery().label("actor_role"))
        .select_from(AuditRecord)
        .outerjoin(User, User.id == AuditRecord.actor_id)
        .outerjoin(ClientRow, ClientRow.id == AuditRecord.actor_id)
    )


async def accesses_to(  # noqa: PLR0913 - a list's filters and bounds
    tx: Tx,
    user_id: UUID,
    others: Sequence[IdsOf],
    *,
    limit: int,
    before: UUID | None = None,
    after: UUID | None = None,
    since: datetime | None = None,
    by: Collection[ActorKind] = (),
) -> list[DataAccessView]:
    """Return the looks at a person's data in all modules, newest first; `by` names kinds of actors, all if empty.

    `others` return the queries of the ids beside the user's. Looks at everybody count from the person's registration
    on.
    """
    cpf = await proven_cpf(tx, user_id) if others else None
    found = [query for ids_of in others if (query := ids_of(user_id, cpf)) is not None]
    ids = func.array(union_all(select(cast(user_id, Uuid)), *found).scalar_subquery())
    registered = select(User.created_at).where(User.id == user_id).scalar_subquery()
    purpose = AuditRecord.details["purpose"].astext.label("purpose")
    query = _with_names(AuditRecord, purpose).where(
        or_(AuditRecord.look, AuditRecord.action.in_(_FORMER_LOOKS)),
        or_(
            and_(AuditRecord.subject_id == any_(ids), AuditRecord.actor_id.is_distinct_from(user_id)),
            and_(
                AuditRecord.subject_id.is_(None),
                AuditRecord.action.in_(_EVERYBODY),
                AuditRecord.created_at >= registered,
            ),
        ),
    )
    if before is not None:
        query = query.where(AuditRecord.id < before)
    if after is not None:
        query = query.where(AuditRecord.id > after)
    if by:
        query = query.where(AuditRecord.actor_kind.in_(by))
    if since is not None:
        query = _since(query, since)
    return [
        DataAccessView(
            row.id, row.action, row.actor_kind, row.actor_id, name, role if row.actor_id else None, why, row.created_at
        )
        for row, why, name, role in await tx.execute(query.order_by(AuditRecord.id.desc()).limit(limit))
    ]


async def acts_about(  # noqa: PLR0913 - a list's filters and bounds
    tx: Tx, user_id: UUID, actions: Collection[str], *, after: UUID, before: UUID, limit: int
) -> Sequence[AuditRecord]:
    """Return the acts of these kinds that concern a person's account, newest first, between two ids."""
    query = (
        select(AuditRecord)
        .where(
            AuditRecord.subject_id == user_id,
            AuditRecord.action.in_(actions),
            AuditRecord.id > after,
            AuditRecord.id < before,
        )
        .order_by(AuditRecord.id.desc())
        .limit(limit)
    )
    return (await tx.scalars(query)).all()


def _since(query: Select[Any], since: datetime) -> Select[Any]:
    """Limit a query to rows from an instant on; ids are time-ordered, so the primary key finds them."""
    begin = first_uuid7(since.timestamp() - _SKEW_SECONDS)
    return query.where(AuditRecord.created_at >= since, AuditRecord.id >= begin)


@dataclass(frozen=True, slots=True)
class Asked:
    """Filters of rows; each that is not None applies."""

    actor: UUID | None = None
    subject: UUID | None = None
    action: str | None = None
    since: datetime | None = None
    until: datetime | None = None


async def listed(
    tx: Tx, asked: Asked, *, limit: int, before: UUID | None = None, turned: bool = False
) -> list[AuditView]:
    """Return rows of the audit, newest first, or the other way round."""
    query = _with_names(AuditRecord)
    if asked.actor is not None:
        query = query.where(AuditRecord.actor_id == asked.actor)
    if asked.subject is not None:
        query = query.where(AuditRecord.subject_id == asked.subject)
    if asked.action is not None:
        query = query.where(AuditRecord.action == asked.action)
    if asked.since is not None:
        query = _since(query, asked.since)
    if asked.until is not None:
        end = first_uuid7(asked.until.timestamp() + _SKEW_SECONDS)
        query = query.where(AuditRecord.created_at < asked.until, AuditRecord.id < end)
    query = keyset(query, AuditRecord.id, after=before, limit=limit, newest_first=True, turned=turned)
    return [
        AuditView(
            id=row.id,
            action=row.action,
            look=row.look,
            actor_kind=row.actor_kind,
            actor_id=row.actor_id,
            actor_name=name,
            actor_role=role,
            subject_id=row.subject_id,
            session_id=row.session_id,
            request_id=row.request_id,
            entry_id=row.entry_id,
            details=row.details,
            created_at=row.created_at,
        )
        for row, name, role in await tx.execute(query)
    ]
