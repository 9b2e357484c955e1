"""An upload: scanned, recognised, checked, sealed and stored as its bytes arrive, with one segment in memory."""

from dataclasses import dataclass
from uuid import UUID

from carteira.documents import content
from carteira.documents.content import Inspector
from carteira.documents.errors import FileBroken, FileTooLarge
from carteira.documents.scanner import Scan, Scanner
from carteira.documents.sealing import SEGMENT_BYTES, FileSealer, new_data_key
from carteira.documents.storage import Storage
from carteira.kit.values.ids import uuid7

MAX_FILE_BYTES = 10 * 1024 * 1024
MAX_BODY_BYTES = MAX_FILE_BYTES + 64 * 1024
"""A file of the largest size, and the form around it."""
UPLOAD_SECONDS = 300.0
"""The time for 10 MiB from a telephone in the street: the server's usual limit would require 3 Mbit/s."""


@dataclass(frozen=True)
class StoredFile:
    """A sealed file in the storage, and its key, which only this process knows so far."""

    document_id: UUID
    version_id: UUID
    data_key: bytes
    file_name: str
    content_type: str
    size: int
    segments: int


class Upload:
    """One file; `feed` it, then `finish` it, or `discard` it.

    The scanner, if there is one, gets all bytes. Fewer may be stored (`content`).
    """

    def __init__(
        self, storage: Storage, document_id: UUID, *, file_name: str, media_type: str, scanner: Scanner | None = None
    ) -> None:
        self.document_id = document_id
        self.version_id = uuid7()
        self._file_name = file_name
        self._media_type = media_type
        self._storage = storage
        self._sealer = FileSealer(document_id, self.version_id, new_data_key())
        self._inspector: Inspector | None = None
        self._scanner = scanner
        self._scan: Scan | None = None
        self._clear = bytearray()
        self._taken = 0
        self._size = 0
        self._segments = 0

    async def feed(self, data: bytes) -> None:
        """Process the file's next bytes.

        Raises:
            FileTooLarge: they are too many.
            FileTypeRefused: the file is not of an accepted kind, or not of the kind that it claims.
            FileBroken: it is not a complete file of its kind.
            MalwareFound, ScannerDown: as `Scan`.
            StorageDown: a segment could not be stored.
        """
        self._taken += len(data)
        if self._taken > MAX_FILE_BYTES:
            raise FileTooLarge
        if self._scanner is not None and self._scan is None:
            self._scan = await self._scanner.begin()
        if self._scan is not None:
            await self._scan.feed(data)
        if self._inspector is not None:
            self._clear += self._inspector.feed(data)
        else:
            self._clear += data
            if len(self._clear) >= content.SNIFFED_BYTES:
                self._inspector = self._recognise()
        while len(self._clear) > SEGMENT_BYTES:
            await self._store(SEGMENT_BYTES, last=False)

    def _recognise(self) -> Inspector:
        inspector = content.sniff(bytes(self._clear[: content.SNIFFED_BYTES]))
        content.require_claim(inspector.content_type, file_name=self._file_name, media_type=self._media_type)
        self._clear[:] = inspector.feed(bytes(self._clear))
        return inspector

    async def _store(self, length: int, *, last: bool) -> None:
        sealed = self._sealer.seal(self._segments, bytes(self._clear[:length]), last=last)
        del self._clear[:length]
        self._size += length
        self._segments += 1
        await self._storage.put(self.version_id, self._segments - 1, sealed)

    async def finish(self) -> StoredFile:
        """Check that the file is complete, and store the rest of it.

        Raises:
            As `feed`; FileBroken: there was no file.
        """
        if not self._taken:
            raise FileBroken("O arquivo está vazio.")
        if self._inspector is None:
            self._inspector = self._recognise()
        self._inspector.finish()
        if self._scan is not None:
            await self._scan.verdict()
            self._scan.close()
        await self._store(len(self._clear), last=True)
        await self._storage.settle(self.version_id, self._segments)
        return StoredFile(
            self.document_id,
            self.version_id,
            self._sealer.key,
            self._file_name,
            self._inspector.content_type,
            self._size,
            self._segments,
        )

    async def discard(self) -> None:
        """Remove its stored segments, and close the scan."""
        if self._scan is not None:
            self._scan.close()
        if self._segments:
            await self._storage.discard(self.version_id)
