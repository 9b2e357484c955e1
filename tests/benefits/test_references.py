"""The narrow table of processors' transaction ids is compared with the decisions, both ways."""

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import psycopg
import pytest

from carteira import ledger
from carteira.benefits.authorizer.request import Authorization
from carteira.benefits.authorizer.writer import Authorizer
from carteira.embedded import Endpoints
from carteira.kit.db.engine import Database, open_database
from carteira.kit.values.ids import uuid7
from tests.support.benefits import OTHER, open_account
from tests.support.databases import NewDatabase

TAMPERING = (
    "DELETE FROM benefits_references WHERE decision_id = %(id)s",
    "UPDATE benefits_references SET external_id = 'slipped in' WHERE decision_id = %(id)s",
    "UPDATE benefits_decisions SET external_id = 'slipped in' WHERE id = %(id)s",
    "UPDATE benefits_decisions SET external_id = NULL WHERE id = %(id)s",
    "INSERT INTO benefits_references (external_id, decision_id) VALUES ('slipped in', %(id)s)",
)


@pytest.fixture
async def books(new_database: NewDatabase) -> AsyncIterator[Database]:
    async with open_database(new_database("references"), pool_size=2) as database:
        yield database


async def found(books: Database) -> list[tuple[object, object]]:
    async with books.transaction() as tx:
        differences = (await ledger.reconcile(tx)).differences
    return [(one.get("table"), one.get("row_id")) for one in differences]


async def purchase(books: Database) -> UUID:
    account = await open_account(books, CASH=100)
    request = Authorization(uuid7(), account, 10, OTHER, "PADARIA DO ZE", f"tx-{uuid4()}", fallback=True)
    (decision,) = await Authorizer(books).decide([request], "locked")
    assert decision.code == "00"
    return decision.id


@pytest.mark.parametrize("tampering", TAMPERING)
async def test_a_reference_that_was_tampered_with_is_found(
    books: Database, endpoints: Endpoints, tampering: str
) -> None:
    decision_id = await purchase(books)
    assert await found(books) == []
    url = endpoints.superuser_url.rpartition("/")[0] + f"/{books.engine.url.database}"
    with psycopg.connect(url, autocommit=True) as thief:
        thief.execute("SET session_replication_role = replica")  # a superuser, whom no trigger stops
        assert thief.execute(tampering.encode(), {"id": decision_id}).rowcount == 1
    differences = await found(books)
    assert differences
    assert set(differences) == {("benefits_references", str(decision_id))}
