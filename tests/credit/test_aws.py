"""Base B, throttled or not, and KMS against two servers (roto-aws and moto), by the code paths that AWS uses."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from moto.server import ThreadedMotoServer
from sqlalchemy import func, select

from carteira import credit
from carteira.credit import AwsAccess, CreditConfig, Stores, base_a
from carteira.credit.base_a import Reader
from carteira.credit.base_b import BaseB
from carteira.credit.errors import (
    BaseBDown,
    CreditRecordNotFound,
    KeyServiceDown,
    RecordUnreadable,
)
from carteira.credit.models import CreditRecord
from carteira.credit.schemas import BaseAIn, BaseBIn
from carteira.embedded import Endpoints
from carteira.kit.db.engine import Database
from carteira.kit.web.preconditions import Precondition, PreconditionRequired, RecordChanged
from tests.support.credit import BASE_A, BASE_B
from tests.support.people import new_cpf

CONTENT = BaseBIn.model_validate(BASE_B)
READER = Reader(uuid4(), "base_a", "audit")


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=["roto", "moto"])
def endpoint(request: pytest.FixtureRequest, endpoints: Endpoints) -> str:
    if request.param == "roto":
        return endpoints.aws_endpoint_url
    url: str = request.getfixturevalue("moto")
    return url


def _config(key_file: Path, endpoint: str, **more: object) -> CreditConfig:
    table = f"credit-{uuid4().hex}"
    return CreditConfig(key_file, aws=AwsAccess(endpoint_url=endpoint), table=table, development=True, **more)  # type: ignore[arg-type] # by name


async def test_base_b_keeps_its_promises_on_both_servers(endpoint: str, key_file: Path) -> None:
    async with Stores(_config(key_file, endpoint)).opened() as stores:
        cpf = new_cpf()
        with pytest.raises(CreditRecordNotFound):
            await stores.b.read(cpf)
        with pytest.raises(CreditRecordNotFound):
            await stores.b.record_outcome(cpf, defaulted=True)
        first, new = await stores.b.put(cpf, CONTENT, Precondition())
        assert new
        assert (await stores.b.read(cpf)).content == first.content
        with pytest.raises(PreconditionRequired):
            await stores.b.put(cpf, CONTENT, Precondition())
        with pytest.raises(RecordChanged):
            await stores.b.put(cpf, CONTENT, Precondition(version=str(uuid4())))
        await stores.b.record_outcome(cpf, defaulted=True)
        second, new = await stores.b.put(cpf, BaseBIn(age=40), Precondition(version=first.version))
        assert not new
        assert (second.content.age, second.content.assets, second.content.birth_date) == (40, [], None)
        page = await stores.b.scan_page(segment=0, segments=1)
        assert [item["defaulted"] for item in page["Items"]] == [{"BOOL": True}], "a change keeps the outcome"
        with pytest.raises(RecordChanged):
            await stores.b.remove(cpf, Precondition(version=first.version))
        await stores.b.remove(cpf, Precondition(version=second.version))
        assert await stores.b.find(cpf) is None


async def test_of_many_changes_of_one_version_one_is_made(endpoints: Endpoints, key_file: Path) -> None:
    # Not on moto: its threads check and write without a lock between.
    async with Stores(_config(key_file, endpoints.aws_endpoint_url)).opened() as stores:
        cpf = new_cpf()
        stored, _ = await stores.b.put(cpf, CONTENT, Precondition())
        changes = [stores.b.put(cpf, CONTENT, Precondition(version=stored.version)) for _ in range(12)]
        results = await asyncio.gather(*changes, return_exceptions=True)
        assert sum(isinstance(result, RecordChanged) for result in results) == 11
        made = [result for result in results if isinstance(result, tuple)]
        assert (await stores.b.read(cpf)).version == made[0][0].version


async def test_a_table_that_is_lost_is_made_again_in_development(endpoints: Endpoints, key_file: Path) -> None:
    async with Stores(_config(key_file, endpoints.aws_endpoint_url)).opened() as stores:
        async with stores.b.calling() as client:
            await client.delete_table(TableName=stores.b.table)
        assert await stores.b.find(new_cpf()) is None
        bare = BaseB(stores.aws, stores.keyring, "credit-not-there", create=False)
        with pytest.raises(BaseBDown):
            await bare.find(new_cpf())


class Throttle:
    """A proxy before the real server that refuses the first calls, as DynamoDB does when it is overloaded."""

    def __init__(self, upstream: str, refusals: int) -> None:
        self.upstream = httpx.URL(upstream)
        self.refusals = refusals
        self.turned_away = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        names = [line.partition(b":") for line in head.split(b"\r\n")[1:]]
        length = next((int(value) for name, _, value in names if name.lower() == b"content-length"), 0)
        body = await reader.readexactly(length)
        if self.turned_away < self.refusals:
            self.turned_away += 1
            kind = "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"
            answer = json.dumps({"__type": kind, "message": "slow down"}).encode()
            writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/x-amz-json-1.0\r\n")
            writer.write(b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer)
        else:
            up, out = await asyncio.open_connection(self.upstream.host, self.upstream.port)
            out.write(head.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + body)
            writer.write(await up.read())
            out.close()
            await out.wait_closed()
        await writer.drain()
        writer.close()
        await writer.wait_closed()


@pytest.fixture
async def throttle(endpoint: str) -> AsyncIterator[tuple[Throttle, str]]:
    throttle = Throttle(endpoint, 0)
    server = await asyncio.start_server(throttle.serve, "127.0.0.1", 0)
    async with server:
        yield throttle, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_throttling_is_waited_out(throttle: tuple[Throttle, str], key_file: Path) -> None:
    door, url = throttle
    async with Stores(_config(key_file, url)).opened() as stores:
        cpf = new_cpf()
        door.refusals = 2
        _, new = await stores.b.put(cpf, CONTENT, Precondition())
        assert new
        assert door.turned_away == 2
        door.turned_away, door.refusals = 0, 1_000
        with pytest.raises(BaseBDown):
            await stores.b.find(cpf)
        assert 2 <= door.turned_away <= 5, "it retries more slowly, and not for ever"


async def _kms_key(endpoint: str) -> str:
    async with Stores(CreditConfig(Path("unused"), aws=AwsAccess(endpoint_url=endpoint))).aws.client("kms") as kms:
        answer = await kms.create_key()
    return str(answer["KeyMetadata"]["KeyId"])


async def test_records_move_from_the_key_file_to_kms_and_back(
    endpoint: str, own_database: Database, key_file: Path
) -> None:
    database, by_file = own_database, Stores(_config(key_file, endpoint))
    cpf, content = new_cpf(), BaseAIn.model_validate(BASE_A)
    await base_a.put(database, by_file.keyring, cpf, content, Precondition())
    key, another = await _kms_key(endpoint), await _kms_key(endpoint)
    async with Stores(_config(key_file, endpoint, kms_key_id=key)).opened() as by_kms:
        assert (await base_a.rotate(database, by_kms.keyring)).rotated == 1
        other = new_cpf()
        await base_a.put(database, by_kms.keyring, other, content, Precondition())
        for one in (cpf, other):
            assert (await base_a.read(database, by_kms.keyring, one, READER)).content.name == content.name
        async with database.transaction() as tx:
            rows = (await tx.scalars(select(CreditRecord).order_by(CreditRecord.id))).all()
        assert {row.wrapped_by for row in rows} == {f"kms:{key}"}
        places = [f"credit_records|{row.id}|{row.data_key_id}" for row in rows]
        assert len(await by_kms.keyring.unwrap(rows[0].wrapped_by, rows[0].data_key, places[0])) == 32
        with pytest.raises(RecordUnreadable):  # KMS itself refuses another record's context
            await by_kms.keyring.unwrap(rows[0].wrapped_by, rows[0].data_key, places[1])
        with pytest.raises((RecordUnreadable, KeyServiceDown)):  # and another key; moto calls that AccessDenied
            await by_kms.keyring.unwrap(f"kms:{another}", rows[0].data_key, places[0])
    assert (await base_a.rotate(database, by_file.keyring)).rotated == 2
    async with database.transaction() as tx:
        stale = select(func.count()).where(CreditRecord.wrapped_by.startswith("kms:"))
        assert await tx.scalar(stale) == 0


async def test_kms_that_is_down_is_reported(own_database: Database, key_file: Path) -> None:
    stores = Stores(_config(key_file, "http://127.0.0.1:9", kms_key_id="k"))
    with pytest.raises(KeyServiceDown):
        await base_a.put(own_database, stores.keyring, new_cpf(), BaseAIn.model_validate(BASE_A), Precondition())
    assert credit.add_key(key_file) == "k2"
