"""The demo data: there after a first start, the same after a second, and on a database of an earlier release."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from carteira import benefits, demo, ledger
from carteira.kit.db.engine import Database
from carteira.kit.values.cpf import format_cpf
from carteira.modules import OPTIONAL_MODULES
from carteira.settings import Settings
from tests.served import Served, serve
from tests.support.databases import NewDatabase


@pytest.fixture(scope="module")
def demo_url(new_database: NewDatabase) -> str:
    return new_database("demo")


@pytest.fixture
async def served(demo_url: str, tmp_path: Path) -> AsyncIterator[Served]:
    settings = Settings.model_validate({"database_url": demo_url, "carteira_home": tmp_path, "redis_url": None})
    async with serve(settings) as served:
        yield served


async def test_the_demo_people_sign_in_and_own_what_is_printed(demo_url: str, served: Served) -> None:
    database = Database(demo_url, pool_size=2)
    async with database.transaction() as tx:
        await benefits.seed(tx, demo.PERSON_ID)  # what an earlier release left behind
    await database.close()
    for _ in range(2):
        await demo.seed(demo_url, OPTIONAL_MODULES)
    for name in (demo.PERSON.cpf, demo.PERSON.email, demo.ADMINISTRATOR.cpf, demo.ADMINISTRATOR.email):
        answer = await served.client.post("/auth/login", data={"username": name, "password": demo.PASSWORD})
        assert answer.status_code == 200, answer.text
        headers = {"authorization": f"Bearer {answer.json()['access_token']}"}
        printed = " ".join(demo.credentials(()))
        assert str(name) in printed or format_cpf(str(name)) in printed
        me = (await served.client.get("/users/me", headers=headers)).json()
        if name == demo.PERSON.email:
            for account in ("123", "456"):
                assert (await served.client.get(f"/benefits/accounts/{account}", headers=headers)).status_code == 200
            (card,) = (await served.client.get("/transport-cards", headers=headers)).json()["items"]
            assert card["balance"] > 0
        if name == demo.ADMINISTRATOR.email:
            assert "users:write" in me["claims"]
            assert me["id"] == str(demo.ADMINISTRATOR_ID)
    async with served.database.transaction() as tx:
        assert (await ledger.reconcile(tx)).differences == []


async def test_a_demo_person_who_was_erased_stays_erased(new_database: NewDatabase, tmp_path: Path) -> None:
    url = new_database("demo_erased")
    await demo.seed(url, ())
    settings = Settings.model_validate(
        {"database_url": url, "carteira_home": tmp_path, "redis_url": None, "carteira_modules": "none"}
    )
    async with serve(settings) as served:
        administrator = served.sign_in("*", user_id=demo.ADMINISTRATOR_ID)
        erased = await served.client.delete(f"/users/{demo.PERSON_ID}", headers=administrator.headers)
        assert erased.status_code == 204
        await demo.seed(url, ())
        assert (await administrator.get(f"/users/{demo.PERSON_ID}")).status_code == 404
