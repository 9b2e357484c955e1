"""One application with all modules for the pages' tests."""

from collections.abc import AsyncIterator, Iterator

import pytest

from carteira.embedded import Endpoints
from carteira.kit.values.clock import clock
from tests.support.app import RunningApp, running_app, settings_for
from tests.support.databases import NewDatabase
from tests.support.pages import PlainBrowser


@pytest.fixture(scope="module")
async def app(
    new_database: NewDatabase, endpoints: Endpoints, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RunningApp]:
    settings = settings_for(
        tmp_path_factory.mktemp("web"),
        database_url=new_database("web"),
        redis_url=redis_url,
        aws_endpoint_url=endpoints.aws_endpoint_url,
        smtp_url=endpoints.smtp_url,
        carteira_modules="benefits,transit,resellers,documents",
    )
    async with running_app(settings) as running:
        yield running


@pytest.fixture
async def browser(app: RunningApp) -> AsyncIterator[PlainBrowser]:
    opened = PlainBrowser(app)
    yield opened
    await opened.client.aclose()


@pytest.fixture(autouse=True)
def _running_clock() -> Iterator[None]:
    yield
    clock.run()
