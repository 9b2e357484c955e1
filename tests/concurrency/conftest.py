"""What the tests of concurrency share: the queue over a module's own books."""

from collections.abc import AsyncIterator

import pytest

from carteira.benefits.authorizer.queue import Queue
from carteira.benefits.authorizer.writer import Authorizer
from carteira.kit.db.engine import Database


@pytest.fixture
async def queue(books: Database) -> AsyncIterator[Queue]:
    """A queue as one server process has it; `books` is the module's."""
    made = Queue(Authorizer(books))
    async with made.running():
        yield made
