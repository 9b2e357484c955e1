"""A request's transaction: opened at the edge, committed before the answer leaves. Or its reads, without one."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Request

from carteira.kit.db.engine import Database
from carteira.kit.db.reads import Reads
from carteira.kit.db.session import Tx


async def _transaction(request: Request) -> AsyncIterator[Tx]:
    database: Database = request.app.state.database
    async with database.transaction() as tx:
        yield tx


# "function" scope: FastAPI would otherwise send the answer first and commit after it.
TxDep = Annotated[Tx, Depends(_transaction, scope="function")]
"""A route's transaction, committed before its answer is sent."""


async def _reads(request: Request) -> Reads:
    database: Database = request.app.state.database
    return database.reads


ReadsDep = Annotated[Reads, Depends(_reads)]
"""What a route reads by that needs neither locks nor writes: each query is one trip."""
