from collections.abc import AsyncIterator

import pytest

from tests.support.app import RunningApp, running_app, settings_for
from tests.support.chat import ChatUser, chat_user


@pytest.fixture(scope="session")
async def app(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningApp]:
    settings = settings_for(
        tmp_path_factory.mktemp("home"),
        carteira_modules="assistant,benefits,documents,resellers,transit",
        database_url=database_url,
        database_pool_size=20,
    )
    async with running_app(settings) as running:
        await running.api.state.assistant.model_cache.ready(
            running.database
        )  # training on a busy machine takes longer than a request may
        yield running


@pytest.fixture
def talker(app: RunningApp) -> ChatUser:
    return chat_user(app)
