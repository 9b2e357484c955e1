"""What a file is: told from its bytes as they stream by, never from its name, and lightly proven whole.

Nothing is decompressed or rendered here. A picture that claims more than `MAX_PIXELS` is refused, so that nobody who
opens it later inflates a bomb.
"""

import re
import struct
import zlib
from collections.abc import Awaitable, Callable
from typing import ClassVar, Protocol

from carteira.documents.errors import FileBroken, FileTypeRefused

PDF, PNG, JPEG = "application/pdf", "image/png", "image/jpeg"
EXTENSIONS = {"pdf": PDF, "png": PNG, "jpg": JPEG, "jpeg": JPEG, "jfif": JPEG}
MEDIA_TYPES = {PDF: PDF, PNG: PNG, JPEG: JPEG, "image/jpg": JPEG, "image/pjpeg": JPEG, "application/x-pdf": PDF}
UNTOLD = {"", "application/octet-stream", "binary/octet-stream"}
MAX_PIXELS = 100_000_000
SNIFFED_BYTES = 8

ReadAt = Callable[[int, int], Awaitable[bytes]]
"""Gives bytes of the file that have streamed by: offset, length."""


class Inspector(Protocol):
    """Reads a file of one kind as it streams by."""

    content_type: ClassVar[str]

    def feed(self, data: bytes) -> None:
        """Take the next bytes.

        Raises:
            FileBroken: they cannot belong to a file of this kind.
        """

    async def finish(self, read_at: ReadAt) -> None:
        """Say that the file is over.

        Raises:
            FileBroken: it is not whole.
        """


def _insist_on_size(width: int, height: int) -> None:
    if not (width and height):
        raise FileBroken
    if width * height > MAX_PIXELS:
        raise FileBroken("A imagem tem pixels demais.")


class PngInspector:
    """PNG (ISO/IEC 15948): chunks with right checksums, IHDR first, picture data, IEND last and nothing behind it."""

    content_type: ClassVar[str] = PNG
    _DEPTHS: ClassVar[dict[int, set[int]]] = {0: {1, 2, 4, 8, 16}, 2: {8, 16}, 3: {1, 2, 4, 8}, 4: {8, 16}, 6: {8, 16}}

    def __init__(self) -> None:
        self._pending = bytearray()
        self._skip = 8  # the signature, which sniffing has seen
        self._body = 0
        self._crc = 0
        self._kind = b""
        self._chunks = 0
        self._has_picture = self._ended = False

    def feed(self, data: bytes) -> None:
        """Walk the chunks; their data is only summed."""
        view = memoryview(data)
        while view:
            if self._ended:
                raise FileBroken
            if self._skip:
                taken = min(self._skip, len(view))
                self._skip -= taken
            elif self._body and self._kind != b"IHDR":
                taken = min(self._body, len(view))
                self._crc = zlib.crc32(view[:taken], self._crc)
                self._body -= taken
            else:
                wanted = (self._body or 0) + 4 if self._kind else 8
                taken = min(wanted - len(self._pending), len(view))
                self._pending += view[:taken]
                if len(self._pending) == wanted:
                    self._step(bytes(self._pending))
                    self._pending.clear()
            view = view[taken:]

    def _step(self, head: bytes) -> None:
        if not self._kind:
            self._begin_chunk(*struct.unpack(">I4s", head))
            return
        if self._kind == b"IHDR":
            self._crc = zlib.crc32(head[:-4], self._crc)
            width, height, depth, colour = struct.unpack(">IIBB", head[:10])
            if depth not in self._DEPTHS.get(colour, ()):
                raise FileBroken
            _insist_on_size(width, height)
            self._body = 0
        if head[-4:] != struct.pack(">I", self._crc):
            raise FileBroken
        self._ended = self._kind == b"IEND"
        self._kind = b""

    def _begin_chunk(self, length: int, kind: bytes) -> None:
        first = self._chunks == 0
        if not kind.isalpha() or length > 0x7FFFFFFF or first != (kind == b"IHDR"):  # noqa: PLR2004 - PNG's own bound
            raise FileBroken
        if (kind == b"IHDR" and length != 13) or (kind == b"IEND" and length):  # noqa: PLR2004 - as PNG has it
            raise FileBroken
        self._chunks += 1
        self._has_picture |= kind == b"IDAT"
        self._kind, self._body, self._crc = kind, length, zlib.crc32(kind)

    async def finish(self, read_at: ReadAt) -> None:  # noqa: ARG002 - pictures are proven as they stream by
        """Insist on picture data and the end."""
        if not (self._ended and self._has_picture):
            raise FileBroken


class JpegInspector:
    """JPEG (ITU-T T.81): segments up to a frame header and a scan, and an end of image behind it."""

    content_type: ClassVar[str] = JPEG
    _FRAMES: ClassVar[frozenset[int]] = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
    _SCAN = 0xDA

    def __init__(self) -> None:
        self._pending = bytearray()
        self._begun = self._in_scan = self._has_frame = self._ended = False
        self._last = b""

    def feed(self, data: bytes) -> None:
        """Walk the segments before the scan, then look for the end of the image."""
        if self._in_scan:
            self._look_for_end(data)
            return
        self._pending += data
        place = 0 if self._begun else len(b"\xff\xd8")
        self._begun = True
        while (length := self._segment_at(place)) is not None:
            place += length
        del self._pending[:place]
        if self._is_in_scan():
            self._look_for_end(bytes(self._pending))
            self._pending.clear()

    def _is_in_scan(self) -> bool:
        return self._in_scan

    def _segment_at(self, place: int) -> int | None:
        """Take the segment at a place, if it is all there and the scan has not begun; give its length."""
        ahead = bytes(self._pending[place : place + 4])
        if self._in_scan or len(ahead) < 4:  # noqa: PLR2004 - a marker and a length
            return None
        if ahead[:2] == b"\xff\xff":
            return 1  # a fill byte
        length = int.from_bytes(ahead[2:4])
        if ahead[0] != 0xFF or not 0xC0 <= ahead[1] <= 0xFE or length < 2:  # noqa: PLR2004 - markers with lengths
            raise FileBroken
        if len(self._pending) < place + 2 + length:
            return None
        self._segment(ahead[1], bytes(self._pending[place + 4 : place + 2 + length]))
        return 2 + length

    def _segment(self, marker: int, content: bytes) -> None:
        if marker in self._FRAMES:
            if len(content) < 6:  # noqa: PLR2004 - precision, height, width, components
                raise FileBroken
            _, height, width = struct.unpack(">BHH", content[:5])
            _insist_on_size(width, height)
            self._has_frame = True
        if marker == self._SCAN:
            if not self._has_frame:
                raise FileBroken
            self._in_scan = True

    def _look_for_end(self, data: bytes) -> None:
        self._ended = self._ended or b"\xff\xd9" in self._last + data
        self._last = data[-1:] or self._last

    async def finish(self, read_at: ReadAt) -> None:  # noqa: ARG002 - as for PNG
        """Insist on the end of the image."""
        if not self._ended:
            raise FileBroken


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

    def feed(self, data: bytes) -> None:
        """Look for what every PDF has, and remember the end."""
        if not self._size and not self._HEADER.match(data):
            raise FileBroken
        self._size += len(data)
        seen = self._tail[-8:] + data
        self._missing = {word for word in self._missing if word not in seen}
        self._tail = (self._tail + data)[-self._TAIL :]

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
