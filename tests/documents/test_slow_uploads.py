import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from carteira.settings import Settings
from tests.support.app import running_app
from tests.support.databases import NewDatabase
from tests.support.documents import FILE_PART, TYPE_PART, form

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
        asyncio.get_running_loop().call_later(0.1, passed.set)  # the time of an ordinary request passes
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
