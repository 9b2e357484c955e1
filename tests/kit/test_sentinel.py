"""Redis by Sentinel: one way to read the address, and a master that dies while clients use it."""

import asyncio
from collections.abc import Iterator

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from carteira.kit.outbound.redis import AWAY, PatientRedis, connect
from carteira.kit.outbound.redis_address import RedisAddress, RedisAddressRefused, RedisHost
from carteira.kit.outbound.wakes import Listener, publisher
from carteira.kit.security.rate_limits import PER_RECOVERY, Limiter, RateLimit
from carteira.kit.values.ids import uuid7
from carteira.sharing import here
from tests.support.app import settings_for
from tests.support.sentinels import NODES, SERVICE, Redises, running_redises
from tests.support.waiting import until


@pytest.fixture(scope="module")
def redises(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redises]:
    with running_redises(tmp_path_factory.mktemp("sentinels")) as running:
        yield running


def test_a_plain_address_is_one_server() -> None:
    address = RedisAddress.parse("rediss://:s%40o@cache:6380/2?ssl_ca_certs=/ca.pem")
    assert (address.hosts, address.is_tls, address.service) == ((RedisHost("cache", 6380),), True, None)
    assert address.client_url == "rediss://:s%40o@cache:6380/2?ssl_ca_certs=/ca.pem"
    assert address.place == "cache:6380"
    assert "s%40o" not in repr(address)
    assert RedisAddress.parse("redis://").hosts == (RedisHost("localhost", 6379),)
    assert RedisAddress.parse("redis://[::1]:6000").hosts == (RedisHost("::1", 6000),)


def test_an_address_by_sentinel_names_the_sentinels() -> None:
    url = "rediss+sentinel://ana:s%40o@a,b:26380,[::1]/3?service=carteira&sentinel_password=x%26y&ssl_ca_certs=%2Fca"
    address = RedisAddress.parse(url)
    assert [str(host) for host in address.hosts] == ["a:26379", "b:26380", "::1:26379"]
    assert (address.is_tls, address.service, address.is_verified) == (True, "carteira", True)
    assert address.client_url == "rediss://ana:s%40o@carteira/3?ssl_ca_certs=%2Fca"
    assert dict(address.sentinel_options) == {"password": "x&y"}
    assert not RedisAddress.parse(f"{url}&ssl_cert_reqs=none").is_verified


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://a", "Escreva como em"),
        ("redis://a,b:6379/0", "só com Sentinel"),
        ("redis+sentinel://a,b/0", "service diz que nome"),
        ("redis+sentinel://a,b/0?service=a b", "service diz que nome"),
        ("redis+sentinel://a,,b:x/0?service=c", "Escreva como em"),
        ("redis+sentinel://a:99999/0?service=c", "de 1 a 65535"),
        ("redis+sentinel://a:segredo@b/x?service=c", "o número do banco"),
        ("redis+sentinel://a:seg/redo@b/0?service=c", "o número do banco"),
    ],
)
def test_invalid_addresses_are_reported_without_repeating_them(url: str, said: str) -> None:
    with pytest.raises(RedisAddressRefused, match=said) as refused:
        RedisAddress.parse(url)
    assert "seg" not in str(refused.value)


async def test_without_a_sentinel_that_answers_redis_is_away() -> None:
    async with connect("redis+sentinel://127.0.0.1:1,127.0.0.1:2/0?service=carteira") as client:
        with pytest.raises(AWAY):
            await client.ping()


async def test_a_name_that_the_sentinels_do_not_know_is_away(redises: Redises) -> None:
    async with connect(redises.url.replace(f"service={SERVICE}", "service=outro")) as client:
        with pytest.raises(RedisConnectionError, match="outro"):
            await client.ping()


async def test_a_master_that_dies_is_replaced_under_its_clients(redises: Redises) -> None:
    woken = asyncio.Event()
    listener = Listener(redises.url, woken.set)
    listening = asyncio.create_task(listener.listen())
    settings = settings_for(redises.folder, redis_url=redises.url)
    async with connect(redises.url) as client:
        await until(lambda: listener.hears, "it listens")
        patient = PatientRedis(client, "a test", patience_seconds=0.25, away_seconds=0.1)
        limit = RateLimit.of(PER_RECOVERY, uuid7())
        await Limiter(client).count(limit)
        await client.set("kept", "1")
        await client.wait(1, 5_000)
        named = (await here(settings)).marks["redis"]
        redises.kill(NODES[0])
        assert await patient.ask(lambda redis: redis.get("kept")) is None, "it is away"
        await until_answered(patient)
        assert redises.master() == NODES[1]
        assert await client.set("kept", "2"), "and it accepts writes"
        assert [await Limiter(client).count(limit) for _ in range(PER_RECOVERY.amount)].count(True) == (
            PER_RECOVERY.amount - 1
        ), "what was counted still counts"
        assert (await here(settings)).marks["redis"] == named, "it is the same Redis to other machines"
        await until(lambda: listener.hears, "it listens again")
        woken.clear()
        await publisher(client)()
        await asyncio.wait_for(woken.wait(), 30)
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)


async def until_answered(patient: PatientRedis) -> None:
    """Repeat until it is answered; the client itself waits between tries."""
    async with asyncio.timeout(30):
        while await patient.ask(lambda redis: redis.get("kept"), even_if_away=True) != b"1":
            continue
