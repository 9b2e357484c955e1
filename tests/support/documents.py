"""Documents: uploads, downloads, and the bytes in the storage."""

from collections.abc import Callable

import httpx

from tests.support import files
from tests.support.people import Person

StoredBytes = Callable[[], list[bytes]]
"""Returns the bytes in the storage."""

FIELDS = {"document_type": "CNH", "document_number": "62472927637"}
FILE_PART = b'Content-Disposition: form-data; name="file"; filename="a.pdf"\r\n\r\n' + files.pdf(600_000)
TYPE_PART = b'Content-Disposition: form-data; name="document_type"\r\n\r\nCNH'


async def upload(
    person: Person, data: bytes, name: str = "cnh.pdf", media_type: str = "application/pdf", **fields: str
) -> httpx.Response:
    return await person.client.post(
        "/documents", data=FIELDS | fields, files={"file": (name, data, media_type)}, headers=person.headers
    )


async def download(person: Person, document_id: str, **params: int) -> httpx.Response:
    link = await person.client.post(f"/documents/{document_id}/link", params=params, headers=person.headers)
    assert link.status_code == 200, link.text
    return await person.client.get(link.json()["url"])


def form(*parts: bytes, boundary: bytes = b"cut", end: bool = True) -> bytes:
    return b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts) + (
        b"--" + boundary + b"--\r\n" if end else b""
    )
