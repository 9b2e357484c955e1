"""Three concurrency strategies of the authorizer, for requests of one account (rules.md, benefits).

- `pessimistic`: one request at a time, with the accounts' rows locked;
- `optimistic`: one request at a time without a lock; versions are compared at the write, and after five conflicts the
  row is locked, so that contention alone never refuses;
- `queue`: requests pass through one queue per process, and one writer decides the waiting ones as a batch: it reads
  uncached accounts without a lock, and the write applies the amounts to the present balances if these cover them.
  Requests whose account is locked by another transaction are deferred.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal, Protocol

from prometheus_client import Gauge

from carteira import ledger
from carteira.benefits.authorizer.per_request import Optimistic, Pessimistic
from carteira.benefits.authorizer.request import Authorization
from carteira.benefits.authorizer.rules import Decision
from carteira.benefits.authorizer.writer import Authorizer
from carteira.kit.web.state import StateKey

deferred_gauge = Gauge(
    "carteira_authorizations_held_up",
    "Requests whose account another transaction keeps locked",
    multiprocess_mode="livesum",
)
AuthorizationQueue = ledger.Queue[Authorization, Decision]
StrategyName = Literal["optimistic", "pessimistic", "queue"]


class Strategy(Protocol):
    """A concurrency strategy for requests of one account."""

    async def decide(self, request: Authorization) -> Decision:
        """Decide one request.

        Raises:
            Overloaded: too many wait.
            DatabaseDown: PostgreSQL is unreachable.
        """
        ...


STRATEGY = StateKey[Strategy]("authorizer_strategy")


@asynccontextmanager
async def running(authorizer: Authorizer, name: StrategyName) -> AsyncIterator[Strategy]:
    """Make the strategy, and run it for the length of the block."""
    if name == "queue":
        queue = AuthorizationQueue(authorizer, deferred_gauge=deferred_gauge)
        async with queue.running():
            yield queue
    elif name == "pessimistic":
        yield Pessimistic(authorizer)
    else:
        yield Optimistic(authorizer)
