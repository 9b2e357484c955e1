from collections.abc import AsyncIterator

import pytest

from carteira import ledger
from carteira.embedded import Endpoints
from tests.four_eyes.world import DAILY, LIMIT, World
from tests.support.app import running_app, settings_for
from tests.support.databases import NewDatabase

MONEY = (
    "top_ups",
    "opening_balances",
    "refunds",
    "reversals",
    "corrections",
    "purchase_approvals",
    "cash_recharges",
    "payment_returns",
)


@pytest.fixture(scope="module")
async def world(
    new_database: NewDatabase, endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    """An application with limits, on a database of its own; its ledger must reconcile in the end."""
    limits = {f"limit_{name}": LIMIT for name in MONEY} | {f"daily_{name}": DAILY for name in MONEY}
    settings = settings_for(
        tmp_path_factory.mktemp("home"),
        database_url=new_database("four_eyes"),
        database_pool_size=16,
        redis_url=endpoints.redis_url,
        carteira_modules="benefits,payments,resellers,transit,assistant",
        assistant_vectors=False,
        limit_tiers=20,
        recharge_without_payment=False,
        **limits,
    )
    async with running_app(settings) as app:
        yield World(app)
        async with app.database.transaction() as tx:
            assert (await ledger.reconcile(tx)).differences == []
