import time
from pathlib import Path

from carteira.embedded import free_port
from tests.support import files
from tests.support.app import running_app, settings_for
from tests.support.documents import upload


async def test_an_upload_fails_when_s3_is_down_and_leaves_no_row(database_url: str, tmp_path: Path) -> None:
    settings = settings_for(
        tmp_path,
        carteira_modules="documents",
        database_url=database_url,
        aws_endpoint_url=f"http://127.0.0.1:{free_port()}",
        documents_url="s3://papers",
    )
    async with running_app(settings) as app:
        person = app.person()
        began = time.monotonic()
        answer = await upload(person, files.pdf(600_000))
        assert (answer.status_code, answer.json()["code"]) == (503, "storage_down")
        assert time.monotonic() - began < 20
        assert (await person.get("/documents")).json()["items"] == []
        ready = await app.client.get("/health/ready")
        assert (ready.status_code, ready.json()["checks"]["documents"]) == (503, False)
