import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx

from carteira.documents.vault import MAX_UPLOADS_AT_ONCE
from carteira.settings import Settings
from tests.support import files
from tests.support.app import RunningApp, running_app
from tests.support.databases import NewDatabase
from tests.support.documents import FILE_PART, TYPE_PART, StoredBytes, form, upload
from tests.support.people import Person
from tests.support.waiting import until

NUMBER_PART = b'Content-Disposition: form-data; name="document_number"\r\n\r\n62472927637'


async def test_an_upload_may_take_longer_than_other_requests(new_database: NewDatabase, tmp_path: Path) -> None:
    settings = Settings(
        _env_file=None,
        carteira_home=tmp_path,
        carteira_modules="documents",
        database_url=new_database("slow"),
        request_timeout_seconds=0.05,
    )
    body = form(TYPE_PART, NUMBER_PART, FILE_PART)

    async def slow() -> AsyncIterator[bytes]:
        yield body[:300_000]
        passed = asyncio.Event()
        asyncio.get_running_loop().call_later(0.1, passed.set)  # longer than an ordinary request may take
        await passed.wait()
        yield body[300_000:]

    async with running_app(settings) as app:
        person = app.person()
        answer = await app.client.post(
            "/documents",
            content=slow(),
            headers=person.headers | {"content-type": "multipart/form-data; boundary=cut"},
        )
        assert answer.status_code == 201, answer.text


async def test_a_persons_concurrent_uploads_are_limited_and_delay_nobody_else(
    app: RunningApp, stored: StoredBytes
) -> None:
    go, begun = asyncio.Event(), 0
    body = form(TYPE_PART, NUMBER_PART, FILE_PART)

    async def waiting() -> AsyncIterator[bytes]:
        nonlocal begun
        yield body[:300_000]
        begun += 1
        await go.wait()
        yield body[300_000:]

    async def send(person: Person) -> httpx.Response:
        headers = person.headers | {"content-type": "multipart/form-data; boundary=cut"}
        return await person.client.post("/documents", content=waiting(), headers=headers)

    person = app.person()
    slow = [asyncio.create_task(send(person)) for _ in range(MAX_UPLOADS_AT_ONCE)]
    await until(lambda: begun == MAX_UPLOADS_AT_ONCE, "the files are on their way")
    before = stored()
    refused = await upload(person, files.pdf())
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_uploads")
    assert int(refused.headers["retry-after"]) > 0
    assert stored() == before
    assert (await upload(app.person(), files.pdf())).status_code == 201
    gone = slow.pop()
    gone.cancel()  # a client that hangs up frees the place
    await asyncio.gather(gone, return_exceptions=True)
    assert (await upload(person, files.pdf())).status_code == 201
    go.set()
    assert {answer.status_code for answer in await asyncio.gather(*slow)} == {201}
