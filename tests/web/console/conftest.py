"""One application with every module for the console's tests."""

from collections.abc import AsyncIterator

import pytest

from carteira.embedded import Endpoints
from carteira.modules import OPTIONAL_MODULES
from tests.support.app import RunningApp, running_app, settings_for
from tests.support.databases import NewDatabase
from tests.support.trips import count_trips


@pytest.fixture(scope="package")
async def app(
    new_database: NewDatabase, endpoints: Endpoints, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RunningApp]:
    settings = settings_for(
        tmp_path_factory.mktemp("console"),
        database_url=new_database("console"),
        redis_url=redis_url,
        aws_endpoint_url=endpoints.aws_endpoint_url,
        smtp_url=endpoints.smtp_url,
        carteira_modules=",".join(sorted(OPTIONAL_MODULES)),
        looks_per_hour="none",
        assistant_vectors=False,
        limit_top_ups=100_000_000,
        limit_refunds=1_000_000,
        limit_reversals=1_000_000,
    )
    with pytest.MonkeyPatch.context() as patch:
        count_trips(patch)
        async with running_app(settings) as running:
            yield running
