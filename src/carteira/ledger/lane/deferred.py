"""Requests whose account somebody else keeps locked (a top-up of thousands of accounts, say): set aside, tried again.

They wait apart, so that purchases on other accounts do not wait with them, and in order, so that none of an account
overtakes another.
"""

from collections import OrderedDict
from typing import Final, Generic, Protocol, TypeVar

from prometheus_client import Gauge

from carteira.kit.ops import tracing
from carteira.ledger.lane.batch import DecisionT, LaneRequest, RequestT
from carteira.ledger.lane.writer import AccountLocked

MAX_DEFERRED: Final = 1_024
"""Requests that are set aside at most; whoever comes then for such an account is refused."""
PATIENCE_SECONDS: Final = 5.0
"""How long a request waits for its account, as everybody does for a lock."""
TRIED_AT_ONCE: Final = 32
"""Accounts that are tried again together."""

Got_contra = TypeVar("Got_contra", contravariant=True)
Wanted_co = TypeVar("Wanted_co", bound=LaneRequest, covariant=True)


class Waiting(Protocol[Wanted_co, Got_contra]):
    """A request that waits for its decision, since an instant of `time.perf_counter`."""

    @property
    def request(self) -> Wanted_co:
        """The request."""
        ...

    @property
    def since(self) -> float:
        """When it came."""
        ...

    @property
    def span(self) -> tracing.AnySpan:
        """The part of a trace that it is; None if it is not traced."""
        ...

    def done(self, outcome: Got_contra | Exception) -> None:
        """Take the outcome; called exactly once, in the event loop."""
        ...


class DeferredRequests(Generic[RequestT, DecisionT]):
    """Requests set aside, by account, each account's in the order they came; `gauge` shows how many."""

    def __init__(self, gauge: Gauge) -> None:
        self._gauge = gauge
        self._by_account: OrderedDict[str, list[Waiting[RequestT, DecisionT]]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def holds(self, account: str) -> bool:
        """Return whether requests of the account are set aside: then all that come after them have to be."""
        return account in self._by_account

    def add(self, waiting: Waiting[RequestT, DecisionT], now: float) -> None:
        """Set a request aside; refuse it with `AccountLocked` if it has waited for too long, or too many do."""
        if now > waiting.since + PATIENCE_SECONDS or self._count >= MAX_DEFERRED:
            waiting.done(AccountLocked())
            return
        self._by_account.setdefault(waiting.request.account, []).append(waiting)
        self._count += 1
        self._gauge.inc()

    def take_turn(self) -> list[Waiting[RequestT, DecisionT]]:
        """Return the requests of the accounts that were not tried for longest."""
        turn: list[Waiting[RequestT, DecisionT]] = []
        for _ in range(min(TRIED_AT_ONCE, len(self._by_account))):
            turn += self._by_account.popitem(last=False)[1]
        self._count -= len(turn)
        self._gauge.dec(len(turn))
        return turn
