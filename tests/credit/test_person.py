"""A person's data in credit: the export of all of it, and its erasure."""

from pathlib import Path
from uuid import UUID, uuid4

from carteira import credit
from carteira.app import credit_config
from carteira.kit.db.engine import Database
from carteira.kit.db.session import Tx
from carteira.settings import Settings
from tests.support.credit import BASE_A, fill_bases
from tests.support.people import Person, new_cpf


async def test_everything_is_exported_and_then_erased(analyst: Person, settings: Settings, database: Database) -> None:
    cpf, user_id = new_cpf(), uuid4()

    async def proven_cpf(_tx: Tx, asked: UUID) -> str | None:
        return cpf if asked == user_id else None

    module = credit.module(credit_config(settings), proven_cpf=proven_cpf)
    assert module.export_person is not None
    assert module.erase_person is not None
    await fill_bases(analyst, cpf)
    await analyst.call("GET", f"/credit/{cpf}")
    async with database.transaction() as tx:
        held = await module.export_person(tx, user_id)
        assert await module.export_person(tx, uuid4()) == {}
    assert held["base_a"]["name"] == BASE_A["name"]
    assert held["base_b"]["birth_date"] == "1985-04-12"
    assert held["base_c"]["last_bureau_query"]["source"] == "carteira"
    assert [access["what"] for access in held["accesses"]] == ["export", "profile"]
    async with database.transaction() as tx:
        await module.erase_person(tx, user_id)
        await module.erase_person(tx, uuid4())
    after = (await analyst.call("GET", f"/credit/{cpf}")).json()
    assert (after["base_a"], after["base_b"], after["base_c"]["last_bureau_query"]) == (None, None, None)
    accesses = (await analyst.call("GET", f"/credit/{cpf}/accesses")).json()["items"]
    assert len(accesses) == 3, "the records of looks stay"


def test_a_module_is_made_without_touching_the_disk(tmp_path: Path) -> None:
    credit.module(credit.CreditConfig(tmp_path / "none" / "credit.json"))
    assert list(tmp_path.iterdir()) == []
