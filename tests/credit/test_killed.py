"""An operator's long command killed half-way (SIGKILL) as its own process: run again, it completes."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pyarrow.parquet as pq
import pytest
from sqlalchemy import text

from carteira.credit import AwsAccess, CreditConfig, Stores, base_a
from carteira.credit.base_a import ROTATION_BATCH, Reader
from carteira.credit.schemas import BaseAIn, BaseBIn
from carteira.embedded import Endpoints
from carteira.kit.db.engine import Database
from carteira.kit.web.preconditions import Precondition
from tests.support.credit import BASE_A, BASE_B
from tests.support.people import new_cpf
from tests.support.server import clean_environment

READER = Reader(uuid4(), "base_a", "audit")
SECONDS = 60
"""How long to wait for another process on a busy machine; a test that reaches the limit has failed."""


@asynccontextmanager
async def _running(env: dict[str, str], *words: str) -> AsyncIterator[None]:
    """Run a command in its own process, which is killed at the end of the block."""
    command, null = (sys.executable, "-m", "carteira", *words), asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*command, env=env, stdout=null, stderr=null)
    try:
        yield
    finally:
        process.kill()
        assert await process.wait() == -signal.SIGKILL


async def _until(reached: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(SECONDS):
        while True:
            if await reached():
                return
            await asyncio.sleep(0.02)  # another process gives no signal to wait for


async def _run(env: dict[str, str], *words: str) -> str:
    command, piped = (sys.executable, "-m", "carteira", *words), asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, env=env, stdout=piped, stderr=piped)
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


async def test_a_rotation_killed_in_a_batch_ends_with_all_readable_and_none_on_the_old_key(
    own_url: str, own_database: Database, key_file: Path, tmp_path: Path
) -> None:
    database, stores, number = own_database, Stores(CreditConfig(key_file)), ROTATION_BATCH * 3
    env = clean_environment(tmp_path, database_url=own_url, credit_key_file=key_file)
    cpfs = [new_cpf() for _ in range(number)]
    for index, cpf in enumerate(cpfs):
        content = BaseAIn.model_validate(BASE_A | {"name": f"Pessoa {index}"})
        await base_a.put(database, stores.keyring, cpf, content, Precondition())

    async def asked(query: str, **values: object) -> list[Any]:
        async with database.transaction() as tx:
            return [tuple(row) for row in await tx.execute(text(query), values)]

    async def by_key() -> dict[str, int]:
        return dict(await asked("SELECT wrapped_by, count(*) FROM credit_records GROUP BY wrapped_by"))

    async def waits() -> object:
        activity = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        return await asked(activity)

    async with database.transaction() as holder:
        # The rotation completes its first batch and half of the second, and waits there for this row.
        row = {"number": ROTATION_BATCH * 3 // 2}
        which = "SELECT id FROM credit_records ORDER BY id OFFSET :number LIMIT 1"
        await holder.execute(text(f"SELECT FROM credit_records WHERE id = ({which}) FOR UPDATE"), row)
        async with _running(env, "keys", "rotate", "credit"):
            await _until(waits)
    assert await by_key() == {"k1": 2 * ROTATION_BATCH, "k2": ROTATION_BATCH}
    for cpf in cpfs[:: ROTATION_BATCH // 2]:  # a server runs meanwhile, on both keys
        await base_a.read(database, stores.keyring, cpf, READER)
    assert f"k2: {2 * ROTATION_BATCH} registros" in await _run(env, "keys", "rotate", "credit", "--no-new")
    assert await by_key() == {"k2": number}
    _forget_key(key_file, "k1")  # nothing needs the former key any more
    for index, cpf in enumerate(cpfs):
        assert (await base_a.read(database, stores.keyring, cpf, READER)).content.name == f"Pessoa {index}"


def _forget_key(key_file: Path, name: str) -> None:
    content = json.loads(key_file.read_text())
    del content["keys"][name]
    key_file.write_text(json.dumps(content))


class Turnstile:
    """A proxy before DynamoDB that lets so many pages of a scan through; further requests wait."""

    def __init__(self, upstream: str, pages: int) -> None:
        self._upstream = upstream
        self._pages = pages
        self.passed = 0
        self.waiting = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
            names = {name.lower(): value for name, value in headers.items()}
            body = await reader.readexactly(int(names.get("content-length", 0)))
            if names["x-amz-target"].endswith(".Scan"):
                if self.passed == self._pages:
                    self.waiting += 1
                    await reader.read()  # until they are gone
                    return
                self.passed += 1
            kept = {name: names[name] for name in ("x-amz-target", "content-type", "authorization", "x-amz-date")}
            async with httpx.AsyncClient(timeout=SECONDS) as client:
                answer = await client.post(self._upstream, content=body, headers=kept)
            writer.write(b"HTTP/1.1 %d X\r\nContent-Type: application/x-amz-json-1.0\r\n" % answer.status_code)
            writer.write(b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(answer.content) + answer.content)
            await writer.drain()
        finally:
            writer.close()
            await writer.wait_closed()


@pytest.mark.timeout(180)
async def test_an_export_killed_half_way_ends_with_nobody_twice_and_nobody_missing(
    endpoints: Endpoints, key_file: Path, tmp_path: Path
) -> None:
    segments, pages, table = 6, 3, f"credit-killed-{uuid4().hex}"
    aws = AwsAccess(endpoint_url=endpoints.aws_endpoint_url)
    content = BaseBIn.model_validate(BASE_B)
    async with Stores(CreditConfig(key_file, aws=aws, table=table, development=True)).opened() as stores:
        for _ in range(120):
            await stores.b.put(new_cpf(), content, Precondition())
    door = Turnstile(endpoints.aws_endpoint_url, pages)
    server = await asyncio.start_server(door.serve, "127.0.0.1", 0)
    env = clean_environment(
        tmp_path,
        credit_key_file=key_file,
        credit_table=table,
        aws_endpoint_url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}",
    )
    folder = tmp_path / "people"
    words = ("credit", "export", str(folder), "--segments", str(segments))

    async def halfway() -> bool:
        return bool(door.waiting) and _segments_done(folder) == pages

    async with server, _running(env, *words):
        await _until(halfway)
    half = set(folder.glob("people-*.parquet"))
    assert 0 < len(half) <= pages
    env["AWS_ENDPOINT_URL"] = endpoints.aws_endpoint_url
    assert (await _run(env, *words)).split()[0] == "120"
    files = set(folder.glob("people-*.parquet"))
    assert half < files
    people = [row["pseudonym"] for path in files for row in pq.read_table(path).to_pylist()]
    assert len(people) == len(set(people)) == 120


def _segments_done(folder: Path) -> int:
    notes = folder / "progress.json"
    states = json.loads(notes.read_text())["segments"].values() if notes.exists() else ()
    return sum(state["done"] for state in states)
