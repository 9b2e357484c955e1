"""Three ways to get to the authorizer, which differ only in how requests of one account meet (rules.md, benefits).

- `pessimistic`: a request at a time, the accounts' rows locked;
- `optimistic`: a request at a time, no lock; the versions are compared at the write, and after five conflicts the row
  lock is taken, so that contention alone never refuses;
- `queue`: requests pass through one queue a process, and one writer takes those that wait together: it reads
  without a lock what it does not remember, and at the write the accounts are moved on from where they are, as long as
  they cover it. Whose account somebody else keeps locked is set aside (`deferred`).
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

held_up = Gauge(
    "carteira_authorizations_held_up",
    "Requests whose account somebody else keeps locked",
    multiprocess_mode="livesum",
)
AuthorizationQueue = ledger.Queue[Authorization, Decision]
StrategyName = Literal["optimistic", "pessimistic", "queue"]


class Strategy(Protocol):
    """How requests of one account meet."""

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
    """Make the strategy and run what it needs."""
    if name == "queue":
        queue = AuthorizationQueue(authorizer, held_up=held_up)
        async with queue.running():
            yield queue
    elif name == "pessimistic":
        yield Pessimistic(authorizer)
    else:
        yield Optimistic(authorizer)
