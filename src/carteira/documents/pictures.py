"""Inspects pictures as they stream by: checks that they are complete, and removes foreign bytes.

Nothing is decompressed or rendered. A picture of more than `MAX_PIXELS` is refused, since it could be a decompression
bomb. Bytes after its end are removed, so that no file hides another, and positions are removed from its metadata
(`positions`). The pixels' bytes are unchanged.
"""

import re
import struct
import zlib
from typing import ClassVar

from carteira.documents.errors import FileBroken
from carteira.documents.positions import mentions_position, without_position

PNG, JPEG = "image/png", "image/jpeg"
MAX_PIXELS = 100_000_000


def _require_size(width: int, height: int) -> None:
    if not (width and height):
        raise FileBroken
    if width * height > MAX_PIXELS:
        raise FileBroken("A imagem tem pixels demais.")


class PngInspector:
    """PNG (ISO/IEC 15948): chunks with right checksums, IHDR first, picture data, IEND last.

    Chunks of text and Exif are read whole; longer ones than `_MAX_TEXT` bytes are dropped.
    """

    content_type: ClassVar[str] = PNG
    _DEPTHS: ClassVar[dict[int, set[int]]] = {0: {1, 2, 4, 8, 16}, 2: {8, 16}, 3: {1, 2, 4, 8}, 4: {8, 16}, 6: {8, 16}}
    _SIGNATURE = 8
    _TEXTS: ClassVar[frozenset[bytes]] = frozenset({b"eXIf", b"tEXt", b"zTXt", b"iTXt"})
    _MAX_TEXT = 65_536
    _MAX_CHUNKS = 20_000

    def __init__(self) -> None:
        self._pending = bytearray()
        self._kept = bytearray()
        self._signature_left = self._SIGNATURE  # sniffing has seen it
        self._body = 0
        self._crc = 0
        self._kind = b""
        self._keeps = True
        self._chunks = 0
        self._has_picture = self._ended = False

    def feed(self, data: bytes) -> bytes:
        """Walk the chunks; those with pixels are added to the checksum and passed on as they arrive."""
        view = memoryview(data)
        while view and not self._ended:
            view = view[self._take(view) :]
        kept, self._kept = bytes(self._kept), bytearray()
        return kept

    def _take(self, view: memoryview) -> int:
        """Process the first item as far as its bytes have arrived; return how many bytes that were."""
        if self._signature_left:
            taken = min(self._signature_left, len(view))
            self._signature_left -= taken
            self._kept += view[:taken]
        elif self._body and not self._is_read_whole():
            taken = min(self._body, len(view))
            self._crc = zlib.crc32(view[:taken], self._crc)
            self._body -= taken
            if self._keeps:
                self._kept += view[:taken]
        else:
            wanted = self._body + 4 if self._kind else 8
            taken = min(wanted - len(self._pending), len(view))
            self._pending += view[:taken]
            if len(self._pending) == wanted:
                pending, self._pending = bytes(self._pending), bytearray()
                self._step(pending)
        return taken

    def _is_read_whole(self) -> bool:
        return self._kind == b"IHDR" or (self._kind in self._TEXTS and self._keeps)

    def _step(self, pending: bytes) -> None:
        """Begin a chunk, or end the present one: the pending bytes are its length and kind, or its rest."""
        if not self._kind:
            self._begin_chunk(*struct.unpack(">I4s", pending))
            return
        body, crc = pending[:-4], pending[-4:]
        self._crc = zlib.crc32(body, self._crc)
        if crc != struct.pack(">I", self._crc):
            raise FileBroken
        if self._kind == b"IHDR":
            self._read_header(body)
        if self._kind in self._TEXTS:
            self._keep_text(body)
        elif self._keeps:
            self._kept += pending
        self._ended = self._kind == b"IEND"
        self._kind, self._body = b"", 0

    def _begin_chunk(self, length: int, kind: bytes) -> None:
        first = self._chunks == 0
        if not kind.isalpha() or length > 0x7FFFFFFF or first != (kind == b"IHDR"):  # noqa: PLR2004 - PNG's own bound
            raise FileBroken
        if (kind == b"IHDR" and length != 13) or (kind == b"IEND" and length):  # noqa: PLR2004 - PNG's length of IHDR
            raise FileBroken
        self._chunks += 1
        if self._chunks > self._MAX_CHUNKS:
            raise FileBroken
        self._has_picture |= kind == b"IDAT"
        self._kind, self._body, self._crc = kind, length, zlib.crc32(kind)
        self._keeps = kind not in self._TEXTS or length <= self._MAX_TEXT
        if kind not in self._TEXTS:
            self._kept += struct.pack(">I4s", length, kind)

    def _read_header(self, body: bytes) -> None:
        width, height, depth, colour = struct.unpack(">IIBB", body[:10])
        if depth not in self._DEPTHS.get(colour, ()):
            raise FileBroken
        _require_size(width, height)

    def _keep_text(self, body: bytes) -> None:
        """Return a chunk of text or Exif without positions."""
        if self._keeps and self._kind == b"eXIf":
            body = without_position(body)
        elif not self._keeps or self._hides_position(body):
            return
        if body:
            summed = self._kind + body
            self._kept += struct.pack(">I", len(body)) + summed + struct.pack(">I", zlib.crc32(summed))

    def _hides_position(self, body: bytes) -> bool:
        """Return whether a text mentions a position, or might: Exif or XMP written as text, or deflated."""
        keyword, _, text = body.partition(b"\0")
        if keyword.lower().startswith((b"raw profile type", b"xml:com.adobe.xmp")):
            deflated = self._kind == b"zTXt" or text[:1] != b"\0"
            return deflated or keyword.lower().startswith(b"raw") or mentions_position(text.strip(b"\0"))
        return self._kind != b"zTXt" and b"gps" in text.lower()

    def finish(self) -> None:
        """Require picture data and the end."""
        if not (self._ended and self._has_picture):
            raise FileBroken


