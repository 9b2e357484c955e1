"""Declined decisions are deleted after their retention; approved and recent ones never are."""

from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from carteira.benefits.authorizer import decisions
from carteira.kit.db.session import Tx

INSERT = text("""
    INSERT INTO benefits_decisions (id, account, fallback, code, reason, created_at)
    VALUES (:id, :account, true, :code, 'insufficient', now() - make_interval(years => :years))
""")


async def test_only_old_declined_decisions_are_deleted(tx: Tx) -> None:
    account = f"old-{uuid4()}"
    for code, years in (("51", 11), ("07", 12), ("51", 6), ("00", 12)):
        await tx.execute(INSERT, {"id": uuid4(), "account": account, "code": code, "years": years})
    await decisions.forget_declined(tx, years=10)
    left = text("SELECT code FROM benefits_decisions WHERE account = :account ORDER BY created_at")
    assert (await tx.scalars(left, {"account": account})).all() == ["00", "51"]


@pytest.mark.parametrize(("code", "years"), [("00", 12), ("51", 4)])
async def test_the_database_keeps_approved_and_young_ones(tx: Tx, code: str, years: int) -> None:
    account = f"kept-{uuid4()}"
    await tx.execute(INSERT, {"id": uuid4(), "account": account, "code": code, "years": years})
    with pytest.raises(DBAPIError, match="append-only"):
        await tx.execute(text("DELETE FROM benefits_decisions WHERE account = :account"), {"account": account})
