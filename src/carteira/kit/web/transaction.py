"""A request's transaction, opened at the edge and committed before the answer is sent; or its reads without one."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Request

from carteira.kit.db.reads import Reads
from carteira.kit.db.session import Tx
from carteira.kit.web.state import DATABASE


async def transaction(request: Request) -> AsyncIterator[Tx]:
    """Open the request's transaction."""
    database = DATABASE.of(request.app)
    async with database.transaction() as tx:
        yield tx


# "function" scope: FastAPI would otherwise send the answer first and commit after it.
TxDep = Annotated[Tx, Depends(transaction, scope="function")]
"""A route's transaction, committed before its answer is sent."""


async def reads(request: Request) -> Reads:
    """Return the runner of queries on the driver."""
    database = DATABASE.of(request.app)
    return database.reads


ReadsDep = Annotated[Reads, Depends(reads)]
"""For routes that need neither locks nor writes: each query is one trip."""


async def reading(request: Request) -> AsyncIterator[Tx]:
    """Open a session that only reads."""
    database = DATABASE.of(request.app)
    async with database.reading() as tx:
        yield tx


ReadTxDep = Annotated[Tx, Depends(reading, scope="function")]
"""A session for routes that only read, with queries built per request: each statement is one trip and a transaction of
its own. Audit rows of a look are committed as they are written, before the answer."""
