from collections.abc import AsyncIterator, Iterator

import pytest

from carteira.settings import Settings
from tests.payments.world import Wallet
from tests.support.app import RunningApp, running_app, settings_for
from tests.support.databases import NewDatabase
from tests.support.pix import StandIn, standing_in


@pytest.fixture(scope="package")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    with standing_in(tmp_path_factory.mktemp("pix")) as there:
        yield there


@pytest.fixture(scope="package")
def settings(
    new_database: NewDatabase, redis_url: str, stand_in: StandIn, tmp_path_factory: pytest.TempPathFactory
) -> Settings:
    return settings_for(
        tmp_path_factory.mktemp("home"),
        database_url=new_database("payments"),
        redis_url=redis_url,
        carteira_modules="assistant,payments,transit,benefits",
        recharge_without_payment=False,
        trusted_proxies="192.0.2.0/24",
        limit_payment_returns=5_000,
        assistant_vectors=False,
        pix_webhook_proxy_header="X-Client-Verify: SUCCESS",
        **stand_in.settings(pix_merchant_name="Prefeitura de Águas Claras", pix_merchant_city="Águas Claras"),
    )


@pytest.fixture(scope="package")
async def app(settings: Settings) -> AsyncIterator[RunningApp]:
    async with running_app(settings) as running:
        yield running


@pytest.fixture
async def wallet(app: RunningApp, stand_in: StandIn) -> AsyncIterator[Wallet]:
    """The product and a well-behaved provider; in the end both books agree, account by account."""
    stand_in.behave()
    wallet = Wallet(app, stand_in)
    yield wallet
    stand_in.behave()
    await wallet.check_books()
