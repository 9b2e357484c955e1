"""Idempotency keys: a repeated request gets the first answer and moves nothing.

Source: contract.md, Habits; IETF draft Idempotency-Key.

The record is written in the transaction that does the work: a rollback leaves none, a refusal leaves its answer. Other
failures that commit (`CommitThenRaise`) keep their writes but leave no record, so the key may be used again.

A record of money is kept for ever, so that its key never moves anything again; after some weeks its answer is reduced
to ids and numbers. Other records are deleted then. Erasing a person deletes theirs.
"""

import hashlib
import inspect
import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial, wraps
from typing import Annotated, Any, NamedTuple, ParamSpec
from uuid import UUID

import orjson
from fastapi import Depends, Header, Request, Response
from fastapi.encoders import jsonable_encoder
from pydantic import BaseModel
from sqlalchemy import (
    Boolean,
    ColumnElement,
    LargeBinary,
    SmallInteger,
    Text,
    delete,
    false,
    func,
    select,
    true,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, mapped_column

from carteira.kit.db.base import INSTANT, Base
from carteira.kit.db.engine import Database
from carteira.kit.db.errors import CommitThenRaise
from carteira.kit.db.insert import Insert
from carteira.kit.db.session import LeanTx, Tx, fetch, roll_back
from carteira.kit.ops.cooperative import dump_json
from carteira.kit.security import audit
from carteira.kit.values.clock import clock
from carteira.kit.web.access import confirm
from carteira.kit.web.lean_route import lean
from carteira.kit.web.problems import MEDIA_TYPE, InvalidInput, Refusal
from carteira.kit.web.public_address import route_path
from carteira.kit.web.state import DATABASE
from carteira.kit.web.transaction import TxDep

P = ParamSpec("P")
REPLAYED = "Idempotency-Replayed"


class IdempotencyKeyReused(InvalidInput):
    """The key was used before, with another request."""

    code = "idempotency_key_reused"
    title = "Chave de idempotência já usada"
    detail = "Esta Idempotency-Key já foi usada em um pedido com outro conteúdo."


class IdempotencyRecord(Base):
    """A key's first request and its answer; `reduced`: its texts were removed."""

    __tablename__ = "idempotency_keys"

    caller: Mapped[str] = mapped_column(Text, primary_key=True)
    key: Mapped[str] = mapped_column(Text, primary_key=True)
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary)
    status: Mapped[int | None] = mapped_column(SmallInteger)
    body: Mapped[bytes | None] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(INSTANT, server_default=func.now())
    money: Mapped[bool] = mapped_column(Boolean, server_default=true())
    reduced: Mapped[bool] = mapped_column(Boolean, server_default=false())


@dataclass(frozen=True, slots=True)
class Answered:
    """Returned by a route whose answer has another status than its declared one."""

    status: int
    body: object


