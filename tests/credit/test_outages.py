"""Each base stopped in turn, for real: the profile answers within its budget with the others and names the missing."""

import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import asyncpg
import httpx
import pytest

from carteira import schema
from carteira.app import access_key, create_app
from carteira.embedded import EmbeddedServers
from carteira.kit import tokens
from carteira.settings import Settings
from tests.credit.support import Desk, new_cpf

BUDGET_SECONDS = 2.5
"""The largest budget (1 s), and what a busy machine adds."""


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServers]:
    fast = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "32MB"}
    with EmbeddedServers(tmp_path_factory.mktemp("outages"), postgres_settings=fast) as servers:
        schema.migrate(servers.endpoints.database_url)
        yield servers


@pytest.fixture(scope="module")
async def desk(servers: EmbeddedServers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Desk]:
    settings = Settings(
        database_url=servers.endpoints.database_url,
        redis_url=servers.endpoints.redis_url,
        aws_endpoint_url=servers.endpoints.aws_endpoint_url,
        carteira_home=tmp_path_factory.mktemp("outages-home"),
        carteira_modules="credit",
    )
    app = create_app(settings)
    token = tokens.sign(access_key(settings), subject=str(uuid4()), ttl_seconds=600, claims={"claims": ["*"]})
    async with (
        app.api.router.lifespan_context(app.api),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://carteira") as client,
    ):
        yield Desk(client, token)


OUTAGES = [("base_a", "postgres"), ("base_b", "aws"), ("base_c", "redis")]


@pytest.mark.integration
@pytest.mark.parametrize(("base", "server"), OUTAGES)
async def test_a_base_that_is_down_is_named_and_the_others_answer(
    servers: EmbeddedServers, desk: Desk, base: str, server: str
) -> None:
    cpf = new_cpf()
    await desk.fill(cpf)
    event = {"type": "movement", "direction": "in", "amount": 77}
    assert (await desk.call("POST", f"/credit/{cpf}/base-c/events", json=event)).status_code == 201
    whole = (await desk.call("GET", f"/credit/{cpf}")).json()
    assert whole["unavailable"] == []
    getattr(servers, server).kill()
    try:
        for _ in range(2):
            began = time.monotonic()
            answer = await desk.call("GET", f"/credit/{cpf}")
            seconds = time.monotonic() - began
            part = answer.json()
            assert (answer.status_code, part["unavailable"]) == (200, [base])
            assert seconds < BUDGET_SECONDS
            assert part[base] is None
            for other, _ in OUTAGES:
                assert other == base or part[other] is not None
        direct = await desk.call("GET", f"/credit/{cpf}/{base.replace('_', '-')}")
        assert direct.status_code == 503
        assert "retry-after" in direct.headers
    finally:
        getattr(servers, server).start()
    back = (await desk.call("GET", f"/credit/{cpf}")).json()
    assert back["unavailable"] == []
    for part in (back, whole):
        del part["base_c"]["last_bureau_query"]  # each look-up is one
    assert back == whole


@pytest.mark.integration
async def test_a_read_of_base_a_does_not_need_redis(servers: EmbeddedServers, desk: Desk) -> None:
    cpf = new_cpf()
    await desk.fill(cpf)
    servers.redis.kill()
    try:
        for path in ("base-a", "base-b", "score"):
            assert (await desk.call("GET", f"/credit/{cpf}/{path}")).status_code == 200
    finally:
        servers.redis.start()


@pytest.mark.integration
@pytest.mark.parametrize(("base", "server"), OUTAGES[1:])
async def test_a_base_that_hangs_is_given_up_on_within_its_budget(
    servers: EmbeddedServers, desk: Desk, base: str, server: str
) -> None:
    cpf = new_cpf()
    await desk.fill(cpf)
    pid: int = getattr(servers, server).pid
    os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        answer = await desk.call("GET", f"/credit/{cpf}")
        assert (answer.status_code, answer.json()["unavailable"]) == (200, [base])
        assert time.monotonic() - began < BUDGET_SECONDS
    finally:
        os.kill(pid, signal.SIGCONT)
    assert (await desk.call("GET", f"/credit/{cpf}")).json()["unavailable"] == []


@pytest.mark.integration
async def test_an_access_log_that_is_held_up_shows_nothing_of_base_a(servers: EmbeddedServers, desk: Desk) -> None:
    cpf = new_cpf()
    await desk.fill(cpf)
    holder = await asyncpg.connect(servers.endpoints.database_url)
    async with holder.transaction():
        await holder.execute("SELECT FROM credit_access_head FOR UPDATE")
        part = (await desk.call("GET", f"/credit/{cpf}")).json()
        assert (part["unavailable"], part["base_a"]) == (["base_a"], None)
    await holder.close()
    assert (await desk.call("GET", f"/credit/{cpf}")).json()["unavailable"] == []


@pytest.mark.integration
async def test_a_record_that_was_tampered_with_does_not_take_the_others_along(
    servers: EmbeddedServers, desk: Desk
) -> None:
    cpf = new_cpf()
    await desk.fill(cpf)
    owner = await asyncpg.connect(servers.endpoints.database_url)
    await owner.execute("UPDATE credit_records SET name = address")
    await owner.close()
    part = (await desk.call("GET", f"/credit/{cpf}")).json()
    assert (part["unavailable"], part["base_b"] is not None) == (["base_a"], True)
    direct = await desk.call("GET", f"/credit/{cpf}/base-a")
    assert (direct.status_code, direct.json()["code"]) == (500, "record_unreadable")
