"""Objects in a folder or an S3 bucket, named by one URL: `file:///folder` or `s3://bucket/prefix`.

An object is put whole or not at all, on disk as on S3.
"""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import httpx
import structlog
from obstore.exceptions import BaseError
from obstore.store import LocalStore, S3Store

from carteira.kit.ops import tracing

T = TypeVar("T")
EMBEDDED_CREDENTIALS = "embedded"
_AT_ONCE = 1_000
_SYSTEM = re.compile(r"\(os error (\d{1,3})\)")
"""The pattern of a system error in a store's report; the rest of the text names files."""

log = structlog.get_logger(__name__)


class ObjectsDown(Exception):
    """The folder or the bucket does not answer, or refuses.

    Attributes:
        errno: The system error's number, if a folder's disk refused.
    """

    def __init__(self, errno: int | None = None) -> None:
        self.errno = errno
        super().__init__("" if errno is None else os.strerror(errno))

    @classmethod
    def of(cls, error: Exception) -> "ObjectsDown":
        """Return the error for a store's or the disk's own error."""
        said = _SYSTEM.search(str(error))
        number = int(said[1]) if said else None
        return cls(error.errno if isinstance(error, OSError) and error.errno else number)


@dataclass(frozen=True, slots=True)
class ObjectEntry:
    """An object as it is listed."""

    name: str
    size: int
    modified_at: datetime


async def guarded(operation: str, work: Coroutine[Any, Any, T]) -> T:
    """Do work on a store, as a span of the present trace.

    Raises:
        FileNotFoundError: an object that should be there is not.
        ObjectsDown: the store cannot be reached or refuses.
    """
    try:
        with tracing.span(operation, "client", {"rpc.service": "objects"}):
            return await work
    except FileNotFoundError:
        raise
    except (BaseError, OSError) as error:
        down = ObjectsDown.of(error)
        log.warning("object store unavailable", error=type(error).__name__, reason=str(down) or None)
        raise down from error


class ObjectStore:
    """Objects by name. Stored objects survive a power cut: on disk by a sync, on S3 anyway."""

    def __init__(self, store: LocalStore | S3Store, folder: Path | None = None) -> None:
        self.store = store
        self.folder = folder

    async def put(self, name: str, content: bytes) -> None:
        """Store an object, replacing one of the same name.

        Raises:
            ObjectsDown: it could not be stored.
        """
        await guarded("PUT object", self.store.put_async(name, content, use_multipart=False))
        await self.settle([name])

    async def put_file(self, name: str, path: Path) -> None:
        """Store a file as an object, replacing one of the same name, without holding it whole in memory.

        Raises:
            ObjectsDown: it could not be stored.
        """
        await guarded("PUT object", self.store.put_async(name, path))
        await self.settle([name])

    def put_now(self, name: str, content: bytes) -> None:
        """Store an object as `put` does, blocking, for use in a thread.

        Raises:
            ObjectsDown: it could not be stored.
        """
        try:
            self.store.put(name, content, use_multipart=False)
            if self.folder is not None:
                _sync([self.folder / name, *self._folders_of([name])])
        except (BaseError, OSError) as error:
            raise ObjectsDown.of(error) from error

    def get_now(self, name: str) -> bytes:
        """Return an object as `get` does, blocking, for use in a thread.

        Raises:
            FileNotFoundError: there is none.
            ObjectsDown: the store does not answer.
        """
        try:
            return bytes(self.store.get(name).bytes())
        except FileNotFoundError:
            raise
        except (BaseError, OSError) as error:
            raise ObjectsDown.of(error) from error

    async def get(self, name: str) -> bytes:
        """Return an object.

        Raises:
            FileNotFoundError: there is none.
            ObjectsDown: the store does not answer.
        """
        found = await guarded("GET object", self.store.get_async(name))
        return bytes(await guarded("GET object body", found.bytes_async()))

    async def settle(self, names: Sequence[str]) -> None:
        """Sync objects on disk, so that they survive a power cut.

        Raises:
            ObjectsDown: the disk refuses.
        """
        if self.folder is not None and names:
            paths = [self.folder / name for name in names]
            await guarded("SYNC objects", asyncio.to_thread(_sync, [*paths, *self._folders_of(names)]))

    def _folders_of(self, names: Sequence[str]) -> list[Path]:
        """Return the folders that hold these objects' names, the innermost first."""
        assert self.folder is not None
        parents = {parent for name in names for parent in (self.folder / name).parents}
        return sorted((parent for parent in parents if parent.is_relative_to(self.folder)), reverse=True)

    async def entries(self, prefix: str = "") -> AsyncIterator[ObjectEntry]:
        """List the objects under a prefix of whole path segments.

        Raises:
            ObjectsDown: the store does not answer.
        """
        try:
            async for page in self.store.list(prefix or None):
                for entry in page:
                    yield ObjectEntry(entry["path"], entry["size"], entry["last_modified"])
        except FileNotFoundError:
            return
        except (BaseError, OSError) as error:
            log.warning("object store unavailable", error=type(error).__name__)
            raise ObjectsDown.of(error) from error

    async def remove(self, names: Sequence[str]) -> None:
        """Remove objects; missing ones are no error.

        Raises:
            ObjectsDown: the store does not answer.
        """
        for start in range(0, len(names), _AT_ONCE):
            with suppress(FileNotFoundError):
                await guarded("DELETE objects", self.store.delete_async(list(names[start : start + _AT_ONCE])))

    async def answers(self) -> bool:
        """Return whether the store answers; raise the errors of its client."""
        async for _ in self.store.list("00000000000000000000000000000000/"):
            break
        return True