@dataclass(frozen=True, slots=True)
class Call:
    """A request that may be repeated: its caller, its key, and its content."""

    caller: str
    key: str | None
    operation: str

    async def answer(  # noqa: PLR0913 - the parts of a request that may be repeated
        self,
        tx: Tx,
        payload: object,
        work: Callable[[], Awaitable[object]],
        *,
        status: int = 200,
        money: bool = True,
        alone: bool = False,
    ) -> Response:
        """Do the work and return its result as JSON with `status`; a `Refusal` under a key is recorded too.

        A refusal undoes what the work wrote, by a savepoint; or, where the transaction holds nothing else (`alone`), by
        its rollback, which saves the trips of the savepoint.

        Raises:
            IdempotencyKeyReused: the key belongs to another request.
        """
        if self.key is None:
            return _json(await work(), status)
        fingerprint = self.fingerprint(await _written(payload))
        claim = insert(IdempotencyRecord).on_conflict_do_nothing().returning(IdempotencyRecord.key)
        mine = {"caller": self.caller, "key": self.key, "fingerprint": fingerprint, "money": money}
        if await tx.scalar(claim.values(mine)) is None:
            return await self._replay(tx, fingerprint)
        savepoint = None if alone else await tx.begin_nested()
        try:
            response = _json(await work(), status)
        except Refusal as refusal:
            audit.nothing_done()
            response = refusal.response()
            if savepoint is None:
                await roll_back(tx)
                reply = {"status": response.status_code, "body": response.body}
                # Between the rollback and this claim another process may have answered.
                recorded = await tx.scalar(claim.values(mine | reply))
                return response if recorded is not None else await self._replay(tx, fingerprint)
            await savepoint.rollback()
        except CommitThenRaise as failure:
            if not isinstance(failure.error, Refusal):
                await tx.execute(delete(IdempotencyRecord).where(*self._mine()))
                raise
            audit.nothing_done()
            response = failure.error.response()
        answer = update(IdempotencyRecord).where(*self._mine())
        await tx.execute(answer.values(status=response.status_code, body=response.body))
        return response

    def _mine(self) -> tuple[ColumnElement[bool], ...]:
        return IdempotencyRecord.caller == self.caller, IdempotencyRecord.key == self.key

    async def answered(self, tx: Tx, payload: object) -> Response | None:
        """Return the recorded first answer; None where there is none yet.

        For callers that do part of the work before `answer`: a repetition must not reach work that would be refused by
        now.

        Raises:
            IdempotencyKeyReused: the key belongs to another request.
        """
        if self.key is None or await self._record(tx) is None:
            return None
        return await self._replay(tx, self.fingerprint(await _written(payload)))

    async def first_at(self, tx: Tx) -> datetime | None:
        """Return when a request under the key was first answered; None: never."""
        at: datetime | None = await tx.scalar(select(IdempotencyRecord.created_at).where(*self._mine()))
        return at

    async def _record(self, tx: Tx) -> IdempotencyRecord | None:
        found: IdempotencyRecord | None = await tx.scalar(select(IdempotencyRecord).where(*self._mine()))
        return found

    async def _replay(self, tx: Tx, fingerprint: bytes) -> Response:
        record = await self._record(tx)
        assert record is not None, "what was claimed a moment ago is weeks from its deletion"
        assert record.status is not None, "a claimed key commits with its answer"
        if record.fingerprint != fingerprint:
            raise IdempotencyKeyReused
        audit.nothing_done()
        return answer_of(record.status, record.body or b"", replayed=True)

    def fingerprint(self, content: bytes) -> bytes:
        """Return the digest that two requests under one key must share; `content` is JSON with sorted members."""
        return hashlib.sha256(self.operation.encode() + b"\0" + content).digest()


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """A request's answer, for a verb that writes it in the statement that moves its money (`RECORDS`)."""

    call: Call
    fingerprint: bytes
    status: int

    def answer(self, result: object) -> tuple[Response, tuple[object, ...]]:
        """Return a result as the answer, and the parameters of `RECORDS`."""
        response, call = _json(result, self.status), self.call
        if call.key is None:
            return response, ([], [], [], [], [])
        rows = [call.caller], [call.key], [self.fingerprint], [response.status_code], [bytes(response.body)]
        return response, rows


AtOnce = Callable[[Database, KeptAnswer, Mapping[str, Any]], Awaitable[Response | None]]
"""Does a route's work in one read and one write, with its answer under the key; None: nothing was written, and the
route itself does the work. It gets the route's arguments."""


async def _written(payload: object) -> bytes:
    if isinstance(payload, BaseModel):
        return orjson.dumps(payload.model_dump(mode="json", by_alias=True), option=orjson.OPT_SORT_KEYS)
    if not isinstance(payload, list):
        return orjson.dumps(jsonable_encoder(payload), option=orjson.OPT_SORT_KEYS)
    try:
        return await dump_json(payload, orjson.OPT_SORT_KEYS)
    except TypeError:  # an integer of more than 64 bits, which JSON may hold
        return json.dumps(payload, sort_keys=True).encode()


def answer_of(status: int, body: bytes, *, replayed: bool = False) -> Response:
    """Return a response whose body is JSON already: a new one or a replay."""
    media_type = MEDIA_TYPE if status >= 400 else "application/json"  # noqa: PLR2004 - HTTP's own bound
    return Response(body, status, {REPLAYED: "true"} if replayed else None, media_type)


RECORDS = Insert(
    (
        "idempotency_keys (caller, key, fingerprint, status, body)",
        "SELECT * FROM unnest({0}::text[], {1}::text[], {2}::bytea[], {3}::smallint[], {4}::bytea[])",
    ),
    parameters=5,
)
"""Appends answers in the statement that moves their money: callers, keys, fingerprints, statuses, bodies.

Rows are sorted by caller and key, so that two processes with the same ones cannot deadlock."""
_ANSWERED = """
    SELECT caller, key, fingerprint, status, body FROM idempotency_keys
    WHERE (caller, key) IN (SELECT * FROM unnest($1::text[], $2::text[]))
"""


