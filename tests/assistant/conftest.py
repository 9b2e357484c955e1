from collections.abc import AsyncIterator

import pytest
from pydantic import PostgresDsn

from carteira.settings import Settings
from tests.assistant.support import Talker
from tests.served import Served, serve


@pytest.fixture(scope="session")
async def served(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    settings = Settings(
        _env_file=None,
        carteira_home=tmp_path_factory.mktemp("home"),
        carteira_modules="assistant,benefits,documents,resellers,transit",
        database_url=PostgresDsn(database_url),
        database_pool_size=20,
    )
    async with serve(settings) as running:
        yield running


@pytest.fixture
def talker(served: Served) -> Talker:
    return Talker(served.sign_in())