class JpegInspector:
    """JPEG (ITU-T T.81): segments with a frame header, scans, and the end of the image.

    Segments (of 64 KiB at most) are read whole; a scan's bytes are passed on as they arrive.
    """

    content_type: ClassVar[str] = JPEG
    _FRAMES: ClassVar[frozenset[int]] = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
    _WITH_LENGTH: ClassVar[frozenset[int]] = frozenset(range(0xC0, 0xFF)) - frozenset(range(0xD0, 0xDA))
    _END, _SCAN, _EXIF_XMP, _INDEX = 0xD9, 0xDA, 0xE1, 0xE2
    _MAX_SEGMENTS = 4096
    _MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
    """The marker that ends a scan's data: neither a stuffed zero nor a restart."""
    _EXIF = b"Exif\0"
    _XMP = b"http://ns.adobe.com/xap/1.0/\0"
    _MORE_XMP = b"http://ns.adobe.com/xmp/extension/\0"

    def __init__(self) -> None:
        self._pending = bytearray()
        self._kept = bytearray()
        self._segments = 0
        self._begun = self._in_scan = self._has_frame = self._has_scan = self._ended = False

    def feed(self, data: bytes) -> bytes:
        """Walk the segments and the scans between them."""
        if self._ended:
            return b""
        self._pending += data
        if not self._begun:
            self._begun = True
            self._pass_on(len(b"\xff\xd8"))  # sniffing has seen it
        while self._step():
            pass
        kept, self._kept = bytes(self._kept), bytearray()
        return kept

    def _pass_on(self, length: int) -> None:
        self._kept += self._pending[:length]
        del self._pending[:length]

    def _step(self) -> bool:
        """Process the first item, if it is complete; return whether it was."""
        if self._in_scan:
            found = self._MARKER.search(self._pending)
            self._pass_on(found.start() if found else len(self._pending) - self._pending.endswith(b"\xff"))
        if len(self._pending) < 2:  # noqa: PLR2004 - a marker
            return False
        if self._pending[0] != 0xFF:  # noqa: PLR2004 - the first byte of every marker
            raise FileBroken
        marker = self._pending[1]
        if marker == 0xFF:  # noqa: PLR2004 - fill bytes, all but the last
            self._pass_on(len(self._pending) - len(self._pending.lstrip(b"\xff")) - 1)
        elif marker == self._END and self._has_scan:
            self._pass_on(2)
            self._ended = True
            self._pending.clear()
        elif marker in self._WITH_LENGTH:
            return self._begin_segment(marker)
        else:
            raise FileBroken
        return True

    def _begin_segment(self, marker: int) -> bool:
        if len(self._pending) < 4:  # noqa: PLR2004 - a marker and a length
            return False
        length = int.from_bytes(self._pending[2:4])
        if length < 2 or self._segments == self._MAX_SEGMENTS:  # noqa: PLR2004 - a length includes its own two bytes
            raise FileBroken
        if len(self._pending) < 2 + length:
            return False
        content = bytes(self._pending[4 : 2 + length])
        del self._pending[: 2 + length]
        self._segments += 1
        self._read(marker, content)
        kept = self._without_position(marker, content)
        if kept is not None:
            self._kept += bytes([0xFF, marker]) + (len(kept) + 2).to_bytes(2) + kept
        return True

    def _read(self, marker: int, content: bytes) -> None:
        if marker in self._FRAMES:
            if len(content) < 6:  # noqa: PLR2004 - precision, height, width, components
                raise FileBroken
            _, height, width = struct.unpack(">BHH", content[:5])
            _require_size(width, height)
            self._has_frame = True
        if marker == self._SCAN and not self._has_frame:
            raise FileBroken
        self._in_scan = marker == self._SCAN
        self._has_scan |= self._in_scan

    def _without_position(self, marker: int, content: bytes) -> bytes | None:
        """Return a segment as it is stored; None: it is dropped."""
        if marker == self._INDEX and content.startswith(b"MPF\0"):
            return None  # an index of further pictures after the end
        if marker != self._EXIF_XMP:
            return content
        if content.startswith(self._EXIF):
            exif = without_position(content[len(self._EXIF) + 1 :])
            return content[: len(self._EXIF) + 1] + exif if exif else None
        if content.startswith(self._MORE_XMP):
            return None  # a piece of a whole that is dropped
        if content.startswith(self._XMP) and mentions_position(content[len(self._XMP) :]):
            return None
        return content

    def finish(self) -> None:
        """Require the end of the image."""
        if not self._ended:
            raise FileBroken
