"""The addresses that may be called, in any spelling; a call goes to the address that was checked."""

import asyncio
from ipaddress import ip_address
from threading import Event

import pytest

from carteira.kit.outbound import targets
from carteira.kit.outbound.targets import TargetDown, TargetRefused, Targets, is_public
from carteira.kit.values.networks import TrustedProxies
from tests.support.receiver import receiving
from tests.support.waiting import until

OURS = Targets(TrustedProxies.parse("127.0.0.0/8,10.2.0.0/16,fd00:2::/32").networks, plain_http=True)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses_are_called(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "100.100.100.200"),
        *("0.0.0.0", "255.255.255.255", "224.0.0.1", "240.0.0.1", "198.18.0.1", "192.0.0.192", "168.63.129.16"),  # noqa: S104 - nothing is bound
        *("::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1"),
        *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::a00:1"),
        *("2002:7f00:1::", "2001:0:1::", "192.88.99.1", "2001:db8::1", "64:ff9b:1:a9fe:a9:fe00:808:808"),
    ],
)
def test_other_addresses_are_not_called(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ftp://a.example/", "malformed"),
        ("https://", "malformed"),
        ("https://a.example:0/", "malformed"),
        ("https://a.example:99999/", "malformed"),
        ("https://a.example/ b", "malformed"),
        ("https://é.example/", "malformed"),
        ("https://" + "a" * 2_000, "malformed"),
        ("http://a.example/", "not_https"),
        ("https://a@a.example/", "credentials"),
        ("https://a.example/#b", "fragment"),
        ("https://10.2.0.1/", "network"),
        ("https://[::1]/", "network"),
    ],
)
def test_an_address_is_refused_before_it_is_called(url: str, reason: str) -> None:
    with pytest.raises(TargetRefused) as refused:
        Targets().check(url)
    assert refused.value.reason == reason


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f.1", "0177.0.0.1", "localhost", "127.0.0.1"])
async def test_an_address_is_judged_however_it_is_written(host: str) -> None:
    with pytest.raises((TargetRefused, TargetDown)) as refused:
        async with Targets(plain_http=True).reach(f"http://{host}:1/"):
            pass
    assert str(refused.value) in {"network", "malformed", "name"}


async def test_networks_on_premises_are_called() -> None:
    for url in ("http://10.2.3.4/", "http://[fd00:2::1]/", "http://[::ffff:10.2.3.4]/"):
        assert OURS.check(url).host
    for url in ("http://10.3.0.1/", "http://[fd00:3::1]/"):
        with pytest.raises(TargetRefused):
            OURS.check(url)


async def test_a_call_goes_to_the_address_that_was_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def look_up(host: str, _port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    monkeypatch.setattr(targets, "_resolve_name", look_up)
    async with receiving() as receiver:
        async with OURS.reach(f"http://erp.example:{receiver.port}/a?b=c", connections=2) as target:
            for _ in range(2):
                assert (await target.post(b"{}", {})).ok
        assert [(one.target, one.headers["host"]) for one in receiver.requests] == [
            ("/a?b=c", f"erp.example:{receiver.port}")
        ] * 2
    assert asked == ["erp.example"]


async def test_failed_calls_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "STEP_SECONDS", 0.2)
    async with receiving() as receiver:
        receiver.answer = lambda _request: None
        async with OURS.reach(receiver.url) as target:
            with pytest.raises(TargetDown, match="timeout"):
                await target.post(b"", {})
        receiver.answer = lambda _request: "nonsense"
        async with OURS.reach(receiver.url) as target:
            with pytest.raises(TargetDown, match="not_http"):
                await target.post(b"", {})
        receiver.answer = lambda _request: "429 Too Many Requests\r\nRetry-After: 7"
        async with OURS.reach(receiver.url) as target:
            reply = await target.post(b"", {})
            assert (reply.status, reply.retry_after, reply.ok) == (429, 7, False)
        async with OURS.reach(f"https://127.0.0.1:{receiver.port}/") as target:
            with pytest.raises(TargetDown, match=r"tls|not_http|timeout"):
                await target.post(b"", {})
    monkeypatch.setattr(targets, "_resolve_name", lambda _host, _port: [])
    with pytest.raises(TargetDown, match="name"):
        async with OURS.reach("http://nowhere.example/"):
            pass


async def test_unanswered_names_do_not_delay_other_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    answers, looked_up = Event(), []

    def look_up(host: str, _port: int) -> list[str]:
        looked_up.append(host)
        if host.startswith("slow"):
            answers.wait(30)
        return ["127.0.0.1"]

    async def reach(host: str, whose: str) -> None:
        async with OURS.reach(f"http://{host}.example/", whose=whose):
            pass

    monkeypatch.setattr(targets, "_resolve_name", look_up)
    monkeypatch.setattr(targets, "RESOLVE_SECONDS", 0.1)
    try:
        tries = await asyncio.gather(*(reach(f"slow{one}", "a") for one in range(80)), return_exceptions=True)
        assert [str(outcome) for outcome in tries] == ["name"] * 80
        assert len(looked_up) == targets.MOST_LOOKED_UP
        with pytest.raises(TargetDown, match="name"):
            await reach("fast", "a")
        monkeypatch.setattr(targets, "RESOLVE_SECONDS", 10)
        await reach("fast", "b")
    finally:
        answers.set()
    await until(lambda: not targets._looked_up, "the threads ended")  # noqa: SLF001 - no public state counts them
    await reach("fast", "a")
