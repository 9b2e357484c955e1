"""The access log has everybody who looked, cannot be changed unnoticed, and is shown to the person concerned."""

import asyncio
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import pytest

from carteira.credit import CreditConfig, Stores, access_log, base_a
from carteira.credit.access_log import AccessLogVerification, AccessRecord
from carteira.embedded import Endpoints
from carteira.kit.db.engine import Database
from carteira.kit.db.session import Tx
from carteira.kit.web.access import Principal
from carteira.kit.web.problems import Forbidden
from tests.support.app import RunningApp
from tests.support.credit import BASE_A, analyst_of
from tests.support.people import Person, new_cpf

CUT_AND_SET_BACK = """
    DELETE FROM credit_accesses WHERE seq > 18;
    UPDATE credit_access_head SET seq = 18, hash = (SELECT hash FROM credit_accesses WHERE seq = 18)
"""


async def test_each_read_is_written_down_with_purpose_and_who(app: RunningApp, analyst: Person) -> None:
    cpf, reader = new_cpf(), uuid4()
    await analyst.call("PUT", f"/credit/{cpf}/base-a", json=BASE_A)
    collector = analyst_of(app, "credit:a:read", user_id=reader)
    await collector.call("GET", f"/credit/{cpf}/base-a", headers={"X-Purpose": "collection", "X-Request-ID": "r-1"})
    await analyst.call("GET", f"/credit/{cpf}", headers={"X-Purpose": "fraud_prevention"})
    listed = (await analyst.call("GET", f"/credit/{cpf}/accesses")).json()["items"]
    assert [(item["what"], item["purpose"], item["outcome"]) for item in listed] == [
        ("profile", "fraud_prevention", "found"),
        ("base_a", "collection", "found"),
    ]
    assert (listed[1]["who"], listed[1]["request_id"]) == (str(reader), "r-1")
    unknown = new_cpf()
    await analyst.call("GET", f"/credit/{unknown}/base-a")
    assert (await analyst.call("GET", f"/credit/{unknown}/accesses")).json()["items"][0]["outcome"] == "not_found"


async def test_the_list_pages(analyst: Person) -> None:
    cpf = new_cpf()
    for _ in range(5):
        await analyst.call("GET", f"/credit/{cpf}/base-a")
    first = (await analyst.call("GET", f"/credit/{cpf}/accesses?limit=3")).json()
    rest = (await analyst.call("GET", f"/credit/{cpf}/accesses?limit=3&cursor={first['next_cursor']}")).json()
    seqs = [item["seq"] for item in first["items"] + rest["items"]]
    assert len(seqs) == 5
    assert seqs == sorted(seqs, reverse=True)
    assert rest["next_cursor"] is None
    assert (await analyst.call("GET", f"/credit/{cpf}/accesses?cursor=rubbish")).status_code == 422


async def test_a_person_sees_their_own_accesses_and_no_others(tx: Tx, key_file: Path) -> None:
    person, cpf = uuid4(), new_cpf()

    async def proven_cpf(_tx: Tx, user_id: UUID) -> str | None:
        return cpf if user_id == person else None

    stores = Stores(CreditConfig(key_file), proven_cpf=proven_cpf)
    access = AccessRecord(base_a.person_hash(stores.keyring, cpf), uuid4(), "base_a", "audit", access_log.FOUND)
    await access_log.append(tx, stores.keyring.derive(base_a.CHAIN), access)
    mine = await stores.accesses_of(tx, cpf, Principal(person), limit=10, before=None)
    assert [item.what for item in mine] == ["base_a"]
    for who, other in ((Principal(uuid4()), cpf), (Principal(person), new_cpf())):
        with pytest.raises(Forbidden):
            await stores.accesses_of(tx, other, who, limit=10, before=None)


async def _log(database: Database, stores: Stores, number: int) -> None:
    async def one() -> None:
        async with database.transaction() as tx:
            access = AccessRecord(stores.keyring.hash("x", new_cpf()), uuid4(), "base_a", "audit", access_log.FOUND)
            await access_log.append(tx, stores.keyring.derive(base_a.CHAIN), access)

    await asyncio.gather(*(one() for _ in range(number)))


@pytest.mark.parametrize(
    ("tampering", "broken_at"),
    [
        ("UPDATE credit_accesses SET purpose = 'audit ' WHERE seq = 7", 7),
        ("UPDATE credit_accesses SET who = gen_random_uuid() WHERE seq = 12", 12),
        ("DELETE FROM credit_accesses WHERE seq = 5", 5),
        ("DELETE FROM credit_accesses WHERE seq > 18", 19),
        ("UPDATE credit_accesses SET seq = 100 WHERE seq = 20", 20),
        (
            CUT_AND_SET_BACK,
            19,
        ),
    ],
)
async def test_tampering_is_refused_and_found(
    new_database: object, endpoints: Endpoints, key_file: Path, tampering: str, broken_at: int
) -> None:
    url: str = new_database("accesses")  # type: ignore[operator] # a callable fixture
    database, stores = Database(url, pool_size=10), Stores(CreditConfig(key_file))
    key = stores.keyring.derive(base_a.CHAIN)
    await _log(database, stores, 20)
    good = await access_log.verify(database, key)
    assert good == AccessLogVerification(20, None, good.head)
    owner = await asyncpg.connect(url)
    with pytest.raises(asyncpg.PostgresError, match=r"refused|goes forward by one"):
        await owner.execute(tampering)
    await owner.close()
    superuser = await asyncpg.connect(endpoints.superuser_url.rpartition("/")[0] + "/" + url.rpartition("/")[2])
    await superuser.execute("SET session_replication_role = replica; " + tampering)
    await superuser.close()
    found = await access_log.verify(database, key, noted_head=good.head)
    assert found.broken_at == broken_at
    await database.close()


async def test_the_log_is_whole_however_many_append_at_once(new_database: object, key_file: Path) -> None:
    database, stores = Database(new_database("appends"), pool_size=10), Stores(CreditConfig(key_file))  # type: ignore[operator] # a fixture that makes databases
    await _log(database, stores, 60)
    assert (await access_log.verify(database, stores.keyring.derive(base_a.CHAIN))).checked == 60
    assert (await access_log.verify(database, b"\0" * 32)).broken_at == 1, "another key proves nothing"
    await database.close()
