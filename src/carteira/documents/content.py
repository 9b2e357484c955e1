"""What a file is: told from its bytes as they stream by, never from its name, and lightly proven whole.

Nothing is decompressed or rendered here. Pictures are in `pictures`.
"""

import re
from collections.abc import Awaitable, Callable
from typing import ClassVar, Protocol

from carteira.documents.errors import FileBroken, FileTypeRefused
from carteira.documents.pictures import JPEG, PNG, JpegInspector, PngInspector

PDF = "application/pdf"
EXTENSIONS = {"pdf": PDF, "png": PNG, "jpg": JPEG, "jpeg": JPEG, "jfif": JPEG}
MEDIA_TYPES = {PDF: PDF, PNG: PNG, JPEG: JPEG, "image/jpg": JPEG, "image/pjpeg": JPEG, "application/x-pdf": PDF}
UNTOLD = {"", "application/octet-stream", "binary/octet-stream"}
SNIFFED_BYTES = 8

ReadAt = Callable[[int, int], Awaitable[bytes]]
"""Gives bytes of the file that have streamed by: offset, length."""


class Inspector(Protocol):
    """Reads a file of one kind as it streams by."""

    content_type: ClassVar[str]

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes; give what is to be kept, which may be less, or come with later ones.

        Raises:
            FileBroken: they cannot belong to a file of this kind.
        """

    async def finish(self, read_at: ReadAt) -> None:
        """Say that the file is over. `read_at` reads what was to be kept.

        Raises:
            FileBroken: it is not whole.
        """


class PdfInspector:
    """PDF (ISO 32000): a header at the first byte, objects, a catalogue, and a cross-reference where the end says."""

    content_type: ClassVar[str] = PDF
    _TAIL = 2048
    _NEEDED = (b"endobj", b"/Root")
    _HEADER = re.compile(rb"%PDF-[12]\.[0-9]")
    _END = re.compile(rb"startxref\s+([0-9]{1,10})\s+%%EOF[\s\x00\x1a]*\Z")
    _TABLE = re.compile(rb"\s*(xref\s|[0-9]{1,10}\s+[0-9]{1,5}\s+obj)")

    def __init__(self) -> None:
        self._size = 0
        self._tail = b""
        self._missing = set(self._NEEDED)

    def feed(self, data: bytes) -> bytes:
        """Look for what every PDF has, and remember the end; all is kept."""
        if not self._size and not self._HEADER.match(data):
            raise FileBroken
        self._size += len(data)
        seen = self._tail[-8:] + data
        self._missing = {word for word in self._missing if word not in seen}
        self._tail = (self._tail + data)[-self._TAIL :]
        return data

    async def finish(self, read_at: ReadAt) -> None:
        """Insist on the end, and on a cross-reference at the place that it names."""
        end = self._END.search(self._tail)
        if self._missing or end is None:
            raise FileBroken
        place = int(end.group(1))
        if place >= self._size or not self._TABLE.match(await read_at(place, 32)):
            raise FileBroken


def sniff(head: bytes) -> Inspector:
    """Tell a file's kind from its first `SNIFFED_BYTES` bytes.

    Raises:
        FileTypeRefused: neither PDF, PNG nor JPEG.
    """
    if head.startswith(b"%PDF-"):
        return PdfInspector()
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return PngInspector()
    if head.startswith(b"\xff\xd8\xff"):
        return JpegInspector()
    raise FileTypeRefused


def insist_on_claim(content_type: str, *, file_name: str, media_type: str) -> None:
    """Compare what a file is with what its name's extension and its part's media type say, where they say something.

    Raises:
        FileTypeRefused: one of them says something else.
    """
    _, dot, extension = file_name.rpartition(".")
    if dot and EXTENSIONS.get(extension.lower()) != content_type:
        raise FileTypeRefused("O conteúdo do arquivo não é do tipo que o nome diz.")
    told = media_type.partition(";")[0].strip().lower()
    if told not in UNTOLD and MEDIA_TYPES.get(told) != content_type:
        raise FileTypeRefused("O conteúdo do arquivo não é do tipo informado.")