class Recorded(NamedTuple):
    """An answer as it was recorded, by caller and key."""

    caller: str
    key: str
    fingerprint: bytes
    status: int
    body: bytes


async def recorded(tx: LeanTx, keys: Sequence[tuple[str, str]]) -> list[Recorded]:
    """Return the recorded answers of pairs of caller and key."""
    rows = await fetch(tx, _ANSWERED, [caller for caller, _ in keys], [key for _, key in keys])
    return [Recorded(*row) for row in rows]


def _json(result: object, status: int) -> Response:
    answered = result if isinstance(result, Answered) else Answered(status, result)
    body = answered.body
    if answered.status == 204:  # noqa: PLR2004 - HTTP's own: no content
        return Response(status_code=answered.status)
    if isinstance(body, BaseModel):  # as `jsonable_encoder`, which goes through the result once more
        body = orjson.dumps(body.model_dump(mode="json", by_alias=True))
    content = body if isinstance(body, bytes) else orjson.dumps(jsonable_encoder(body))
    return Response(content, answered.status, media_type="application/json")


@dataclass(frozen=True, slots=True)
class Once:
    """The outcome of work that is done at most once; `first_at` is set for a repetition: when it was first sent."""

    response: Response
    first_at: datetime | None


async def once(  # noqa: PLR0913 - the parts of a request that may be repeated
    tx: Tx,
    caller: UUID,
    key: str,
    *,
    operation: str,
    payload: object,
    work: Callable[[], Awaitable[object]],
    money: bool = True,
) -> Once:
    """Do a form's work at most once per caller and key, as `idempotent` does for routes.

    Raises:
        IdempotencyKeyReused: the key belongs to another request.
    """
    call = Call(str(caller), key, operation)
    response = await call.answer(tx, payload, work, money=money)
    return Once(response, await call.first_at(tx) if REPLAYED in response.headers else None)


async def _call(
    request: Request,
    idempotency_key: Annotated[
        str | None, Header(min_length=1, max_length=255, description="Repita o pedido com a mesma chave sem medo.")
    ] = None,
) -> Call:
    principal = getattr(request.state, "principal", None)
    caller = str(principal.id) if principal else "anonymous"
    query = request.scope["query_string"].decode("latin-1")
    return Call(caller, idempotency_key, f"{request.method} {route_path(request)}?{query}")


CallDep = Annotated[Call, Depends(_call)]
"""The request with its key; it stands behind the route's parameter for the caller."""


@dataclass(frozen=True, slots=True)
class _CallInTx:
    tx: Tx
    call: Call


async def _call_in_tx(tx: TxDep, call: CallDep) -> _CallInTx:
    return _CallInTx(tx, call)


@dataclass(frozen=True, slots=True)
class _CallAlone:
    request: Request
    call: Call


async def _call_alone(request: Request, call: CallDep) -> _CallAlone:
    return _CallAlone(request, call)


PARAMETER = "idempotent_call"
"""The parameter that `idempotent` adds to a route."""
TRIED_AT_ONCE = lean("it needs no session as long as `at_once` answers", confirms_late=True)
"""Stands among the dependencies of a route with `at_once`."""


