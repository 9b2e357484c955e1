"""The socket's bounds: what no client may do to the server, whatever it sends or withholds."""

import asyncio
import random
import socket
import struct
import sys

import pytest
from prometheus_client import REGISTRY

from carteira.http_server import protocol
from carteira.http_server.connections import MAX_HEAD_BYTES, Bounds, Connections
from carteira.http_server.protocol import LaneProtocol
from carteira.http_server.refusals import Refused
from carteira.kit.values.networks import TrustedProxies
from tests.support.connections import Client, Listening, listening
from tests.support.waiting import until

GET = b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n"
SOON = Bounds(head_seconds=0.2, keep_alive_seconds=0.3)


def refused(reason: str) -> float:
    return REGISTRY.get_sample_value("carteira_http_connections_refused_total", {"reason": reason}) or 0.0


def buffered_by(server: Listening) -> int:
    """Return how many bytes the server holds of requests that have not begun."""
    return sum(connection.buffered for connection in server.state.connections if isinstance(connection, LaneProtocol))


def post(body: bytes, *headers: bytes, path: bytes = b"/post") -> bytes:
    lines = [b"POST " + path + b" HTTP/1.1", b"Host: x", *headers, b"Content-Length: %d" % len(body)]
    return b"\r\n".join([*lines, b"", b""]) + body


CHUNKED = b"POST /chunked HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKS = b"5\r\nhello\r\n6\r\n\r\n\r\nab\r\n0\r\n\r\n"


async def test_requests_are_answered_however_they_are_cut() -> None:
    """Bodies with blank lines, chunks, heads after heads: cut anywhere, they mean the same."""
    whole = (
        GET % b"a" + post(b"one\r\n\r\ntwo") + CHUNKED + CHUNKS + b"\r\n" + GET % b"b" + post(b"") + CHUNKED + CHUNKS
    )
    expected = [
        b"GET /a ",
        b"POST /post one\r\n\r\ntwo",
        b"POST /chunked hello\r\n\r\nab",
        b"GET /b ",
        b"POST /post ",
        b"POST /chunked hello\r\n\r\nab",
    ]
    picker = random.Random(5)
    async with listening() as server:
        cuts = [[], list(range(1, len(whole))), *(sorted(picker.sample(range(1, len(whole)), 5)) for _ in range(60))]
        for places in cuts:
            client = await server.connect()
            await client.send(*(whole[a:b] for a, b in zip([0, *places], [*places, len(whole)], strict=True)))
            assert [(await client.answer())[1] for _ in expected] == expected
            client.close()


@pytest.mark.parametrize("upgrade", [b"h2c", b"websocket", b"TLS/1.0", b"foo/2"])
@pytest.mark.parametrize("name", [b"Upgrade:", b"UPGRADE :", b"upgrade:\t"])
async def test_an_upgrade_is_ignored_and_no_body_is_lost(upgrade: bytes, name: bytes) -> None:
    headers = b"Connection: Upgrade, HTTP2-Settings\r\n" + name + upgrade + b"\r\nHTTP2-Settings: AAMAAABk"
    if name == b"UPGRADE :":  # a blank before the colon makes it no header name
        headers = headers.replace(b" :", b":")
    asked = post(b"a body\nUpgrade: of its own\n", headers)
    chunked = CHUNKED.replace(b"Host: x", b"Host: x\r\n" + headers) + CHUNKS
    async with listening() as server:
        for places in ([], [40], [60, 100], [len(asked) - 3], list(range(1, len(asked)))):
            client = await server.connect()
            pieces = [asked[a:b] for a, b in zip([0, *places], [*places, len(asked)], strict=True)]
            assert await client.ask(*pieces) == (200, b"POST /post a body\nUpgrade: of its own\n")
            assert await client.ask(chunked + GET % b"after") == (200, b"POST /chunked hello\r\n\r\nab")
            assert await client.answer() == (200, b"GET /after ")
            client.close()


