"""Fixtures of the concurrency tests: the queue over a module's own books."""

from collections.abc import AsyncIterator

import pytest

from carteira.benefits.authorizer.strategies import AuthorizationQueue, deferred_gauge
from carteira.benefits.authorizer.writer import Authorizer
from carteira.kit.db.engine import Database


@pytest.fixture
async def queue(books: Database) -> AsyncIterator[AuthorizationQueue]:
    """A queue like the one of a server process; `books` is the module's."""
    made = AuthorizationQueue(Authorizer(books), deferred_gauge=deferred_gauge)
    async with made.running():
        yield made
