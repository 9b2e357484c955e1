"""A backlog is processed in batches, and a failing batch undoes none of the former ones."""

from uuid import UUID

import pytest
from sqlalchemy import func, select

from carteira.kit.db.batches import delete_batch, run_batches
from carteira.kit.db.engine import Database
from carteira.kit.db.session import Tx
from carteira.kit.security.codes import WrongCodeCount
from carteira.kit.values.clock import clock
from carteira.kit.values.ids import uuid7

ROWS, BATCH = 12, 5


@pytest.fixture
async def subjects(database: Database) -> list[UUID]:
    """Rows to delete, more than two batches."""
    subjects = [uuid7() for _ in range(ROWS)]
    async with database.transaction() as tx:
        tx.add_all(WrongCodeCount(subject=subject, day=clock.today(), wrong=1) for subject in subjects)
    return subjects


async def test_rows_are_deleted_in_batches_until_none_is_left(database: Database, subjects: list[UUID]) -> None:
    gone: list[int] = []

    async def forget(tx: Tx) -> int:
        gone.append(await delete_batch(tx, WrongCodeCount, WrongCodeCount.subject.in_(subjects), limit=BATCH))
        return gone[-1]

    await run_batches(database, forget)
    assert gone == [5, 5, 2, 0]


async def test_a_failing_batch_undoes_none_of_the_former_ones(database: Database, subjects: list[UUID]) -> None:
    mine = WrongCodeCount.subject.in_(subjects)
    begun = 0

    async def forget(tx: Tx) -> int:
        nonlocal begun
        begun += 1
        gone = await delete_batch(tx, WrongCodeCount, mine, limit=BATCH)
        assert begun != 2, "the second batch fails"
        return gone

    async def left() -> int:
        async with database.transaction() as tx:
            return await tx.scalar(select(func.count()).select_from(WrongCodeCount).where(mine)) or 0

    with pytest.raises(AssertionError, match="the second batch fails"):
        await run_batches(database, forget)
    assert await left() == ROWS - BATCH
    await run_batches(database, forget)
    assert await left() == 0
