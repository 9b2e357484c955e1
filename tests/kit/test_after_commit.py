"""Work deferred to after the commit runs before the block ends, and never after a rollback."""

import pytest
from sqlalchemy import text

from carteira.kit.db.engine import Database
from carteira.kit.db.session import after_commit


async def test_work_waits_for_the_commit_and_a_rollback_forgets_it(database: Database) -> None:
    seen: list[object] = []

    async def look() -> None:
        async with database.transaction() as other:
            seen.append(await other.scalar(text("SELECT count(*) FROM idempotency_keys WHERE caller = 'after'")))

    insert = text("INSERT INTO idempotency_keys (caller, key, fingerprint) VALUES ('after', :key, '')")
    async with database.transaction() as tx:
        await tx.execute(insert, {"key": "1"})
        after_commit(tx, look)
        assert seen == []
    assert seen == [1], "the work saw what was committed"

    async def fail() -> None:
        async with database.transaction() as tx:
            await tx.execute(insert, {"key": "2"})
            after_commit(tx, look)
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        await fail()
    assert seen == [1]
