"""The fast lane answers as the endpoint does, however the bytes are divided."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest
from joserfc.jwk import OctKey
from sqlalchemy import text

from carteira.benefits import accounts
from carteira.benefits.schemas import AccountIn
from carteira.embedded import Endpoints
from carteira.kit.db.engine import Database
from carteira.kit.security.approvals import Act
from carteira.settings.production import DEVELOPMENT_JWT_SECRET
from tests.support.benefits import AUTHORIZER, processor_token, purchase
from tests.support.databases import NewDatabase
from tests.support.ledger import TESTER
from tests.support.server import Server, running_server

TOKEN = processor_token(OctKey.import_key(DEVELOPMENT_JWT_SECRET))
HEAD = re.compile(rb"HTTP/1\.1 (\d{3}) [^\r]*\r\n(?:[^\r]+\r\n)*\r\n")


@pytest.fixture(scope="module")
def server(
    new_database: NewDatabase, endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, str]]:
    url = new_database("lane")
    home = tmp_path_factory.mktemp("lane")
    with running_server(home, workers=1, database_url=url, redis_url=endpoints.redis_url, log_level="warning") as it:
        yield it, url


@pytest.fixture
async def books(server: tuple[Server, str]) -> AsyncIterator[Database]:
    database = Database(server[1], pool_size=2)
    yield database
    await database.close()


@pytest.fixture
async def account(books: Database) -> str:
    reference = f"l-{uuid4()}"
    async with books.transaction() as tx:
        body = AccountIn(account=reference, user_id=uuid4(), balances={"CASH": 10_000})
        await accounts.open_account(tx, body, Act(TESTER))
    return reference


async def spent(books: Database, account: str) -> int:
    async with books.transaction() as tx:
        return 10_000 - (await accounts.balances(tx, (await accounts.find(tx, account)).id))["CASH"]


def request(body: bytes, *headers: str, path: str = AUTHORIZER, method: str = "POST", token: str = TOKEN) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: carteira", f"Authorization: Bearer {token}", *headers]
    if not any(header.lower().startswith(("content-length", "transfer-encoding")) for header in headers):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


async def talk(server: tuple[Server, str], *pieces: bytes, answers: int) -> list[tuple[int, bytes, bytes]]:
    """Send pieces, each in its own write, and read so many answers: status, head, body."""
    host, port = server[0].url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.get_extra_info("socket").setsockopt(6, 1, 1)  # TCP_NODELAY: the pieces stay pieces
    read: list[tuple[int, bytes, bytes]] = []
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        async with asyncio.timeout(20):
            while len(read) < answers:
                head = await reader.readuntil(b"\r\n\r\n")
                match = HEAD.fullmatch(head)
                assert match is not None, head
                length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
                body = await reader.readexactly(int(length[1]) if length else 0)
                read.append((int(match[1]), head.lower(), body))
    finally:
        writer.close()
        await writer.wait_closed()
    return read


OK = (200, b'{"code":"00"}')


def outcome(answers: list[tuple[int, bytes, bytes]]) -> list[tuple[int, bytes]]:
    return [(status, body) for status, _, body in answers]


async def test_the_plain_request_and_its_request_id(server: tuple[Server, str], books: Database, account: str) -> None:
    plain, named = await talk(
        server,
        request(purchase(account, "1.00")),
        request(purchase(account, "1.00"), "X-Request-ID: abc-123"),
        answers=2,
    )
    assert outcome([plain, named]) == [OK, OK]
    assert re.search(rb"x-request-id: [0-9a-f-]{36}\r\n", plain[1])
    assert b"x-request-id: abc-123\r\n" in named[1]
    assert b"content-type: application/json\r\n" in plain[1]
    assert await spent(books, account) == 200


@pytest.mark.parametrize("cut", [1, 10, 28, 60, 200, -1, -20])
async def test_a_request_in_two_pieces(server: tuple[Server, str], books: Database, account: str, cut: int) -> None:
    whole = request(purchase(account, "1.00"))
    assert outcome(await talk(server, whole[:cut], whole[cut:], answers=1)) == [OK]
    assert await spent(books, account) == 100


async def test_byte_by_byte(server: tuple[Server, str], books: Database, account: str) -> None:
    whole = request(purchase(account, "1.00"))
    pieces = [bytes([byte]) for byte in whole]
    assert outcome(await talk(server, *pieces, answers=1)) == [OK]
    assert await spent(books, account) == 100


async def test_pipelined_requests_are_answered_in_order(
    server: tuple[Server, str], books: Database, account: str
) -> None:
    one, health = request(purchase(account, "1.00")), request(b"", path="/health", method="GET")
    answers = await talk(server, one + one + health + one, one, health, answers=6)
    bodies = [body for _, _, body in answers]
    assert bodies == [OK[1], OK[1], b'{"status":"ok"}', OK[1], OK[1], b'{"status":"ok"}']
    assert await spent(books, account) == 400


@pytest.mark.parametrize(
    "headers",
    [
        ["Connection: close"],
        ["Connection: keep-alive"],
        ["Expect: 100-continue"],
        ["Content-Encoding: identity"],
        ["User-Agent: x", "Accept: */*", "Accept-Encoding: gzip", "traceparent: 00-a-b-01"],
        ["Te: trailers"],
    ],
)
async def test_unusual_heads_are_answered_too(
    server: tuple[Server, str], books: Database, account: str, headers: list[str]
) -> None:
    continued = "Expect: 100-continue" in headers
    answers = await talk(server, request(purchase(account, "1.00"), *headers), answers=2 if continued else 1)
    assert outcome(answers)[-1] == OK
    assert await spent(books, account) == 100


async def test_a_chunked_body(server: tuple[Server, str], books: Database, account: str) -> None:
    body = purchase(account, "1.00")
    chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    head = request(b"", "Transfer-Encoding: chunked")
    assert outcome(await talk(server, head + chunks, answers=1)) == [OK]
    assert await spent(books, account) == 100


async def test_a_length_of_thousands_of_digits_is_refused(server: tuple[Server, str], account: str) -> None:
    """Python refuses to read such a number: the connection would end without an answer, and with a trace in the log."""
    whole = re.sub(rb"(?i)(content-length: )", rb"\g<1>" + b"0" * 5000, request(purchase(account, "1.00")))
    [answer] = await talk(server, whole, answers=1)
    assert answer[0] == 400


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (["Content-Length: 5", "Content-Length: 500"], 400),
        (["Content-Length: +5"], 400),
        (["Content-Length: 5", "Transfer-Encoding: chunked"], 400),
        (["Bad Header: x"], 400),
    ],
)
async def test_heads_that_smuggle_are_refused(
    server: tuple[Server, str], books: Database, account: str, headers: list[str], status: int
) -> None:
    [answer] = await talk(server, request(purchase(account, "1.00"), *headers), answers=1)
    assert answer[0] == status or answer[2] == b'{"code":"07"}'
    assert await spent(books, account) == 0


async def test_the_lane_refuses_the_same_requests(server: tuple[Server, str], books: Database, account: str) -> None:
    bodies = [purchase(account, "0"), purchase(account, "1.001"), purchase("nobody", "1.00"), b"{", b"[" * 15_000]
    pieces = [request(body) for body in bodies]
    pieces += [
        request(purchase(account, "1.00"), token="x.y.z"),
        request(purchase(account, "1.00"), path=f"{AUTHORIZER}/x"),
    ]
    pieces += [request(purchase(account, "1.00"), path=f"{AUTHORIZER}?fallback=maybe")]
    answers = await talk(server, *pieces, answers=len(pieces))
    assert outcome(answers) == [(200, b'{"code":"07"}')] * len(pieces)
    assert await spent(books, account) == 0


async def test_requests_that_the_lane_leaves_are_answered_in_order(
    server: tuple[Server, str], books: Database, account: str
) -> None:
    good, health = request(purchase(account, "1.00")), request(b"", path="/health", method="GET")
    rubbish = request(purchase(account, "1.001"))
    answers = await talk(server, good + rubbish + good, rubbish, rubbish + health, good, answers=7)
    refused = b'{"code":"07"}'
    bodies = [body for _, _, body in answers]
    assert bodies == [OK[1], refused, OK[1], refused, refused, b'{"status":"ok"}', OK[1]]
    assert await spent(books, account) == 300
    async with books.transaction() as tx:
        decisions = await tx.execute(
            text("SELECT reason FROM benefits_decisions WHERE account = :account AND code = '07'"), {"account": account}
        )
    assert [row.reason for row in decisions] == ["invalid_amount"] * 3, "and recorded, so that the person can be told"


async def test_a_client_that_leaves_is_charged_all_the_same(
    server: tuple[Server, str], books: Database, account: str
) -> None:
    key = f"tx-{uuid4()}"
    await talk(server, request(purchase(account, "1.00", id=key)), answers=0)
    assert outcome(await talk(server, request(purchase(account, "1.00", id=key)), answers=1)) == [OK]
    assert await spent(books, account) == 100
