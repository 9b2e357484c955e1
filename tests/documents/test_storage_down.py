import time
from pathlib import Path

from pydantic import PostgresDsn

from carteira.settings import Settings
from tests.documents import files
from tests.documents.test_documents import upload
from tests.served import serve
from tests.server import free_port


async def test_an_upload_is_told_that_s3_is_down_and_no_row_is_left(database_url: str, tmp_path: Path) -> None:
    settings = Settings(
        _env_file=None,
        carteira_home=tmp_path,
        carteira_modules="documents",
        database_url=PostgresDsn(database_url),
        aws_endpoint_url=f"http://127.0.0.1:{free_port()}",
        documents_url="s3://papers",
    )
    async with serve(settings) as served:
        person = served.sign_in()
        began = time.monotonic()
        answer = await upload(person, files.pdf(600_000))
        assert (answer.status_code, answer.json()["code"]) == (503, "storage_down")
        assert time.monotonic() - began < 20
        assert (await person.get("/documents")).json()["items"] == []
        ready = await served.client.get("/health/ready")
        assert (ready.status_code, ready.json()["checks"]["documents"]) == (503, False)
