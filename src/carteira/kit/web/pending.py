"""Operations that wait for a second person, over HTTP: see them, approve, refuse."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import orjson
from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field

from carteira.kit.db.session import Tx
from carteira.kit.ops.cooperative import dump_model
from carteira.kit.security import approvals_queries, audit
from carteira.kit.security.approvals import PendingOperation
from carteira.kit.values.actor import Actor
from carteira.kit.web.access import Who, acts, looks, reads, step_up
from carteira.kit.web.approvals import Desk, DeskDep, OrderChange
from carteira.kit.web.bodies import Body
from carteira.kit.web.idempotency import idempotent
from carteira.kit.web.json_route import JsonRoute, polled
from carteira.kit.web.pagination import BY_ID, Page, PageRequest, page_of
from carteira.kit.web.transaction import ReadTxDep, TxDep

router = APIRouter(route_class=JsonRoute, prefix="/pending", tags=["operation"])

Status = Literal["pending", "approved", "refused", "expired", "failed"]
_NAMED = 100
"""Most people that are named for an operation; a bulk file may be about thousands."""
Kind = Annotated[
    str | None, Query(pattern=r"^[a-z_.]{1,64}$", description="Tipo da operação", examples=["benefits.credit"])
]


class RefusalIn(Body):
    """The reason for refusing an operation."""

    reason: Annotated[str, Field(min_length=1, max_length=300)] | None = None


class ActorOut(BaseModel):
    """The maker of an operation."""

    kind: str
    id: str
    name: str | None = None


class CheckerOut(BaseModel):
    """The checker of an operation."""

    id: UUID
    name: str | None = None


class PendingOperationOut(BaseModel):
    """An operation that waits, or waited, for a second person."""

    id: UUID
    kind: str = Field(examples=["benefits.credit"])
    status: Status
    summary: str = Field(examples=["Creditar R$ 5.000,00 em FOOD da conta 123"])
    amount: int = Field(description="Em centavos; 0 se não move dinheiro")
    maker: ActorOut
    checker: CheckerOut | None = None
    created_at: datetime
    expires_at: datetime
    decided_at: datetime | None = None


class AboutOut(BaseModel):
    """A person whom an operation is about."""

    id: UUID
    name: str | None = None


class PendingChangeOut(BaseModel):
    """A change by an operation."""

    field: str = Field(examples=["email"])
    now: Any = Field(None, description="O valor de agora; `null`: não há")
    then: Any = Field(None, description="O valor depois de aprovada; `null`: não há")


class WholePendingOperationOut(PendingOperationOut):
    """An operation with its order, while it is pending, and its outcome."""

    order: Any = Field(None, description="O que foi pedido; `null` depois de decidida")
    outcome: Any = Field(None, description="O que a operação respondeu, o motivo da recusa ou da falha")
    about: list[AboutOut] | None = Field(
        None, description="De quem é, ou quem ganha, até 100 pessoas; só para quem pode aprovar, e enquanto espera"
    )
    changes: list[PendingChangeOut] | None = Field(
        None, description="O que muda, de que para quê; só para quem pode aprovar, e enquanto espera"
    )


async def shown_of(tx: Tx, desk: Desk, rows: Sequence[PendingOperation]) -> list[PendingOperationOut]:
    """Return operations with the names of their makers and checkers."""
    named = {found for row in rows for found in (_id_of(row.maker), row.checker_id) if found is not None}
    names = await desk.people.names_of(tx, named)
    return [PendingOperationOut(**_members(row, names)) for row in rows]


def _id_of(actor: Actor) -> UUID | None:
    """Return the id of a person or client."""
    return UUID(actor.id) if actor.kind in {"person", "client"} else None


def _members(row: PendingOperation, names: Mapping[UUID, str]) -> dict[str, Any]:
    maker_id = _id_of(row.maker)
    return {
        "id": row.id,
        "kind": row.kind,
        "status": row.status,
        "summary": row.summary,
        "amount": row.amount,
        "maker": ActorOut(kind=row.maker_kind, id=row.maker_id, name=names.get(maker_id) if maker_id else None),
        "checker": CheckerOut(id=row.checker_id, name=names.get(row.checker_id)) if row.checker_id else None,
        "created_at": row.created_at,
        "expires_at": row.expires_at,
        "decided_at": row.decided_at,
    }


@router.get(
    "",
    summary="Operações que esperam uma segunda pessoa",
    dependencies=[polled(), reads("operations by summaries, which hold no personal data")],
)
async def list_pending(  # noqa: PLR0913, PLR0917 - a route's parameters are its contract
    tx: ReadTxDep,
    who: Who,
    desk: DeskDep,
    status: Annotated[Status | None, Query(description="Sem ele, todas")] = None,
    kind: Kind = None,
    asked: PageRequest[UUID] = page_of(BY_ID),
) -> Page[PendingOperationOut]:
    """Lista, da mais nova à mais antiga, as operações que a pessoa pediu e as que ela pode aprovar."""
    rows = await approvals_queries.listed(
        tx,
        desk.seen_by(who),
        status=status,
        kind=kind,
        limit=asked.limit + 1,
        before=asked.after,
        turned=asked.turned,
    )
    page = asked.page(rows, lambda row: row.id)
    return Page(items=await shown_of(tx, desk, page.items), next_cursor=page.next_cursor)


OperationId = Annotated[UUID, Path(description="O `id` que o 202 respondeu")]


async def about_of(tx: Tx, desk: Desk, row: PendingOperation) -> list[AboutOut]:
    """Return the people an operation is about, for its checker."""
    names = await desk.people.names_of(tx, row.gaining_users[:_NAMED])
    return [AboutOut(id=user_id, name=names.get(user_id)) for user_id in row.gaining_users[:_NAMED]]


async def _as_json(
    tx: Tx,
    desk: Desk,
    row: PendingOperation,
    about: list[AboutOut] | None = None,
    changes: Sequence[OrderChange] | None = None,
) -> bytes:
    """Write an operation as JSON; its order and outcome may be megabytes and are JSON already."""
    (shown,) = await shown_of(tx, desk, [row])
    whole = shown.model_dump(mode="json") | {
        "about": about,
        "changes": changes,
        "order": desk.shown(row),
        "outcome": desk.outcome(row),
    }
    return orjson.dumps(whole, default=dump_model)


@router.get(
    "/{operation_id}",
    summary="Uma operação pendente",
    response_model=WholePendingOperationOut,
    dependencies=[polled(), looks("pending_operation_read")],
)
async def get_pending(operation_id: OperationId, tx: ReadTxDep, who: Who, desk: DeskDep) -> Response:
    """Mostra o que foi pedido, por quem, e o que aconteceu; a quem pediu e a quem pode aprovar."""
    row = await desk.find(tx, who, operation_id)
    await audit.record_looks(tx, "pending_operation_read", row.gaining_users, pending_id=str(row.id))
    if not desk.may_decide(who, row):
        return Response(await _as_json(tx, desk, row), media_type="application/json")
    about, changes = await about_of(tx, desk, row), await desk.changes(tx, row)
    return Response(await _as_json(tx, desk, row, about, changes), media_type="application/json")


@router.post(
    "/{operation_id}/approve",
    operation_id="approve_pending",
    summary="Aprovar",
    response_model=WholePendingOperationOut,
    dependencies=[step_up(), acts("operation_approved")],
)
@idempotent()
async def approve(operation_id: OperationId, tx: TxDep, who: Who, desk: DeskDep) -> bytes:
    """Aprova a operação, que é feita agora, em nome de quem a pediu, com todas as conferências de novo.

    Quem a pediu, e quem ganha com ela, não a aprova. Se ela já não pode ser feita, responde 409 `pending_failed`.
    """
    return await _as_json(tx, desk, await desk.approve(tx, who, operation_id))


@router.post(
    "/{operation_id}/refuse",
    operation_id="refuse_pending",
    summary="Recusar",
    response_model=WholePendingOperationOut,
    dependencies=[acts("operation_refused")],
)
@idempotent()
async def refuse(operation_id: OperationId, tx: TxDep, who: Who, desk: DeskDep, body: RefusalIn | None = None) -> bytes:
    """Recusa a operação, com o motivo; quem a pediu também pode desistir dela. Nada se move."""
    return await _as_json(tx, desk, await desk.refuse(tx, who, operation_id, body.reason if body else None))
