"""The malware scanner, over real sockets."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from carteira.documents.errors import MalwareFound, ScannerDown
from carteira.documents.scanner import Scanner
from tests.support import files
from tests.support.app import RunningApp, running_app, settings_for
from tests.support.clamd import Clamd, running_clamd
from tests.support.documents import download, upload


@asynccontextmanager
async def scanning_app(url: str, home: Path, clamd: str) -> AsyncIterator[RunningApp]:
    settings = settings_for(
        home, carteira_modules="documents", database_url=url, malware_scan="required", clamd_url=clamd
    )
    async with running_app(settings) as running:
        yield running


def stored(home: Path) -> list[Path]:
    return [path for path in (home / "documents").rglob("*") if path.is_file()]


@pytest.fixture
async def clamd() -> AsyncIterator[Clamd]:
    async with running_clamd() as running:
        yield running


MARKED = {
    "in its middle": files.pdf(body=files.EICAR),
    "behind the end of a picture, where it would be cut off": files.png() + files.EICAR,
    "at the end of many pieces": files.pdf(body=bytes(700_000) + files.EICAR),
}


@pytest.mark.parametrize("name", MARKED)
async def test_a_marked_file_is_refused_and_leaves_nothing(
    database_url: str, tmp_path: Path, clamd: Clamd, name: str
) -> None:
    data = MARKED[name]
    kind = ("rg.png", "image/png") if data.startswith(b"\x89") else ("rg.pdf", "application/pdf")
    async with scanning_app(database_url, tmp_path, clamd.url) as app:
        person = app.person()
        answer = await upload(person, data, *kind)
        assert (answer.status_code, answer.json()["code"]) == (422, "file_infected")
        assert (await person.get("/documents")).json()["items"] == []
    assert stored(tmp_path) == []


async def test_a_clean_file_is_kept_after_the_scanner_saw_all_of_it(database_url: str, tmp_path: Path) -> None:
    async with (
        running_clamd(tmp_path / "clamd.ctl") as clamd,
        scanning_app(database_url, tmp_path, clamd.url) as app,
    ):
        person, data = app.person(), files.png(padding=600_000)
        document = (await upload(person, data + b"tail", "rg.png", "image/png")).json()
        assert (await download(person, document["id"])).content == data
        assert clamd.scanned == [len(data) + 4]
        marked = await app.client.put(
            f"/documents/{document['id']}/file",
            files={"file": ("x.pdf", files.pdf(body=files.EICAR), "application/pdf")},
            headers=person.headers,
        )
        assert (marked.status_code, marked.json()["code"]) == (422, "file_infected")
        assert (await download(person, document["id"])).content == data
        ready = (await app.client.get("/health/ready")).json()
        assert ready["checks"]["malware_scanner"] is True


async def test_a_scanner_that_is_away_or_refuses_takes_no_file(database_url: str, tmp_path: Path) -> None:
    async with running_clamd(max_stream=1000) as clamd, scanning_app(database_url, tmp_path, clamd.url) as app:
        person = app.person()
        too_long = await upload(person, files.pdf(50_000))
        assert (too_long.status_code, too_long.json()["code"]) == (503, "scanner_down")
    async with scanning_app(database_url, tmp_path, clamd.url) as app:
        person = app.person()
        away = await upload(person, files.pdf())
        assert (away.status_code, away.json()["code"]) == (503, "scanner_down")
        assert away.headers["retry-after"]
        assert (await person.get("/documents")).json()["items"] == []
        plain = await person.post("/documents", {"document_type": "CPF", "document_number": "52998224725"})
        assert plain.status_code == 201
        ready = (await app.client.get("/health/ready")).json()
        assert ready["checks"]["malware_scanner"].startswith("sem a verificação")
    assert stored(tmp_path) == []


async def test_a_silent_scanner_counts_as_unavailable(clamd: Clamd) -> None:
    clamd.silent = True
    scan = await Scanner(clamd.url, silence_seconds=0.05).begin()
    await scan.feed(b"x" * 1000)
    await scan.feed(b"")
    with pytest.raises(ScannerDown):
        await scan.verdict()
    scan.close()


async def test_a_stream_is_scanned_across_its_pieces(clamd: Clamd) -> None:
    scan = await Scanner(clamd.url).begin()
    for start in range(0, len(files.EICAR), 7):
        await scan.feed(files.EICAR[start : start + 7])
    with pytest.raises(MalwareFound):
        await scan.verdict()
    scan.close()


@pytest.mark.parametrize("url", ["http://host:3310", "tcp://host", "tcp://:3310", "unix://relative", "unix:", "host"])
def test_an_invalid_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="CLAMD_URL"):
        Scanner(url)
