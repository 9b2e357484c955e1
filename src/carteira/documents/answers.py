"""A file's answer: decrypted while it is sent, and nothing in it runs in a browser."""

from collections.abc import AsyncIterator
from urllib.parse import quote

from fastapi.responses import StreamingResponse

from carteira.documents import metrics
from carteira.documents.names import parse_file_name
from carteira.documents.service import OpenedFile
from carteira.documents.storage import Storage

_ALONE = "default-src 'none'; sandbox"


async def file_answer(file: OpenedFile, storage: Storage, *, in_frame: bool = False) -> StreamingResponse:
    """Return a file as a download, or for a frame in a page of the same origin.

    Raises:
        FileDamaged, StorageDown: its first segment cannot be read; a later fault breaks the answer off.
    """
    segments = file.read(storage)
    first = await anext(segments)  # a missing or damaged file is reported before the answer begins

    async def body() -> AsyncIterator[bytes]:
        yield first
        async for segment in segments:
            yield segment

    metrics.served_files.inc()
    way = "inline" if in_frame else "attachment"
    headers = {
        "Content-Length": str(file.size),
        "Content-Disposition": f"{way}; filename*=UTF-8''{quote(parse_file_name(file.file_name, 'file'))}",
        "Content-Security-Policy": f"{_ALONE}; frame-ancestors 'self'" if in_frame else _ALONE,
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }
    if in_frame:
        headers["X-Frame-Options"] = "SAMEORIGIN"
    return StreamingResponse(body(), media_type=file.content_type, headers=headers)