async def test_a_head_is_up_to_64_kib_and_100_lines() -> None:
    def lines(count: int) -> bytes:
        return b"GET /lines HTTP/1.1\r\nHost: x\r\n" + b"X-A: b\r\n" * (count - 2) + b"\r\n"

    def size(count: int) -> bytes:
        start, end = b"GET /size HTTP/1.1\r\nHost: x\r\nX-A: ", b"\r\n\r\n"
        return start + b"a" * (count - len(start) - len(end)) + end

    async with listening() as server:
        for taken in (lines(100), size(MAX_HEAD_BYTES)):
            client = await server.connect()
            assert (await client.ask(taken))[0] == 200
            assert (await client.ask(taken[:30], taken[30:70], taken[70:]))[0] == 200
            client.close()
        for too_large in (lines(101), size(MAX_HEAD_BYTES + 1), lines(5_000), size(300_000)):
            for pieces in ([too_large], [too_large[:100], too_large[100:]], [GET % b"first" + too_large]):
                before = refused("head_too_large")
                client = await server.connect()
                status, body = await client.ask(*pieces)
                if pieces[0].startswith(b"GET /first"):
                    assert (status, body) == (200, b"GET /first ")
                    status, body = await client.answer()
                assert (status, b'"code":"head_too_large"' in body) == (431, True)
                assert await client.ended() == b""
                client.close()
                assert refused("head_too_large") == before + 1
        assert set(server.echo.seen) == {"/lines", "/size", "/first"}


async def test_an_endless_header_is_thrown_away_and_others_are_served() -> None:
    async with listening() as server:
        attacker, bystander = await server.connect(), await server.connect()
        answer = asyncio.ensure_future(attacker.answer())
        attacker.writer.write(b"GET / HTTP/1.1\r\nX-A: ")
        buffered, was_reset = [], False
        for _ in range(100):
            attacker.writer.write(b"a" * 1_000_000)
            try:
                await attacker.writer.drain()
            except ConnectionError:
                was_reset = True
                break
            assert (await bystander.ask(GET % b"by"))[0] == 200
            buffered.append(buffered_by(server))
        status, body = await answer
        assert (status, b'"code":"head_too_large"' in body) == (431, True)
        assert max(buffered) == 0
        assert was_reset, "the discarded bytes are bounded, too"
        attacker.close()
        bystander.close()


@pytest.mark.parametrize(
    ("sent", "reason", "told"),
    [
        (b"", "silent", b""),
        (b"\r\n\r\n", "silent", b""),
        (b"GET / HTT", "head_timeout", b'"code":"head_timed_out"'),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-A: ", "head_timeout", b'"code":"head_timed_out"'),
        (post(b"x" * 5000)[:-3000], "body_stalled", b""),
        (CHUNKED + b"5\r\nhe", "body_stalled", b""),
    ],
)
async def test_clients_that_do_not_send_are_closed(sent: bytes, reason: str, told: bytes) -> None:
    async with listening(SOON) as server:
        before = refused(reason)
        silent, bystander = await server.connect(), await server.connect()
        assert (await bystander.ask(GET % b"by"))[0] == 200
        await silent.send(sent)
        assert told in await silent.ended()
        await until(lambda: refused(reason) == before + 1, "it is refused")
        silent.close()


async def test_trickled_bytes_extend_no_deadline() -> None:
    """Single bytes make no head, and blank lines are nothing; a body has to arrive faster than in drops."""
    drips = {
        "head_timeout": (b"GET / HTTP/1.1\r\nX-A: ", b"a"),
        "silent": (b"", b"\r\n"),
        "body_stalled": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n", b"a"),
    }
    async with listening(SOON) as server:
        for reason, (start, drop) in drips.items():
            before = refused(reason)
            client = await server.connect()
            client.writer.write(start)
            drops = 0
            while refused(reason) == before:
                client.writer.write(drop)
                await asyncio.sleep(0.01)
                drops += 1
                assert drops < 1000
            client.close()


