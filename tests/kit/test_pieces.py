"""A backlog is worked off in pieces, and a piece that fails undoes none before it."""

from uuid import UUID

import pytest
from sqlalchemy import func, select

from carteira.kit.db.engine import Database
from carteira.kit.db.pieces import delete_piece, work_off
from carteira.kit.db.session import Tx
from carteira.kit.security.codes import WrongCodeCount
from carteira.kit.values.clock import clock
from carteira.kit.values.ids import uuid7

ROWS, PIECE = 12, 5


@pytest.fixture
async def subjects(database: Database) -> list[UUID]:
    """Rows to delete, more than two pieces."""
    subjects = [uuid7() for _ in range(ROWS)]
    async with database.transaction() as tx:
        tx.add_all(WrongCodeCount(subject=subject, day=clock.today(), wrong=1) for subject in subjects)
    return subjects


async def test_rows_are_deleted_in_pieces_until_none_is_left(database: Database, subjects: list[UUID]) -> None:
    gone: list[int] = []

    async def forget(tx: Tx) -> int:
        gone.append(await delete_piece(tx, WrongCodeCount, WrongCodeCount.subject.in_(subjects), limit=PIECE))
        return gone[-1]

    await work_off(database, forget)
    assert gone == [5, 5, 2, 0]


async def test_a_piece_that_fails_undoes_none_before_it(database: Database, subjects: list[UUID]) -> None:
    mine = WrongCodeCount.subject.in_(subjects)
    begun = 0

    async def forget(tx: Tx) -> int:
        nonlocal begun
        begun += 1
        gone = await delete_piece(tx, WrongCodeCount, mine, limit=PIECE)
        assert begun != 2, "the second piece fails"
        return gone

    async def left() -> int:
        async with database.transaction() as tx:
            return await tx.scalar(select(func.count()).select_from(WrongCodeCount).where(mine)) or 0

    with pytest.raises(AssertionError, match="the second piece fails"):
        await work_off(database, forget)
    assert await left() == ROWS - PIECE
    await work_off(database, forget)
    assert await left() == 0
