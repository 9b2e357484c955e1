"""Demo data for a first start: one person and what they own. Development only."""

from uuid import UUID

from carteira import benefits
from carteira.kit.tx import Database

PERSON_ID = UUID("01980000-0000-7000-8000-000000000001")
ADMINISTRATOR_ID = UUID("01980000-0000-7000-8000-000000000002")


async def seed(url: str) -> None:
    """Fill an empty database with the demo data; what is there already stays as it is."""
    database = Database(url, pool_size=2)
    try:
        async with database.transaction() as tx:
            await benefits.seed(tx, PERSON_ID)
    finally:
        await database.close()
