"""The client for external services, against a server on a socket that behaves badly."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from carteira.embedded import free_port
from carteira.kit.outbound.http import Http, ServiceDown

ANSWERS = {
    "/good": b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n" + b'{"a": 1}',
    "/list": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
    "/text": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno",
    "/refuses": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\n{}",
    "/fails": b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
    "/moved": b"HTTP/1.1 302 Found\r\nLocation: /good\r\nContent-Length: 2\r\n\r\n{}",
    "/large": b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + b"x" * 2000,
    "/short": b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\nx",
    "/rubbish": b"\x00\x01\x02\r\n\r\n",
}


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
        if path == "/hangs":
            await reader.read()  # until the caller gives up
        elif path == "/trickles":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n")
            while not reader.at_eof():
                writer.write(b"x")
                with suppress(TimeoutError):
                    await asyncio.wait_for(reader.read(1), 0.05)
        else:
            writer.write(ANSWERS[path])
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    http = Http(step_seconds=0.2, whole_seconds=0.5, max_bytes=1000)
    yield http
    await http.close()


async def test_an_answer_below_500_is_an_answer(http: Http, url: str) -> None:
    good = await http.get(f"{url}/good")
    assert (good.status, good.ok, good.object()) == (200, True, {"a": 1})
    refused = await http.post_form(f"{url}/refuses", {"a": "b"})
    assert (refused.status, refused.ok) == (400, False)
    assert (await http.get(f"{url}/moved")).status == 302, "no redirect is followed"


@pytest.mark.parametrize("path", ["/fails", "/large", "/short", "/rubbish", "/hangs", "/trickles"])
async def test_bad_behaviour_is_a_service_that_is_down(http: Http, url: str, path: str) -> None:
    with pytest.raises(ServiceDown):
        await http.get(url + path)


@pytest.mark.parametrize("path", ["/list", "/text"])
async def test_nonsense_is_a_service_that_is_down(http: Http, url: str, path: str) -> None:
    answer = await http.get(url + path)
    with pytest.raises(ServiceDown):
        answer.object()


async def test_nobody_there(http: Http) -> None:
    for url in (f"http://127.0.0.1:{free_port()}", "http://nome.invalid", "nada", "http://[", "ftp://a"):
        with pytest.raises(ServiceDown):
            await http.get(url)
