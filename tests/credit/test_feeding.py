"""The platform feeds base C: a purchase through the authorizer is there within two seconds, once however often read."""

import asyncio
import time
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import httpx
import pytest
from joserfc.jwk import OctKey
from sqlalchemy import update

from carteira import demo, worker
from carteira.app import credit_config, modules_of
from carteira.credit import Movement, Occurrence, Source, Stores, followers
from carteira.kit.events import Follower, FollowerPlace, follow
from carteira.kit.tx import Database, Tx
from carteira.settings import DEVELOPMENT_JWT_SECRET, Settings
from tests.benefits.support import AUTHORIZER, processor_token, purchase
from tests.credit.support import Desk, new_cpf
from tests.kit.horizon import pass_horizon

PROCESSOR = {"Authorization": f"Bearer {processor_token(OctKey.import_key(DEVELOPMENT_JWT_SECRET))}"}


def _follower(settings: Settings, source: str = "benefits") -> Follower:
    (module,) = (module for module in modules_of(settings) if module.name == "credit")
    return next(follower for follower in module.followers if follower.name == f"credit.{source}")


@pytest.fixture
async def working(settings: Settings, database: Database) -> AsyncIterator[None]:
    """The worker's own loop over credit's follower."""
    stop = asyncio.Event()
    task = asyncio.create_task(worker._follow(database, _follower(settings), stop))  # noqa: SLF001 - the loop that serves
    yield
    stop.set()
    await task


async def _open(desk: Desk, cpf: str) -> str:
    reference = f"c-{uuid4()}"
    account = {"account": reference, "cpf": cpf, "balances": {"CASH": 100_000}}
    assert (await desk.call("POST", "/benefits/accounts", json=account)).status_code == 201
    return reference


@pytest.mark.usefixtures("working")
async def test_a_purchase_shows_up_within_two_seconds(client: httpx.AsyncClient, desk: Desk) -> None:
    cpf = new_cpf()
    account = await _open(desk, cpf)
    refused = await client.post(AUTHORIZER, content=purchase(account, "9999.00"), headers=PROCESSOR)
    assert refused.json() == {"code": "51"}
    approved = await client.post(AUTHORIZER, content=purchase(account, "12.34"), headers=PROCESSOR)
    began = time.monotonic()
    assert approved.json() == {"code": "00"}
    while True:
        read = (await desk.call("GET", f"/credit/{cpf}/base-c")).json()
        if read["last_card_purchase"] is not None:
            break
        assert time.monotonic() - began < 2
        await asyncio.sleep(0)
    assert read["last_card_purchase"]["amount"] == 1_234
    assert read["last_card_purchase"]["merchant"].startswith("LOJA DA MARIA")
    assert read["financial_movement"]["last_30_days"] == {"incoming": 0, "outgoing": 1_234, "count": 1}
    assert read["financial_movement"]["items"][0]["kind"] == "benefits.purchase"


async def test_reading_all_again_from_the_beginning_changes_nothing(
    client: httpx.AsyncClient, desk: Desk, settings: Settings, database: Database
) -> None:
    follower, cpf = _follower(settings), new_cpf()
    account = await _open(desk, cpf)
    for reais in ("1.00", "2.00", "3.00"):
        await client.post(AUTHORIZER, content=purchase(account, reais), headers=PROCESSOR)

    async def read_on() -> None:
        await pass_horizon(database)
        while True:
            async with database.transaction() as tx:
                if not await follow(tx, follower):
                    return

    await read_on()
    first = (await desk.call("GET", f"/credit/{cpf}/base-c")).json()
    assert first["financial_movement"]["last_30_days"]["outgoing"] == 600
    async with database.transaction() as tx:
        place = update(FollowerPlace).where(FollowerPlace.name == follower.name)
        await tx.execute(place.values(xid=0, last_id=UUID(int=0)))
    await read_on()
    assert (await desk.call("GET", f"/credit/{cpf}/base-c")).json() == first


async def test_a_user_s_cpf_is_asked_for_and_nobody_s_is_passed_over(tx: Tx, settings: Settings) -> None:
    cpf, known = new_cpf(), uuid4()
    asked: list[UUID] = []

    async def cpf_of(_tx: Tx, user_id: UUID) -> str | None:
        asked.append(user_id)
        return cpf if user_id == known else None

    stores = Stores(credit_config(settings), cpf_of=cpf_of)
    from datetime import UTC, datetime  # noqa: PLC0415 - this test's only

    def occurrence(row: object) -> Occurrence | None:
        user_id: UUID | None = row["user_id"]  # type: ignore[index] # a mapping
        if user_id is None:
            return None
        return Occurrence(Movement(str(uuid4()), datetime.now(UTC), "in", 5, "recharge"), user_id=user_id)

    from carteira.kit.events import Event  # noqa: PLC0415 - any table does

    (follower,) = followers(stores, [Source("test", Event.__table__, occurrence)])
    rows = [{"user_id": known}, {"user_id": uuid4()}, {"user_id": None}, {"user_id": known}]
    await follower.handle(tx, rows)  # type: ignore[arg-type] # what the handler needs of rows
    assert len(asked) == 2
    assert (await stores.c.read(cpf)).financial_movement.last_30_days.incoming == 10


async def test_a_recharge_of_a_transport_card_is_a_movement(desk: Desk, settings: Settings, database: Database) -> None:
    await demo.seed(str(settings.database_url), ("transit",))
    follower = _follower(settings, "transit")
    await pass_horizon(database)
    while True:
        async with database.transaction() as tx:
            if not await follow(tx, follower):
                break
    seen = (await desk.call("GET", f"/credit/{demo.PERSON.cpf}/base-c")).json()["financial_movement"]
    assert seen["last_30_days"]["incoming"] > 0
    assert "transit.recharged" in {movement["kind"] for movement in seen["items"]}
