"""The desk: operators' operations, carried out at once or, above a limit, once a second person has approved them.

A module declares each kind as an `Operation` and hands it to the composition root; a route takes `DeskDep` and answers
`await desk.carry_out(tx, OPERATION, order, who)`: what the verb answers, or 202 with the pending operation. An
operation that always takes two goes through `desk.propose`.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Generic, Literal, NoReturn, TypeVar
from uuid import UUID

import orjson
from fastapi import Depends
from fastapi.encoders import jsonable_encoder
from pydantic import BaseModel

from carteira.kit.db.errors import CommitThenRaise
from carteira.kit.db.one_row import OneRow
from carteira.kit.db.session import Tx
from carteira.kit.security import approvals, approvals_queries, audit, operator_days
from carteira.kit.security.approvals import Act, ApprovedAct, Gains, MustWait, OperatorAct, PendingOperation
from carteira.kit.security.sealing import Sealer
from carteira.kit.values.actor import Actor
from carteira.kit.values.clock import clock
from carteira.kit.values.ids import uuid7
from carteira.kit.values.limits import Limit
from carteira.kit.web.access import EVERY_CLAIM, Principal
from carteira.kit.web.idempotency import Answered
from carteira.kit.web.problems import Conflict, Forbidden, NotFound, Problem, Refusal, problem_of
from carteira.kit.web.state import StateKey

Order = TypeVar("Order", bound=BaseModel)
CLAIM = "money:approve"


class PendingNotFound(NotFound):
    """There is no such operation, or the caller neither made it nor may approve it."""

    code = "pending_not_found"
    detail = "Operação pendente não encontrada."


class PendingDecided(Conflict):
    """The operation was decided already; `decided_by` and `status` say by whom and how."""

    code = "pending_decided"
    detail = "Esta operação já foi decidida."


class PendingExpired(Refusal):
    """The operation expired before anybody approved it."""

    status = 409
    code = "pending_expired"
    title = "Operação vencida"
    detail = "O prazo para aprovar esta operação passou. Peça de novo."


class PendingFailed(Refusal):
    """The operation can no longer be carried out; `reason` holds its own problem."""

    status = 409
    code = "pending_failed"
    title = "Operação não realizada"
    detail = "A operação foi aprovada, mas já não pode ser feita. Nada se moveu."


class MakerGone(Conflict):
    """Its maker may no longer ask for it (suspended, erased, revoked, or without the claim); it is not carried out."""

    code = "maker_gone"
    detail = "Quem pediu a operação já não pode pedi-la."


class CheckerNotAPerson(Forbidden):
    """The caller is a client: only people approve."""

    code = "checker_not_a_person"
    detail = "Só uma pessoa aprova operações."


@dataclass(frozen=True, slots=True)
class OrderChange:
    """A change by an order: a field's value now, and after the approval; None: there is none. Both are JSON-ready."""

    field: str
    now: Any
    then: Any


@dataclass(frozen=True, slots=True)
class OrderLine:
    """A line of a long order, as it would be carried out now; amounts in centavos.

    Attributes:
        number: Its number in the file.
        subject: The account, or the masked CPF that one is opened for.
        group: The employer's name; empty: unknown.
        parts: The amount of each kind of balance.
        state: `done`: it is carried out; `unchanged`: it was before; `wrong`: it is not.
        detail: Why it is not carried out.
        holder: The holder of its balances; None: they are opened with it.
        earlier: What earlier lines add to the same balance.
    """

    number: int
    subject: str
    group: str = ""
    parts: Mapping[str, int] = field(default_factory=dict)
    state: Literal["done", "unchanged", "wrong"] = "done"
    detail: str = ""
    holder: UUID | None = None
    earlier: int = 0

    @property
    def amount(self) -> int:
        """The sum of its parts."""
        return sum(self.parts.values())


@dataclass(frozen=True, slots=True)
class LongOrder:
    """A long order, as it would be carried out now.

    Attributes:
        lines: Its lines.
        refusal: Why the whole would be refused now; empty: it would not be.
        day: The day on which it is carried out; None: at its approval.
    """

    lines: Sequence[OrderLine]
    refusal: str = ""
    day: date | None = None


