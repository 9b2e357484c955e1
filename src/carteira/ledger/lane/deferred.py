"""Deferred requests, whose account another transaction keeps locked (a top-up of thousands of accounts, say).

They wait apart, so that they do not delay other accounts, and in order, so that requests of one account do not overtake
each other.
"""

from collections import OrderedDict
from typing import Final, Generic, Protocol, TypeVar

from prometheus_client import Gauge

from carteira.kit.ops import tracing
from carteira.ledger.lane.batch import DecisionT, LaneRequest, RequestT
from carteira.ledger.lane.writer import AccountLocked

MAX_DEFERRED: Final = 1_024
"""Most deferred requests; further ones for such accounts are refused."""
PATIENCE_SECONDS: Final = 5.0
"""The longest wait of a request for its account, like every lock wait."""
TRIED_AT_ONCE: Final = 32
"""Most accounts that are retried together."""

DecisionT_contra = TypeVar("DecisionT_contra", contravariant=True)
RequestT_co = TypeVar("RequestT_co", bound=LaneRequest, covariant=True)


class Waiting(Protocol[RequestT_co, DecisionT_contra]):
    """A request that waits for its decision, since an instant of `time.perf_counter`."""

    @property
    def request(self) -> RequestT_co:
        """The request."""
        ...

    @property
    def since(self) -> float:
        """The time of its arrival."""
        ...

    @property
    def span(self) -> tracing.AnySpan:
        """Its span; None if it is not traced."""
        ...

    def done(self, outcome: DecisionT_contra | Exception) -> None:
        """Receive the outcome; called exactly once, in the event loop."""
        ...


class DeferredRequests(Generic[RequestT, DecisionT]):
    """Deferred requests by account, in their order; `gauge` shows how many."""

    def __init__(self, gauge: Gauge) -> None:
        self._gauge = gauge
        self._by_account: OrderedDict[str, list[Waiting[RequestT, DecisionT]]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def holds(self, account: str) -> bool:
        """Return whether the account has deferred requests: then later ones must be deferred too."""
        return account in self._by_account

    def add(self, waiting: Waiting[RequestT, DecisionT], now: float) -> None:
        """Defer a request; refuse it with `AccountLocked` if it has waited for too long, or too many are deferred."""
        if now > waiting.since + PATIENCE_SECONDS or self._count >= MAX_DEFERRED:
            waiting.done(AccountLocked())
            return
        self._by_account.setdefault(waiting.request.account, []).append(waiting)
        self._count += 1
        self._gauge.inc()

    def next_batch(self) -> list[Waiting[RequestT, DecisionT]]:
        """Return the requests of the accounts that were tried longest ago."""
        turn: list[Waiting[RequestT, DecisionT]] = []
        for _ in range(min(TRIED_AT_ONCE, len(self._by_account))):
            turn += self._by_account.popitem(last=False)[1]
        self._count -= len(turn)
        self._gauge.dec(len(turn))
        return turn
