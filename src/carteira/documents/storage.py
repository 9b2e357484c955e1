"""The storage of sealed segments: a folder or an S3 bucket, by one URL. It never sees a clear byte or a key.

A version's segments are small objects under its id (`<version>/0000`, `<version>/0001`, …), each put whole: the same on
disk and on S3, without unfinished multipart uploads, and with one segment in memory at most.
"""

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import structlog

from carteira.documents.errors import FileDamaged, StorageDown
from carteira.kit.outbound import objects
from carteira.kit.outbound.objects import ObjectsDown, ObjectStore

T = TypeVar("T")
log = structlog.get_logger(__name__)


def segment_name(version_id: UUID, index: int) -> str:
    """Return the name of a segment in storage."""
    return f"{version_id.hex}/{index:04d}"


async def _guarded(operation: str, work: Coroutine[Any, Any, T]) -> T:
    """Do work on the store.

    Raises:
        FileDamaged: an object is missing.
        StorageDown: the store cannot be reached or refuses.
    """
    try:
        return await objects.guarded(operation, work)
    except FileNotFoundError as error:
        raise FileDamaged from error
    except ObjectsDown as error:
        raise StorageDown from error


class Storage:
    """Sealed segments by version and number."""

    def __init__(self, objects: ObjectStore) -> None:
        self.objects = objects
        self._store = objects.store

    async def put(self, version_id: UUID, index: int, sealed: bytes) -> None:
        """Store a segment.

        Raises:
            StorageDown: it could not be stored.
        """
        await _guarded(
            "PUT segment", self._store.put_async(segment_name(version_id, index), sealed, use_multipart=False)
        )

    async def get(self, version_id: UUID, index: int) -> bytes:
        """Return a segment.

        Raises:
            FileDamaged: it is gone.
            StorageDown: the store does not answer.
        """
        found = await _guarded("GET segment", self._store.get_async(segment_name(version_id, index)))
        return bytes(await _guarded("GET segment body", found.bytes_async()))

    async def settle(self, version_id: UUID, segments: int) -> None:
        """Sync a version's segments to disk, so that they survive a power cut; S3 does so by itself."""
        await _guarded(
            "SYNC segments", self.objects.settle([segment_name(version_id, index) for index in range(segments)])
        )

    async def remove(self, version_id: UUID) -> None:
        """Remove all segments of a version, if there are any.

        Raises:
            StorageDown: the store does not answer.
        """
        await _guarded("DELETE segments", self._remove(version_id))

    async def discard(self, version_id: UUID) -> None:
        """Remove a failed upload's segments; if that fails too, the hourly sweep finds them."""
        try:
            await self.remove(version_id)
        except StorageDown:
            log.warning("version left for the sweep", version_id=str(version_id))

    async def _remove(self, version_id: UUID) -> None:
        entries = await self._store.list(f"{version_id.hex}/").collect_async()
        if entries:
            with suppress(FileNotFoundError):
                await self._store.delete_async([entry["path"] for entry in entries])

    async def versions(self) -> AsyncIterator[tuple[UUID, datetime]]:
        """Yield the id of every version that has a segment stored, with the instant of one of them, segment by segment.

        Foreign objects are skipped.
        """
        async for page in self._store.list():
            for entry in page:
                name = entry["path"].partition("/")[0]
                with suppress(ValueError):
                    yield UUID(hex=name), entry["last_modified"]

    async def answers(self) -> bool:
        """Return whether the store answers."""
        return await self.objects.answers()


def opener(url: str, *, aws_endpoint_url: str | None) -> Callable[[], Storage]:
    """Return a function that opens `file:///folder` or `s3://bucket/prefix`; nothing is touched before its call.

    Raises:
        ValueError: another scheme, or no folder or bucket in it.
    """
    open_store = objects.opener(url, aws_endpoint_url=aws_endpoint_url)
    return lambda: Storage(open_store())