@dataclass(frozen=True)
class OrderReader(Generic[Order]):
    """Reads a long order for its checker, as it would be carried out now for its maker.

    Attributes:
        read: Returns the order with its lines; it may raise what the verb would.
        balances: Returns the balances of some lines before and after each; None: the line changes none.
    """

    read: Callable[[Tx, Order, Actor], Awaitable[LongOrder]]
    balances: Callable[[Tx, Sequence[OrderLine]], Awaitable[Sequence[tuple[int, int] | None]]]


@dataclass(frozen=True)
class Operation(Generic[Order]):
    """A kind of operation that may have to wait for a second person.

    Attributes:
        kind: Its name, `module.what`.
        order: The model of its order; stored as JSON while it waits.
        run: The verb that carries it out in the given transaction, and reports its amount to the act (`Act.weigh`).
        asked_by: The claim that its maker must hold, when asking and still at the approval.
        limit: The limit that its amount counts against; none if it always needs two people.
        claim: The claim that its checker must hold.
        check: A further check of its checker; if it fails, the checker is refused and the operation stays pending.
        show: Returns the part of an order that a checker sees; by default all of it.
        changes: Reads what an order changes, as it is now, for its checker; none for a kind that only adds, or moves
            what its summary says.
        reader: Reads the lines of an order that may have thousands; none for an order of one thing.
    """

    kind: str
    order: type[Order]
    run: Callable[[Tx, Order, Act], Awaitable[object]]
    asked_by: str
    limit: str | None = None
    claim: str = CLAIM
    check: Callable[[Tx, Order, Principal], Awaitable[None]] | None = None
    show: Callable[[Order], object] | None = None
    changes: Callable[[Tx, Order], Awaitable[Sequence[OrderChange]]] | None = None
    reader: OrderReader[Order] | None = None


@dataclass(frozen=True, slots=True)
class OperatorRoom:
    """An operator's room under a limit, in centavos: for one act, for a day, and left of today; None: any amount."""

    alone: int | None
    daily: int | None
    left: int | None


@dataclass(frozen=True)
class People:
    """The functions by which the desk learns about people."""

    cpf_of: approvals.FindCpf
    still_may: Callable[[Tx, Actor, str], Awaitable[bool]]
    """Returns whether the maker of an operation may still use a claim."""
    names_of: Callable[[Tx, Iterable[UUID]], Awaitable[Mapping[UUID, str]]]
    behind: approvals.FindBehind = approvals.no_people_behind
    clients_of: Callable[[Tx, UUID], Awaitable[Collection[UUID]]] | None = None
    """Returns the clients that a person can act as."""
    require_cpf_proof: Callable[[Tx, UUID], Awaitable[None]] | None = None
    """Raises where a checker's CPF is not proven, since they may then gain by the operation unnoticed."""


class OperationOut(BaseModel):
    """A pending operation, as its maker sees it."""

    id: UUID
    kind: str
    expires_at: datetime


class WaitingOut(BaseModel):
    """The 202 answer: a second person has to approve."""

    pending: OperationOut


MAY_WAIT: dict[int | str, dict[str, Any]] = {
    202: {"model": WaitingOut, "description": "Acima do limite: espera a aprovação de uma segunda pessoa"}
}
"""The `responses` of a route whose operation may have to wait."""