def _sync(paths: Sequence[Path]) -> None:
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def opener(url: str, *, aws_endpoint_url: str | None) -> Callable[[], ObjectStore]:
    """Return a function that opens the store of a URL; nothing is touched before it is called.

    Raises:
        ValueError: another scheme, or no folder or bucket in it.
    """
    parts = urlsplit(url)
    if parts.scheme == "file" and parts.path.startswith("/") and not parts.netloc:
        folder = Path(unquote(parts.path))
        return lambda: _open_folder(folder)
    if parts.scheme == "s3" and parts.netloc:
        return lambda: _open_bucket(parts.netloc, parts.path.strip("/"), aws_endpoint_url)
    raise ValueError("objects lie in file:///a/folder or s3://bucket/prefix")


def _open_folder(folder: Path) -> ObjectStore:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return ObjectStore(LocalStore(folder, automatic_cleanup=True), folder)


def _open_bucket(bucket: str, prefix: str, endpoint: str | None) -> ObjectStore:
    """Open a bucket; credentials come from where AWS's tools look for them (environment, instance, container).

    The embedded server checks none, so with our own endpoint and no credentials in the environment any do.
    """
    timeouts = {"connect_timeout": timedelta(seconds=5), "timeout": timedelta(seconds=30)}
    retry = {"max_retries": 3, "retry_timeout": timedelta(seconds=20)}
    if endpoint is None:
        return ObjectStore(S3Store(bucket, prefix=prefix or None, client_options=timeouts, retry_config=retry))  # type: ignore[arg-type] # plain dicts are its TypedDicts
    embedded = "AWS_ACCESS_KEY_ID" not in os.environ
    credentials = {"access_key_id": EMBEDDED_CREDENTIALS, "secret_access_key": EMBEDDED_CREDENTIALS} if embedded else {}
    if embedded:
        _make_bucket(endpoint, bucket)
    return ObjectStore(
        S3Store(
            bucket,
            prefix=prefix or None,
            endpoint=endpoint,
            region=os.environ.get("AWS_REGION", "us-east-1"),
            client_options={**timeouts, "allow_http": endpoint.startswith("http://")},  # type: ignore[arg-type] # a plain dict is its TypedDict
            retry_config=retry,  # type: ignore[arg-type] # a plain dict is its TypedDict
            **credentials,  # type: ignore[arg-type] # a plain dict is its TypedDict
        )
    )


def _make_bucket(endpoint: str, bucket: str) -> None:
    """Make a bucket on the embedded server, which demands a signature but does not check it."""
    signature = (
        f"AWS4-HMAC-SHA256 Credential={EMBEDDED_CREDENTIALS}/20260101/us-east-1/s3/aws4_request, "
        "SignedHeaders=host, Signature=0"
    )
    with suppress(httpx.HTTPError):
        httpx.put(f"{endpoint.rstrip('/')}/{bucket}", headers={"authorization": signature}, timeout=5)