async def test_a_body_that_makes_progress_is_read_for_as_long_as_it_takes() -> None:
    async with listening(SOON) as server:
        client = await server.connect()
        body = b"x" * 40_000
        client.writer.write(b"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 40000\r\n\r\n")
        loop = asyncio.get_running_loop()
        began = loop.time()
        for start in range(0, len(body), 1000):
            client.writer.write(body[start : start + 1000])
            await asyncio.sleep(0.02)
        assert loop.time() - began > 2 * SOON.head_seconds
        assert await client.answer() == (200, b"POST /slow " + body)
        client.close()


async def outlast_a_silent_client(server: Listening) -> None:
    before = refused("silent")
    silent = await server.connect()
    await until(lambda: refused("silent") > before, "the deadline of a client that sends nothing")
    silent.close()


async def test_clients_that_wait_for_the_application_have_no_deadline() -> None:
    async with listening(SOON) as server:
        waiting, expecting = await server.connect(), await server.connect()
        await waiting.send(post(b"x" * 500_000, path=b"/wait")[:-100])
        await expecting.send(post(b"late", b"Expect: 100-continue", path=b"/wait")[:-4])
        for _ in range(3):
            await outlast_a_silent_client(server)
        server.echo.go.set()
        assert await expecting.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert await expecting.ask(b"late") == (200, b"POST /wait late")
        status, body = await waiting.ask(b"x" * 100)
        assert (status, len(body)) == (200, len(b"POST /wait ") + 500_000)


async def test_an_idle_connection_ends_and_one_that_is_used_does_not() -> None:
    async with listening(SOON) as server:
        idle, used, early = await server.connect(), await server.connect(), await server.connect()
        assert (await idle.ask(GET % b"idle"))[0] == 200
        # Answered before its body arrived: the rest is read, and the connection waits for the next.
        assert (await early.ask(post(b"x" * 70_000, path=b"/unread")[:-10]))[0] == 200
        assert (await early.ask(b"x" * 10 + GET % b"next"))[0] == 200
        for _ in range(8):
            assert (await used.ask(GET % b"used"))[0] == 200
            await asyncio.sleep(SOON.keep_alive_seconds / 4)
        assert await idle.ended() == await early.ended() == b""
        assert (await used.ask(GET % b"used"))[0] == 200
        used.close()


async def test_pipelined_requests_are_held_and_not_started() -> None:
    """A pipeline of thousands runs one request at a time, in order, and its connection is no longer read."""
    async with listening() as server:
        client = await server.connect()
        await client.send(GET % b"wait" + GET % b"next" * 20_000)
        await until(lambda: server.echo.seen == ["/wait"], "the first is begun")
        (held,) = server.state.connections
        assert isinstance(held, LaneProtocol)
        await until(lambda: held.flow.read_paused, "it is not read")
        assert held.buffered < protocol.MAX_HELD_BYTES + 300_000
        assert len(server.state.tasks) == 1
        server.echo.go.set()
        for path in ["wait", *["next"] * 20_000]:
            assert await client.answer() == (200, f"GET /{path} ".encode())
        client.close()


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"get / http/1.1\r\n\r\n",
        b"GET / HTTP/1.1\nHost: x\n\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nhost: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"0" * 5000 + b"\r\n\r\n",
    ],
)
async def test_bytes_that_are_not_http_are_refused_at_once(sent: bytes) -> None:
    async with listening() as server:
        client = await server.connect()
        status, body = await client.ask(sent)
        assert (status, b'"code":"not_http"' in body) == (400, True)
        assert await client.ended() == b""
        assert server.echo.seen == []


async def test_chunks_of_extensions_alone_are_refused() -> None:
    async with listening() as server:
        for rest in (b"1;" + b"a" * 300_000 + b"\r\nx\r\n0\r\n\r\n", b"0\r\n" + b"X-A: b\r\n" * 40_000 + b"\r\n"):
            client = await server.connect()
            client.writer.write(CHUNKED + rest)
            answer = await client.ended()
            assert b"HTTP/1.1 431 " in answer or b"HTTP/1.1 400 " in answer, answer[:100]
            client.close()


