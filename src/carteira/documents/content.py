"""Recognises a file's kind by its bytes as they stream by, never by its name, and checks that it is complete.

Nothing is decompressed or rendered here. Pictures are in `pictures`.
"""

import re
from typing import ClassVar, Protocol

from carteira.documents.errors import FileBroken, FileTypeRefused
from carteira.documents.pictures import JPEG, PNG, JpegInspector, PngInspector

PDF = "application/pdf"
EXTENSIONS = {"pdf": PDF, "png": PNG, "jpg": JPEG, "jpeg": JPEG, "jpe": JPEG, "jfif": JPEG}
_OTHERS = re.compile(
    "hei[cf]|avif|webp|gif|bmp|tiff?|svg|psd|docx?|odt|rtf|txt|xlsx?|ods|csv|pptx?|odp|x?html?|xml|eml|msg|zip|rar|7z"
    "|gz|tar|exe|msi|scr|com|bat|cmd|ps1|vbs|js|jar|apk|dmg|iso|mp[34]|mov|avi"
)
"""Extensions of other kinds; unknown ones (`RG 12.345.678-9`) are ignored."""
MEDIA_TYPES = {PDF: PDF, PNG: PNG, JPEG: JPEG, "image/jpg": JPEG, "image/pjpeg": JPEG, "application/x-pdf": PDF}
_OTHER_MEDIA = ("text/", "audio/", "video/", "message/", "image/heic", "image/heif", "image/webp", "image/svg")
SNIFFED_BYTES = 1024
"""The part of a file in which readers search for a PDF's header."""
_LEAST_SNIFFED = 8
_NO_PREFIX = (b"MZ", b"\x7fELF", b"PK", b"#!", b"<")
"""Beginnings that no honest PDF has before its header: programs, archives, pages."""
_HOW_ELSE = "Abra a foto, tire um print da tela e envie o print; ou mande um PDF."
_PHOTOS = {
    b"heic": "Esta foto está em HEIC, o formato do iPhone. Envie por esta página, no próprio iPhone, que ele a"
    " converte; ou mude em Ajustes, Câmera, Formatos, para Mais Compatível e tire outra.",
    b"avif": f"Esta foto está em AVIF, que não guardamos. {_HOW_ELSE}",
    b"webp": f"Esta foto está em WebP, que não guardamos. {_HOW_ELSE}",
    b"gif": f"Esta imagem está em GIF, que não guardamos. {_HOW_ELSE}",
    b"tiff": f"Esta imagem está em TIFF ou RAW, que não guardamos. {_HOW_ELSE}",
    b"bmp": f"Esta imagem está em BMP, que não guardamos. {_HOW_ELSE}",
}
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}


class Inspector(Protocol):
    """Reads a file of one kind as it streams by."""

    content_type: ClassVar[str]

    def feed(self, data: bytes) -> bytes:
        """Process the next bytes; return the bytes to store, which may be fewer or come from earlier calls.

        Raises:
            FileBroken: they cannot belong to a file of this kind.
        """

    def finish(self) -> None:
        """Check the end of the file.

        Raises:
            FileBroken: it is incomplete.
        """


class PdfInspector:
    """PDF (ISO 32000) as every reader opens it: header, an object, a catalogue, and an end behind the last object.

    Readers accept some bytes before the header and after the end, and repair a wrong cross-reference. A truncated file
    has no end.
    """

    content_type: ClassVar[str] = PDF
    _CATALOGUE = b"/Root"
    _OBJECT = b"endobj"
    _END = re.compile(rb"startxref|%%EOF")
    _AFTER_END = 1024
    _BLANK = b"\0\t\n\f\r \x1a"
    _OVERLAP = 8

    def __init__(self) -> None:
        self._size = 0
        self._seen = b""
        self._has_catalogue = False
        self._last_object = self._last_end = self._last_sign = -1

    def feed(self, data: bytes) -> bytes:
        """Find the parts that every PDF has; all bytes are stored."""
        window = self._seen + data
        start = self._size - len(self._seen)
        self._has_catalogue |= self._CATALOGUE in window
        self._last_object = max(self._last_object, _place(window.rfind(self._OBJECT), start))
        for end in self._END.finditer(window):
            self._last_end = start + end.end()
        self._last_sign = max(self._last_sign, _place(len(window.rstrip(self._BLANK)) - 1, start))
        self._size += len(data)
        self._seen = window[-self._OVERLAP :]
        return data

    def finish(self) -> None:
        """Require an object, a catalogue, and the end."""
        whole = self._has_catalogue and 0 <= self._last_object < self._last_end
        if not whole or self._last_sign - self._last_end > self._AFTER_END:
            raise FileBroken


def _place(found: int, start: int) -> int:
    return -1 if found < 0 else start + found


def sniff(head: bytes) -> Inspector:
    """Return a file's kind by its first `SNIFFED_BYTES` bytes, or by all bytes of a shorter one.

    Raises:
        FileTypeRefused: neither PDF, PNG nor JPEG; for a photo of another kind the message says what to do.
    """
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return PngInspector()
    if head.startswith(b"\xff\xd8\xff"):
        return JpegInspector()
    other = _other_photo(head)
    if other is not None:
        raise FileTypeRefused(_PHOTOS[other])
    if len(head) >= _LEAST_SNIFFED and b"%PDF-" in head and not head.lstrip().startswith(_NO_PREFIX):
        return PdfInspector()
    raise FileTypeRefused


def _other_photo(head: bytes) -> bytes | None:
    if head[4:8] == b"ftyp":
        brand = head[8:12]
        return b"heic" if brand in _HEIC_BRANDS else b"avif" if brand in {b"avif", b"avis"} else None
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return b"webp"
    signs = {b"GIF8": b"gif", b"II*\0": b"tiff", b"MM\0*": b"tiff", b"BM": b"bmp"}
    return next((name for sign, name in signs.items() if head.startswith(sign)), None)


def require_claim(content_type: str, *, file_name: str, media_type: str) -> None:
    """Require that a file's kind matches its name's extension and its part's media type, if these are known.

    Raises:
        FileTypeRefused: one of them differs.
    """
    extension = file_name.rpartition(".")[2].lower() if "." in file_name else ""
    if _OTHERS.fullmatch(extension) or EXTENSIONS.get(extension, content_type) != content_type:
        raise FileTypeRefused("O conteúdo do arquivo não é do tipo que o nome diz.")
    declared = media_type.partition(";")[0].strip().lower()
    if declared.startswith(_OTHER_MEDIA) or MEDIA_TYPES.get(declared, content_type) != content_type:
        raise FileTypeRefused("O conteúdo do arquivo não é do tipo informado.")
