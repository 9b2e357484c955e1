"""Requests whose account somebody else keeps locked (a top-up of thousands of accounts, say): set aside, tried again.

They wait apart, so that purchases on other accounts do not wait with them, and in order, so that none of an account
overtakes another.
"""

from collections import OrderedDict
from typing import Final, Protocol

from prometheus_client import Gauge

from carteira.benefits.authorizer.request import Authorization
from carteira.benefits.authorizer.rules import Decision
from carteira.benefits.authorizer.writer import AccountLocked

MAX_DEFERRED: Final = 1_024
"""Requests that are set aside at most; whoever comes then for such an account is refused."""
PATIENCE_SECONDS: Final = 5.0
"""How long a request waits for its account, as everybody does for a lock."""
TRIED_AT_ONCE: Final = 32
"""Accounts that are tried again together."""

deferred = Gauge(
    "carteira_authorizations_held_up",
    "Requests whose account somebody else keeps locked",
    multiprocess_mode="livesum",
)


class Waiting(Protocol):
    """A request that waits for its decision, since an instant of `time.perf_counter`."""

    request: Authorization
    since: float

    def done(self, outcome: Decision | Exception) -> None:
        """Take the outcome; called exactly once, in the event loop."""
        ...


class DeferredRequests:
    """Requests set aside, by account, each account's in the order they came."""

    def __init__(self) -> None:
        self._by_account: OrderedDict[str, list[Waiting]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def holds(self, account: str) -> bool:
        """Tell whether requests of the account are set aside: then all that come after them have to be."""
        return account in self._by_account

    def add(self, waiting: Waiting, now: float) -> None:
        """Set a request aside; refuse it with `AccountLocked` if it has waited for too long, or too many do."""
        if now > waiting.since + PATIENCE_SECONDS or self._count >= MAX_DEFERRED:
            waiting.done(AccountLocked())
            return
        self._by_account.setdefault(waiting.request.account, []).append(waiting)
        self._count += 1
        deferred.inc()

    def take_turn(self) -> list[Waiting]:
        """Give the requests of the accounts that were not tried for longest."""
        turn: list[Waiting] = []
        for _ in range(min(TRIED_AT_ONCE, len(self._by_account))):
            turn += self._by_account.popitem(last=False)[1]
        self._count -= len(turn)
        deferred.dec(len(turn))
        return turn
