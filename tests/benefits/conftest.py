from collections.abc import AsyncIterator

import pytest

from carteira.embedded import Endpoints
from tests.support.app import RunningApp, running_app, settings_for
from tests.support.benefits import processor_headers
from tests.support.people import Person


@pytest.fixture(scope="session")
async def app(
    database_url: str, endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RunningApp]:
    settings = settings_for(
        tmp_path_factory.mktemp("home"),
        database_url=database_url,
        redis_url=endpoints.redis_url,
        carteira_modules="benefits",
    )
    async with running_app(settings) as app:
        yield app


@pytest.fixture
def operator(app: RunningApp) -> Person:
    return app.operator()


@pytest.fixture
def processor() -> dict[str, str]:
    return processor_headers()