class Desk:
    """Carries operations out or stores them as pending, and decides pending ones."""

    def __init__(  # noqa: PLR0913 - the desk's collaborators
        self,
        operations: Iterable[Operation[Any]],
        limits: Iterable[Limit],
        *,
        lasts: timedelta,
        people: People,
        digests: Callable[[str], Sequence[bytes]],
        sealer: Sealer,
    ) -> None:
        self.people = people
        self._operations = {operation.kind: operation for operation in operations}
        self._limits = {limit.name: limit for limit in limits}
        self._lasts = lasts
        self._digests = digests
        self._sealer = sealer

    async def carry_out(self, tx: Tx, operation: Operation[Order], order: Order, who: Principal) -> object:
        """Carry an operation out and return its verb's result; above its limit store it and return the 202 answer.

        Raises:
            DailyCeilingReached: it exceeds what is left of the operator's daily ceiling.
        """
        limit = self._limit(operation)
        act = OperatorAct(who.actor, find_cpf=self.people.cpf_of, behind=self.people.behind, limit=limit)
        if limit is None or limit.alone is None:
            return await operation.run(tx, order, act)
        savepoint = await tx.begin_nested()
        try:
            return await operation.run(tx, order, act)
        except MustWait as wait:
            await savepoint.rollback()
            return await self.propose(
                tx,
                operation,
                order,
                who.actor,
                summary=wait.summary,
                amount=wait.amount,
                gains=wait.gains,
                scope=wait.scope,
            )

    def alone(self, limit: str) -> int | None:
        """Return the most that one operator may do alone under a limit; None: any amount."""
        known = self._limits.get(limit)
        return None if known is None else known.alone

    async def room(self, tx: Tx, limit: str, who: Principal) -> OperatorRoom:
        """Return an operator's room under a limit."""
        known = self._limits.get(limit)
        if known is None:
            return OperatorRoom(None, None, None)
        left = None
        if known.daily is not None:
            left = max(known.daily - await operator_days.used_on(tx, who.actor, limit, clock.today()), 0)
        return OperatorRoom(known.alone, known.daily, left)

    def day_of(self, operation: Operation[Any], who: Principal, amount: int) -> tuple[object, ...] | None:
        """Return the parameters of `COUNT_DAY` for an operation; None: its amount needs a second person."""
        return operator_days.day_of(who.actor, self._limit(operation), amount)

    def _limit(self, operation: Operation[Any]) -> Limit | None:
        return None if operation.limit is None else self._limits.get(operation.limit)

    async def propose(  # noqa: PLR0913 - the fields of a pending operation
        self,
        tx: Tx,
        operation: Operation[Order],
        order: Order,
        maker: Actor,
        *,
        summary: str,
        gains: Gains,
        amount: int = 0,
        scope: UUID | None = None,
    ) -> Answered:
        """Store an operation that waits for a second person, and return its route's 202 answer.

        `summary` describes it to the checker in Portuguese, without personal data; `gains` are the people who may not
        approve it.

        Raises:
            DailyCeilingReached: its amount exceeds what is left of the maker's daily ceiling.
        """
        operation_id = uuid7()
        proposal = approvals.Proposal(
            id=operation_id,
            kind=operation.kind,
            payload=approvals.seal(self._sealer, operation_id, order.model_dump_json()),
            summary=summary,
            amount=amount,
            maker=maker,
            users=gains.users,
            cpf_digests={self._digests(cpf)[0] for cpf in gains.cpfs},
            limit=self._limit(operation),
            scope=scope,
        )
        row = await approvals.write_down(tx, proposal, lasts=self._lasts)
        subject = next(iter(gains.users)) if len(gains.users) == 1 else None
        await audit.record(
            tx,
            audit.PROPOSED,
            actor=maker,
            subject=subject,
            operation=row.kind,
            pending_id=str(row.id),
            amount=amount or None,
        )
        return _waits(row)

    @staticmethod
    async def waiting_for(tx: Tx, operation: Operation[Any], user_id: UUID) -> Answered | None:
        """Return the 202 answer of an operation about a person that is pending already: asking twice stores one."""
        row = await approvals_queries.waiting_for(tx, operation.kind, user_id)
        if row is None:
            return None
        audit.nothing_done()
        return _waits(row)

    def seen_by(self, who: Principal) -> approvals_queries.Seen:
        """Return the operations that a caller may see: their own, and those of kinds that they may approve."""
        kinds = [operation.kind for operation in self._operations.values() if who.may(operation.claim)]
        return approvals_queries.Seen(kinds, who.actor, who.scopes)

    async def parties(self, tx: Tx, who: Principal) -> frozenset[UUID]:
        """Return a person and the clients that they act as; they do not decide what one of these made or gains by."""
        clients_of = self.people.clients_of
        return frozenset({who.id, *(await clients_of(tx, who.id) if clients_of is not None else ())})

    async def decidable(self, tx: Tx, who: Principal, parties: Collection[UUID]) -> OneRow[int] | None:
        """Return the query that counts the pending operations that a person may approve; None: there can be none."""
        seen = self.seen_by(who)
        if not seen.kinds or who.kind != "person":
            return None
        cpf = await self.people.cpf_of(tx, who.user_id)
        return approvals_queries.count_for(seen, parties, self._digests(cpf) if cpf else ())

    def shown(self, row: PendingOperation) -> object:
        """Return a checker's part of an order, for orjson; None once it is decided or if the module is off."""
        operation = self._operations.get(row.kind)
        payload = approvals.opened(self._sealer, row, row.payload)
        if payload is None or operation is None:
            return None
        if operation.show is None:
            return orjson.Fragment(payload)
        return operation.show(operation.order.model_validate_json(payload))

    async def changes(self, tx: Tx, row: PendingOperation) -> Sequence[OrderChange]:
        """Return the changes of a pending operation, for its checker; none if its subject no longer exists."""
        operation = self._operations.get(row.kind)
        payload = approvals.opened(self._sealer, row, row.payload)
        if payload is None or operation is None or operation.changes is None:
            return ()
        try:
            return await operation.changes(tx, operation.order.model_validate_json(payload))
        except Problem:
            return ()

    async def long_order(self, tx: Tx, row: PendingOperation) -> LongOrder | None:
        """Return a pending long order with its lines; None for another order, or one that is decided."""
        operation = self._operations.get(row.kind)
        payload = approvals.opened(self._sealer, row, row.payload)
        if payload is None or operation is None or operation.reader is None:
            return None
        if not await self.people.still_may(tx, row.maker, operation.asked_by):
            return LongOrder((), MakerGone.detail)
        try:
            return await operation.reader.read(tx, operation.order.model_validate_json(payload), row.maker)
        except Problem as error:
            return LongOrder((), next((one["message"] for one in error.errors), error.detail))

    async def balances(
        self, tx: Tx, row: PendingOperation, lines: Sequence[OrderLine]
    ) -> Sequence[tuple[int, int] | None]:
        """Return the balances before and after each of some lines of a long order; None: it changes none."""
        operation = self._operations.get(row.kind)
        assert operation is not None and operation.reader is not None, "its lines were read"  # noqa: PT018 - one fact
        return await operation.reader.balances(tx, lines)

    def outcome(self, row: PendingOperation) -> object:
        """Return an operation's outcome, for orjson: its verb's answer, or the reason of a refusal or a failure."""
        outcome = approvals.opened(self._sealer, row, row.outcome)
        return None if outcome is None else orjson.Fragment(outcome)

    def may_decide(self, who: Principal, row: PendingOperation) -> bool:
        """Return whether a caller is a person who may approve a pending operation and did not make it."""
        operation = self._operations.get(row.kind)
        waits = row.status == approvals.PENDING and row.maker != who.actor
        return waits and who.kind == "person" and operation is not None and who.may(operation.claim)

    async def find(self, tx: Tx, who: Principal, operation_id: UUID) -> PendingOperation:
        """Return an operation to its maker, or to a person who may approve it.

        Raises:
            PendingNotFound: there is none, or the caller is neither.
            SecondFactorRequired: the claim waits for the session's second factor.
        """
        return self._visible(await approvals.find(tx, operation_id), who)

    def _visible(self, row: PendingOperation | None, who: Principal) -> PendingOperation:
        if row is None:
            raise PendingNotFound
        operation = self._operations.get(row.kind)
        if row.maker == who.actor:
            return row
        if operation is None or not (who.may(operation.claim) or {operation.claim, EVERY_CLAIM} & who.withheld):
            raise PendingNotFound
        if who.scopes is not None and row.scope not in who.scopes:
            raise PendingNotFound
        who.require(operation.claim)
        return row

    async def approve(self, tx: Tx, who: Principal, operation_id: UUID) -> PendingOperation:
        """Approve an operation: its verb runs again, in this transaction, for its maker.

        Raises:
            PendingNotFound, PendingDecided, PendingExpired: there is nothing to approve (any more).
            Forbidden, CheckerNotAPerson: the claim is missing, or the caller is a program.
            OwnOperation: the caller made it, or gains by it.
            Problem: what `People.require_cpf_proof` or the operation's own `check` raises.
            PendingFailed: its verb refused; the operation has failed, with the reason, and nothing moved.
        """
        row, operation = await self._undecided(tx, who, operation_id)
        who.require(operation.claim)
        if who.actor.kind != "person":
            raise CheckerNotAPerson
        await self._refuse_own(tx, row, who)
        if not await self.people.still_may(tx, row.maker, operation.asked_by):
            await self._fail(tx, row, who, MakerGone())
        payload = approvals.opened(self._sealer, row, row.payload)
        assert payload is not None, "a pending operation has its order"
        order = operation.order.model_validate_json(payload)
        if operation.check is not None:
            await operation.check(tx, order, who)
        act = ApprovedAct(
            row.maker,
            who.user_id,
            f"pending:{row.id}",
            find_cpf=self.people.cpf_of,
            behind=self.people.behind,
            proposed=row.amount,
        )
        savepoint = await tx.begin_nested()
        try:
            result = await operation.run(tx, order, act)
        except (Problem, approvals.OperationChanged) as error:
            reason = problem_of(error)
            if reason.status >= 500:  # noqa: PLR2004 - HTTP's own bound
                raise
            await savepoint.rollback()
            await self._fail(tx, row, who, reason)
        carried_out = row.amount if act.weighed is None else act.weighed
        outcome = result if isinstance(result, bytes) else orjson.dumps(jsonable_encoder(result))
        sealed = approvals.seal(self._sealer, row.id, outcome.decode())
        await approvals.end(tx, row, approvals.APPROVED, checker=who.user_id, outcome=sealed, carried_out=carried_out)
        await audit.record(tx, "operation_approved", operation=row.kind, pending_id=str(row.id))
        return row

    async def _fail(self, tx: Tx, row: PendingOperation, who: Principal, reason: Problem) -> NoReturn:
        failure = {"code": reason.code, "detail": reason.detail}
        outcome = orjson.dumps(failure).decode()
        await approvals.end(tx, row, approvals.FAILED, checker=who.user_id, outcome=outcome)
        raise CommitThenRaise(PendingFailed(f"{PendingFailed.detail} {reason.detail}", reason=failure))

    async def refuse(self, tx: Tx, who: Principal, operation_id: UUID, reason: str | None) -> PendingOperation:
        """Refuse an operation, or withdraw one's own; nothing moves.

        Raises:
            PendingNotFound, PendingDecided, PendingExpired: there is nothing to refuse (any more).
        """
        row, _ = await self._undecided(tx, who, operation_id)
        outcome = orjson.dumps({"reason": reason}).decode()
        await approvals.end(tx, row, approvals.REFUSED, checker=who.id, outcome=outcome)
        await audit.record(tx, "operation_refused", operation=row.kind, pending_id=str(row.id))
        return row

    async def _undecided(self, tx: Tx, who: Principal, operation_id: UUID) -> tuple[PendingOperation, Operation[Any]]:
        """Lock an operation that is still to be decided.

        Raises:
            PendingNotFound: there is none, it is not for the caller to see, or its module is off.
            PendingDecided, PendingExpired: it was decided, or its time has passed.
        """
        row = self._visible(await approvals.lock_operation(tx, operation_id), who)
        operation = self._operations.get(row.kind)
        if operation is None:
            raise PendingNotFound
        if row.status == approvals.EXPIRED:
            raise PendingExpired
        if row.status != approvals.PENDING:
            raise await self._decided(tx, row)
        if row.expires_at <= clock.now():
            await approvals.end(tx, row, approvals.EXPIRED, checker=None, outcome=None)
            raise CommitThenRaise(PendingExpired())
        return row, operation

    async def _decided(self, tx: Tx, row: PendingOperation) -> PendingDecided:
        """Return the problem that names who decided it first."""
        assert row.checker_id is not None, "what did not expire was decided by somebody"
        name = (await self.people.names_of(tx, [row.checker_id])).get(row.checker_id)
        return PendingDecided(
            f"Esta operação já foi {_PARTICIPLE[row.status]} por {name or 'outra pessoa'}.",
            decision=row.status,
            decided_by={"id": str(row.checker_id), "name": name},
        )

    async def _refuse_own(self, tx: Tx, row: PendingOperation, who: Principal) -> None:
        """Refuse a checker who made the operation or gains by it, themselves or as a client."""
        barred = await approvals.barred(tx, row, self.people.behind)
        cpf = await self.people.cpf_of(tx, who.user_id) if row.gaining_cpfs else None
        gains = cpf is not None and not set(row.gaining_cpfs).isdisjoint(self._digests(cpf))
        if row.gaining_cpfs and self.people.require_cpf_proof is not None:
            await self.people.require_cpf_proof(tx, who.user_id)
        if gains or who.user_id in barred:
            raise approvals.OwnOperation


def _waits(row: PendingOperation) -> Answered:
    return Answered(202, WaitingOut(pending=OperationOut(id=row.id, kind=row.kind, expires_at=row.expires_at)))


_PARTICIPLE = {
    approvals.APPROVED: "aprovada",
    approvals.REFUSED: "recusada",
    approvals.FAILED: "aprovada, sem sucesso,",
}


DESK = StateKey[Desk]("desk")
DeskDep = Annotated[Desk, Depends(DESK)]
"""A route's desk."""
