"""The demo data: there after a first start, unchanged after a second, complete on an earlier release's database."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from carteira import benefits, demo, ledger
from carteira.demo_people import credentials
from carteira.identity.roles.shipped import FIXED, ROLES
from carteira.kit.db.engine import Database
from carteira.kit.values.clock import clock
from carteira.kit.values.cpf import format_cpf
from carteira.modules import OPTIONAL_MODULES
from tests.support.app import RunningApp, running_app, settings_for
from tests.support.databases import NewDatabase


@pytest.fixture(scope="module")
def demo_url(new_database: NewDatabase) -> str:
    return new_database("demo")


@pytest.fixture
async def app(demo_url: str, tmp_path: Path) -> AsyncIterator[RunningApp]:
    settings = settings_for(tmp_path, database_url=demo_url)
    async with running_app(settings) as app:
        yield app


async def test_the_demo_people_sign_in_and_own_the_printed_accounts(demo_url: str, app: RunningApp) -> None:
    database = Database(demo_url, pool_size=2)
    async with database.transaction() as tx:
        await benefits.seed(tx, demo.PERSON_ID)  # what an earlier release left behind
    await database.close()
    for _ in range(2):
        await demo.seed(demo_url, OPTIONAL_MODULES)
    for name in (demo.PERSON.cpf, demo.PERSON.email, demo.ADMINISTRATOR.cpf, demo.ADMINISTRATOR.email):
        answer = await app.client.post("/auth/login", data={"username": name, "password": demo.PASSWORD})
        assert answer.status_code == 200, answer.text
        headers = {"authorization": f"Bearer {answer.json()['access_token']}"}
        printed = " ".join(credentials(()))
        assert str(name) in printed or format_cpf(str(name)) in printed
        me = (await app.client.get("/users/me", headers=headers)).json()
        if name == demo.PERSON.email:
            for account in ("123", "456"):
                assert (await app.client.get(f"/benefits/accounts/{account}", headers=headers)).status_code == 200
            (card,) = (await app.client.get("/transport-cards", headers=headers)).json()["items"]
            assert card["balance"] > 0
        if name == demo.ADMINISTRATOR.email:
            assert "users:write" in me["claims"]
            assert me["id"] == str(demo.ADMINISTRATOR_ID)
    for one in demo.PEOPLE:
        answer = await app.client.post("/auth/login", data={"username": one.person.email, "password": demo.PASSWORD})
        headers = {"authorization": f"Bearer {answer.json()['access_token']}"}
        me = (await app.client.get("/users/me", headers=headers)).json()
        assert (me["id"], me["role"]["description"]) == (str(one.id), one.role)
        if one.role in ROLES:
            assert set(me["claims"]) == ROLES[one.role]
        if one.role == "RH":
            for account, status in (("123", 200), ("456", 404)):  # bound to the employer of one of them
                answer = await app.client.get(f"/benefits/accounts/{account}", headers=headers)
                assert answer.status_code == status, answer.text
    assert {one.role for one in demo.PEOPLE} == {*ROLES, *FIXED}
    async with app.database.transaction() as tx:
        assert (await ledger.reconcile(tx)).differences == []


async def test_a_demo_reseller_has_sold_and_leaves_no_trace_when_removed(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    url = new_database("demo_reseller")
    for _ in range(2):
        await demo.seed(url, ("resellers",))
    settings = settings_for(tmp_path, database_url=url, carteira_modules="resellers")
    async with running_app(settings) as app:
        login = {"username": "helena@exemplo.com.br", "password": demo.PASSWORD}
        answer = await app.client.post("/auth/login", data=login)
        headers = {"authorization": f"Bearer {answer.json()['access_token']}"}
        params = {"month": f"{clock.today():%Y-%m}"}
        items = (await app.client.get("/purchases", params=params, headers=headers)).json()["items"]
        assert sorted(item["status"] for item in items) == ["Aprovado", "Aprovado", "Em validação", "Reprovado"]
        await demo.remove(app.database, app.api.state.identity)
        async with app.database.transaction() as tx:
            assert await demo.found(tx) == 0


async def test_a_demo_person_who_was_erased_stays_erased(new_database: NewDatabase, tmp_path: Path) -> None:
    url = new_database("demo_erased")
    await demo.seed(url, ())
    settings = settings_for(tmp_path, database_url=url, carteira_modules="none")
    async with running_app(settings) as app:
        administrator = app.person("*", user_id=demo.ADMINISTRATOR_ID)
        erased = await app.client.delete(f"/users/{demo.PERSON_ID}", headers=administrator.headers)
        assert erased.status_code == 204
        await demo.seed(url, ())
        assert (await administrator.get(f"/users/{demo.PERSON_ID}")).status_code == 404