async def test_connections_per_address_and_process_are_limited() -> None:
    async with listening(Bounds(max_connections_per_address=20)) as server:
        clients = [await server.connect() for _ in range(20)]
        for client in clients:
            assert (await client.ask(GET % b"in"))[0] == 200
        over = await server.connect()
        status, body = await over.answer()
        assert (status, b'"code":"too_many_connections"' in body) == (503, True)
        assert await over.ended() == b""
        clients.pop().close()
        await until(lambda: len(server.state.connections) == 19, "one is gone")
        again = await server.connect()
        assert (await again.ask(GET % b"in"))[0] == 200


def test_connections_are_counted_by_network_and_those_of_proxies_only_together() -> None:
    bounds = Bounds(max_connections=12, max_connections_per_address=2, trusted=TrustedProxies.parse("10.1.0.0/16"))
    peers = Connections(bounds)
    assert [peers.admit("203.0.113.9") for _ in range(3)] == [None, None, Refused.TOO_MANY_OF_ADDRESS]
    peers.release("203.0.113.9")
    # One subscriber has a whole /64 of IPv6.
    assert [peers.admit(f"2001:db8::{n}") for n in range(1, 4)] == [None, None, Refused.TOO_MANY_OF_ADDRESS]
    assert peers.admit("2001:db8:0:1::1") is None
    assert [peers.admit("10.1.2.3") for _ in range(5)] == [None] * 5
    assert peers.admit("") is None
    assert peers.admit("10.1.2.3") is Refused.TOO_MANY
    for address in ("203.0.113.9",) * 2 + ("2001:db8::1",) * 3 + ("2001:db8:0:1::1",) + ("10.1.2.3",) * 6 + ("",):
        peers.release(address)
    assert [peers.admit("203.0.113.9") for _ in range(2)] == [None, None]
    assert [peers.admit("10.1.2.3") for _ in range(11)] == [None] * 10 + [Refused.TOO_MANY]


async def test_clients_that_do_not_read_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "STALL_SECONDS", 0.2)
    async with listening() as server:
        before = refused("not_reading")
        client = await server.connect()
        client.writer.write(GET % b"large30000000")
        await until(lambda: refused("not_reading") == before + 1, "it is given up")
        await until(lambda: not server.state.connections, "it is gone")
        client.close()


async def crowd(server: Listening, count: int) -> list[Client]:
    return [await server.connect() for _ in range(count)]


async def test_a_crowd_of_silent_and_half_heads_keeps_nobody_waiting() -> None:
    """Counted in turns of the event loop: another client waits no longer than without the crowd."""
    loop = asyncio.get_running_loop()

    async def turns(client: Client) -> int:
        count, done = 0, asyncio.ensure_future(client.ask(GET % b"by"))

        def turn() -> None:
            nonlocal count
            count += 1
            if not done.done():
                loop.call_soon(turn)

        loop.call_soon(turn)
        assert (await done)[0] == 200
        return count

    async with listening(Bounds(head_seconds=0.5)) as server:
        bystander = await server.connect()
        alone = max([await turns(bystander) for _ in range(20)])
        await crowd(server, 100)
        for client in await crowd(server, 100):
            client.writer.write(b"GET / HTTP/1.1\r\nX-A: b")
        amid = sorted([await turns(bystander) for _ in range(20)])[10]
        assert amid <= 4 * alone + 20
        await until(lambda: len(server.state.connections) == 1, "the crowd is gone")
        assert (await bystander.ask(GET % b"by"))[0] == 200


DATA_SEGMENTS_IN = struct.Struct("@152xI")
"""The offset in `tcp_info` of <linux/tcp.h> of the number of segments with data received."""


@pytest.mark.skipif(sys.platform != "linux", reason="TCP_INFO as Linux has it")
async def test_an_answer_is_one_write() -> None:
    """Head and body are sent together: each write is a system call, and wakes the client."""
    async with listening() as server:
        client = await server.connect()
        for number in range(10):
            assert await client.ask(GET % b"%d" % number) == (200, b"GET /%d " % number)
        peer = client.writer.get_extra_info("socket")
        told = peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, DATA_SEGMENTS_IN.size)
        assert DATA_SEGMENTS_IN.unpack(told) == (10,)
        client.close()
