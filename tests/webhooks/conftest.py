from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from carteira.embedded import Endpoints
from tests.support.app import RunningApp, running_app, settings_for
from tests.support.databases import NewDatabase
from tests.support.people import Person
from tests.support.receiver import Receiver, receiving


@pytest.fixture(scope="package")
async def app(
    new_database: NewDatabase, endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RunningApp]:
    settings = settings_for(
        tmp_path_factory.mktemp("home"),
        database_url=new_database("webhooks"),
        redis_url=endpoints.redis_url,
        smtp_url=endpoints.smtp_url,
        carteira_modules="benefits,transit,webhooks",
    )
    async with running_app(settings) as running:
        yield running


@pytest.fixture
def operator(app: RunningApp) -> Person:
    return app.operator()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture(autouse=True)
async def _no_endpoint_left(app: RunningApp) -> AsyncIterator[None]:
    """Remove the endpoints that would receive the next test's events."""
    yield
    async with app.database.transaction() as tx:
        await tx.execute(text("DELETE FROM procrastinate_jobs WHERE task_name = 'webhooks:deliver'"))
        await tx.execute(text("UPDATE webhook_endpoints SET state = 'disabled'"))
        await tx.execute(text("DELETE FROM webhook_deliveries"))