def idempotent(
    *,
    status: int = 200,
    payload: Callable[[Mapping[str, Any]], object] = lambda arguments: arguments.get("body"),
    money: bool = True,
    at_once: AtOnce | None = None,
) -> Callable[[Callable[P, Awaitable[object]]], Callable[P, Awaitable[Response]]]:
    """Decorate a route whose work, under an `Idempotency-Key`, is done at most once per caller and key.

    The route takes `TxDep`, in which the key's record is written; its other dependencies write nothing into it, since a
    refusal rolls it back. `status` is what the route declares for success. `payload` selects the arguments of the route
    that a repetition must share with the first request, beside method and address: by default its `body`. They may be a
    list, parsed from JSON or CSV. A route that returns bytes has written its JSON itself. Records of routes that move
    no money (`money=False`) are deleted after some weeks.

    `at_once` is tried first: it answers the plain case in two trips, and leaves all else to the route, a key that was
    used before included. The route's transaction is opened only then.
    """

    def decorate(route: Callable[P, Awaitable[object]]) -> Callable[P, Awaitable[Response]]:
        @wraps(route)
        async def once(*args: P.args, **kwargs: P.kwargs) -> Response:
            mine = kwargs.pop(PARAMETER)
            assert isinstance(mine, _CallInTx), "FastAPI resolves it"
            work = partial(route, *args, **kwargs)
            return await mine.call.answer(mine.tx, payload(kwargs), work, status=status, money=money, alone=True)

        return _with_call(once, route, _call_in_tx)

    def decorate_tried(route: Callable[P, Awaitable[object]]) -> Callable[P, Awaitable[Response]]:
        assert at_once is not None, "it is tried"
        first_try = at_once
        (tx_name,) = (one.name for one in inspect.signature(route).parameters.values() if one.annotation == TxDep)

        @wraps(route)
        async def once(*args: P.args, **kwargs: P.kwargs) -> Response:
            mine = kwargs.pop(PARAMETER)
            assert isinstance(mine, _CallAlone), "it is resolved before the route"
            asked, call, database = payload(kwargs), mine.call, DATABASE.of(mine.request.app)
            fingerprint = call.fingerprint(await _written(asked)) if call.key else b""
            answer = await first_try(database, KeptAnswer(call, fingerprint, status), kwargs)
            if answer is not None:
                return answer
            await confirm(mine.request)
            async with database.transaction() as tx:
                kwargs.update({tx_name: tx})
                work = partial(route, *args, **kwargs)
                return await call.answer(tx, asked, work, status=status, money=money, alone=True)

        return _with_call(once, route, _call_alone, without=tx_name)

    return decorate if at_once is None else decorate_tried


def _with_call(
    once: Callable[P, Awaitable[Response]],
    route: Callable[P, Awaitable[object]],
    find: Callable[..., Awaitable[object]],
    without: str = "",
) -> Callable[P, Awaitable[Response]]:
    """Give a decorated route the signature that FastAPI reads: the route's parameters, and the call.

    The call is resolved last, after the caller.
    """
    signature = inspect.signature(route)
    kept = [parameter for name, parameter in signature.parameters.items() if name != without]
    call = inspect.Parameter(PARAMETER, inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[object, Depends(find)])
    once.__signature__ = signature.replace(parameters=[*kept, call])  # type: ignore[attr-defined] # PEP 362
    return once


_WALKED = 2_000
_CODES = frozenset({"code", "type", "kind", "status", "category", "result"})
"""Members whose texts are the product's own codes, not personal data."""
_CODE = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


def numbers_of(answer: object, member: str = "") -> object:
    """Return an answer without its texts: numbers, ids, instants and the product's codes stay, all else is empty."""
    if isinstance(answer, dict):
        return {name: numbers_of(value, name) for name, value in answer.items()}
    if isinstance(answer, list):
        return [numbers_of(value, member) for value in answer]
    if not isinstance(answer, str) or _is_id_or_instant(answer):
        return answer
    return answer if member in _CODES and _CODE.fullmatch(answer) else ""


def _is_id_or_instant(value: str) -> bool:
    for read in (UUID, datetime.fromisoformat):
        try:
            read(value)
        except ValueError:
            continue
        return not value.isdecimal()
    return False


async def forget_answers(database: Database, *, days: int) -> int:
    """Reduce answers that are older than so many days, and delete those that moved no money.

    It walks the records in short transactions, and returns how many it changed.
    """
    before, place, changed = clock.now() - timedelta(days=days), ("", ""), 0
    record = IdempotencyRecord
    identity = tuple_(record.caller, record.key)
    while True:
        async with database.transaction() as tx:
            walked = select(record.caller, record.key, record.created_at, record.money, record.reduced)
            rows = (await tx.execute(walked.where(identity > place).order_by(identity).limit(_WALKED))).all()
            due = [row for row in rows if row.created_at < before and not (row.money and row.reduced)]
            for row in due:
                mine = (record.caller == row.caller, record.key == row.key)
                if row.money:
                    body = await tx.scalar(select(record.body).where(*mine))
                    kept = orjson.dumps(numbers_of(orjson.loads(body))) if body else body
                    await tx.execute(update(record).where(*mine).values(body=kept, reduced=True))
                else:
                    await tx.execute(delete(record).where(*mine))
        if not rows:
            return changed
        changed += len(due)
        place = (rows[-1].caller, rows[-1].key)


async def forget_caller(tx: Tx, caller: UUID) -> None:
    """Delete the records of a person who is erased."""
    await tx.execute(delete(IdempotencyRecord).where(IdempotencyRecord.caller == str(caller)))
