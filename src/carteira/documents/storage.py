"""Where sealed segments lie: a folder or an S3 bucket, by one URL. It never sees a clear byte or a key.

A version's segments are small objects under its id (`<version>/0000`, `<version>/0001`, …), each put whole: the same on
disk and on S3, no multipart upload to be left dangling, and no more than one segment in memory.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit
from uuid import UUID

import httpx
import structlog
from obstore.exceptions import BaseError
from obstore.store import LocalStore, S3Store

from carteira.documents.errors import FileDamaged, StorageDown

T = TypeVar("T")
EMBEDDED_CREDENTIALS = "embedded"
log = structlog.get_logger(__name__)


def _key(version_id: UUID, index: int) -> str:
    return f"{version_id.hex}/{index:04d}"


async def _guarded(work: Coroutine[Any, Any, T]) -> T:
    """Do work on the store.

    Raises:
        FileDamaged: an object that should be there is not.
        StorageDown: the store cannot be reached or refuses.
    """
    try:
        return await work
    except FileNotFoundError as error:
        raise FileDamaged from error
    except (BaseError, OSError) as error:
        log.warning("storage down", error=type(error).__name__)
        raise StorageDown from error


class Storage:
    """Sealed segments by version and number."""

    def __init__(self, store: LocalStore | S3Store, folder: Path | None = None) -> None:
        self._store = store
        self._folder = folder

    async def put(self, version_id: UUID, index: int, sealed: bytes) -> None:
        """Store a segment.

        Raises:
            StorageDown: it could not be stored.
        """
        await _guarded(self._store.put_async(_key(version_id, index), sealed, use_multipart=False))

    async def get(self, version_id: UUID, index: int) -> bytes:
        """Give a segment.

        Raises:
            FileDamaged: it is gone.
            StorageDown: the store does not answer.
        """
        found = await _guarded(self._store.get_async(_key(version_id, index)))
        return bytes(await _guarded(found.bytes_async()))

    async def settle(self, version_id: UUID, segments: int) -> None:
        """Make a version's segments survive a power cut: S3 does by itself, a disk has to be told."""
        if self._folder is not None:
            paths = [self._folder / _key(version_id, index) for index in range(segments)]
            folders = [paths[0].parent, self._folder]
            await _guarded(asyncio.to_thread(_sync, [*paths, *folders]))

    async def remove(self, version_id: UUID) -> None:
        """Remove all segments of a version; harmless when there is none.

        Raises:
            StorageDown: the store does not answer.
        """
        await _guarded(self._remove(version_id))

    async def discard(self, version_id: UUID) -> None:
        """Remove what was stored of an upload that failed; if that fails too, the hourly sweep finds it."""
        try:
            await self.remove(version_id)
        except StorageDown:
            log.warning("left for the sweep", version_id=str(version_id))

    async def _remove(self, version_id: UUID) -> None:
        entries = await self._store.list(f"{version_id.hex}/").collect_async()
        if entries:
            with suppress(FileNotFoundError):
                await self._store.delete_async([entry["path"] for entry in entries])

    async def versions(self) -> AsyncIterator[tuple[UUID, datetime]]:
        """Give the id of every version that has a segment stored, with the instant of one of them, segment by segment.

        Objects that are not ours are passed over.
        """
        async for page in self._store.list():
            for entry in page:
                name = entry["path"].partition("/")[0]
                with suppress(ValueError):
                    yield UUID(hex=name), entry["last_modified"]

    async def answers(self) -> bool:
        """Tell whether the store answers."""
        async for _ in self._store.list("00000000000000000000000000000000/"):
            break
        return True


def _sync(paths: list[Path]) -> None:
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def opener(url: str, *, aws_endpoint_url: str | None) -> Callable[[], Storage]:
    """Read `file:///folder` or `s3://bucket/prefix` into what opens the storage; nothing is touched before that.

    Raises:
        ValueError: another scheme, or no folder or bucket in it.
    """
    parts = urlsplit(url)
    if parts.scheme == "file" and parts.path.startswith("/") and not parts.netloc:
        folder = Path(unquote(parts.path))
        return lambda: _open_folder(folder)
    if parts.scheme == "s3" and parts.netloc:
        return lambda: _open_bucket(parts.netloc, parts.path.strip("/"), aws_endpoint_url)
    raise ValueError("DOCUMENTS_URL is file:///a/folder or s3://bucket/prefix")


def _open_folder(folder: Path) -> Storage:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return Storage(LocalStore(folder, automatic_cleanup=True), folder)


def _open_bucket(bucket: str, prefix: str, endpoint: str | None) -> Storage:
    """Open a bucket; credentials come from where AWS's tools look for them (environment, instance, container).

    The embedded server checks none: with an endpoint of our own and no credentials around, any do.
    """
    timeouts = {"connect_timeout": timedelta(seconds=5), "timeout": timedelta(seconds=30)}
    retry = {"max_retries": 3, "retry_timeout": timedelta(seconds=20)}
    if endpoint is None:
        return Storage(S3Store(bucket, prefix=prefix or None, client_options=timeouts, retry_config=retry))  # type: ignore[arg-type] # plain dicts are its TypedDicts
    embedded = "AWS_ACCESS_KEY_ID" not in os.environ
    credentials = {"access_key_id": EMBEDDED_CREDENTIALS, "secret_access_key": EMBEDDED_CREDENTIALS} if embedded else {}
    if embedded:
        _make_bucket(endpoint, bucket)
    return Storage(
        S3Store(
            bucket,
            prefix=prefix or None,
            endpoint=endpoint,
            region=os.environ.get("AWS_REGION", "us-east-1"),
            client_options={**timeouts, "allow_http": endpoint.startswith("http://")},  # type: ignore[arg-type] # as above
            retry_config=retry,  # type: ignore[arg-type] # as above
            **credentials,  # type: ignore[arg-type] # as above
        )
    )


def _make_bucket(endpoint: str, bucket: str) -> None:
    """Make a bucket on the embedded server, which wants to see a signature and checks none."""
    signature = (
        f"AWS4-HMAC-SHA256 Credential={EMBEDDED_CREDENTIALS}/20260101/us-east-1/s3/aws4_request, "
        "SignedHeaders=host, Signature=0"
    )
    with suppress(httpx.HTTPError):
        httpx.put(f"{endpoint.rstrip('/')}/{bucket}", headers={"authorization": signature}, timeout=5)
