"""Idempotency keys: the first answer again, and nothing moves twice (contract.md, Habits; IETF draft Idempotency-Key).

The record is written in the transaction that does the work: a rollback leaves none, a refusal leaves its answer. Other
failures that are committed (`CommitThenRaise`) leave what they wrote and no record: the key may try again.
"""

import hashlib
import json
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Any

import orjson
from fastapi import Depends, Header, Request, Response
from fastapi.encoders import jsonable_encoder
from sqlalchemy import LargeBinary, SmallInteger, Text, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, mapped_column

from carteira.kit.db.base import INSTANT, Base
from carteira.kit.db.errors import CommitThenRaise
from carteira.kit.db.session import Tx
from carteira.kit.ops.cooperative import dump_json
from carteira.kit.web.problems import MEDIA_TYPE, InvalidInput, Refusal

REPLAYED = "Idempotency-Replayed"


class IdempotencyKeyReused(InvalidInput):
    """The key was used before, with another request."""

    code = "idempotency_key_reused"
    title = "Chave de idempotência já usada"
    detail = "Esta Idempotency-Key já foi usada em um pedido com outro conteúdo."


class IdempotencyRecord(Base):
    """A key's first request and its answer; kept for good."""

    __tablename__ = "idempotency_keys"

    caller: Mapped[str] = mapped_column(Text, primary_key=True)
    key: Mapped[str] = mapped_column(Text, primary_key=True)
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary)
    status: Mapped[int | None] = mapped_column(SmallInteger)
    body: Mapped[bytes | None] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(INSTANT, server_default=func.now())


class Once:
    """Runs a route's work at most once per caller and key. A route without the header just runs its work."""

    def __init__(self, caller: str, key: str | None, operation: str) -> None:
        self.caller = caller
        self.key = key
        self.operation = operation

    async def run(
        self,
        tx: Tx,
        payload: Any,  # noqa: ANN401 - whatever the route parsed
        work: Callable[[], Awaitable[Any]],
        *,
        status: int = 200,
    ) -> Response:
        """Do the work and answer its result as JSON with `status`; a `Refusal` it raises is an answer too.

        A result of bytes is JSON already. A payload that is a list has been parsed from JSON or CSV.

        Raises:
            IdempotencyKeyReused: the key belongs to another request.
        """
        if self.key is None:
            return _json(await work(), status)
        fingerprint = await self._fingerprint(payload)
        claimed = await tx.scalar(
            insert(IdempotencyRecord)
            .values(caller=self.caller, key=self.key, fingerprint=fingerprint)
            .on_conflict_do_nothing()
            .returning(IdempotencyRecord.key)
        )
        if claimed is None:
            return await self._replay(tx, fingerprint)
        mine = (IdempotencyRecord.caller == self.caller, IdempotencyRecord.key == self.key)
        savepoint = await tx.begin_nested()  # the transaction's commit releases it
        try:
            response = _json(await work(), status)
        except Refusal as refusal:
            await savepoint.rollback()
            response = refusal.response()
        except CommitThenRaise as failure:
            if not isinstance(failure.error, Refusal):
                await tx.execute(delete(IdempotencyRecord).where(*mine))
                raise
            response = failure.error.response()
        await tx.execute(update(IdempotencyRecord).where(*mine).values(status=response.status_code, body=response.body))
        return response

    async def _replay(self, tx: Tx, fingerprint: bytes) -> Response:
        record = await tx.scalar(
            select(IdempotencyRecord).where(IdempotencyRecord.caller == self.caller, IdempotencyRecord.key == self.key)
        )
        assert record is not None, "rows of idempotency_keys are never deleted"
        assert record.status is not None, "a claimed key commits with its answer"
        if record.fingerprint != fingerprint:
            raise IdempotencyKeyReused
        media_type = MEDIA_TYPE if record.status >= 400 else "application/json"  # noqa: PLR2004 - HTTP's own bound
        return Response(record.body, record.status, {REPLAYED: "true"}, media_type)

    async def _fingerprint(self, payload: Any) -> bytes:  # noqa: ANN401 - as in `run`
        if isinstance(payload, list):
            try:
                content = await dump_json(payload, orjson.OPT_SORT_KEYS)
            except TypeError:  # an integer of more than 64 bits, which JSON may hold
                content = json.dumps(payload, sort_keys=True).encode()
        else:
            content = orjson.dumps(jsonable_encoder(payload), option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(self.operation.encode() + b"\0" + content).digest()


def _json(result: Any, status: int) -> Response:  # noqa: ANN401 - as in `run`
    content = result if isinstance(result, bytes) else orjson.dumps(jsonable_encoder(result))
    return Response(content, status, media_type="application/json")


async def _once(
    request: Request,
    idempotency_key: Annotated[
        str | None, Header(min_length=1, max_length=255, description="Repita o pedido com a mesma chave sem medo.")
    ] = None,
) -> Once:
    principal = getattr(request.state, "principal", None)
    caller = str(principal.user_id) if principal else "anonymous"
    return Once(caller, idempotency_key, f"{request.method} {request.url.path}?{request.url.query}")


OnceDep = Annotated[Once, Depends(_once)]
"""A route parameter for POSTs that move money; declare it after `Who` or the claims."""
