"""The strategies that process one request at a time: `pessimistic` and `optimistic`."""

from carteira.benefits.authorizer.request import Authorization
from carteira.benefits.authorizer.rules import Decision
from carteira.benefits.authorizer.writer import Authorizer


class Pessimistic:
    """One request at a time, under the accounts' row locks."""

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    async def decide(self, request: Authorization) -> Decision:
        """Decide one request."""
        return (await self._authorizer.decide([request], "locked"))[0]


class Optimistic:
    """One request at a time without a lock, comparing versions at the write; after five conflicts, under the lock."""

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    async def decide(self, request: Authorization) -> Decision:
        """Decide one request."""
        return (await self._authorizer.decide([request], "compared"))[0]
