"""Parses a multipart form as it arrives: small fields into memory, the file straight into an upload.

Starlette's own form parser spools files, in clear, into memory and temporary files; this one keeps neither.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field

from python_multipart import MultipartParser
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect

from carteira.documents.errors import FormUnreadable
from carteira.documents.names import parse_file_name
from carteira.documents.upload import StoredFile, Upload
from carteira.kit.web.problems import InvalidInput

MAX_FIELD_BYTES = 1024
MAX_FIELDS = 10
FILE = "file"

OpenUpload = Callable[[str, str], Upload]
"""Begins an upload of a file by its name and media type."""
BeforeFile = Callable[[Mapping[str, str]], None]
"""Called with the fields before the file; it may raise before any of the file is stored."""


@dataclass
class Form:
    """A parsed form."""

    fields: dict[str, str]
    file: StoredFile | None


@dataclass
class _Part:
    headers: dict[str, bytes] = field(default_factory=dict)
    data: list[bytes] = field(default_factory=list)
    begun: bool = False
    ended: bool = False


class _Parts:
    """Turns the parser's callbacks into parts with the bytes that have arrived."""

    def __init__(self, boundary: bytes) -> None:
        self.parts: list[_Part] = []
        self.ended = False
        self._name = self._value = b""
        self.parser = MultipartParser(
            boundary,
            {
                "on_part_begin": lambda: self.parts.append(_Part()),
                "on_header_field": self._on_header_field,
                "on_header_value": self._on_header_value,
                "on_header_end": self._on_header_end,
                "on_headers_finished": self._on_headers_finished,
                "on_part_data": lambda data, start, end: self.parts[-1].data.append(data[start:end]),
                "on_part_end": self._on_part_end,
                "on_end": self._on_end,
            },
            max_header_count=8,
            max_header_size=2048,
        )

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        self.parts[-1].headers[self._name.decode("latin-1").lower()] = self._value
        self._name = self._value = b""

    def _on_headers_finished(self) -> None:
        self.parts[-1].begun = True

    def _on_part_end(self) -> None:
        self.parts[-1].ended = True

    def _on_end(self) -> None:
        self.ended = True

    def require_end(self) -> None:
        """Refuse a truncated form."""
        if not self.ended:
            raise FormUnreadable

    def parse(self, data: bytes) -> list[_Part]:
        """Parse the next bytes; return the parts whose headers are complete; the last one may go on."""
        try:
            self.parser.write(data)
        except MultipartParseError as error:
            raise FormUnreadable from error
        *whole, last = self.parts or [_Part(ended=True)]
        if not last.begun:
            self.parts = [] if last.ended else [last]
            return whole
        self.parts = [] if last.ended else [_Part(last.headers, begun=True)]
        return [*whole, last]


def _disposition(part: _Part) -> tuple[str, str | None]:
    """Read a part's name and file name.

    Raises:
        FormUnreadable: it has no name, or one that is no UTF-8.
    """
    raw = part.headers.get("content-disposition", b"")
    kind, options = parse_options_header(raw)
    try:
        name = options[b"name"].decode()
        file_name = options[b"filename"].decode() if b"filename" in options else None
    except (KeyError, UnicodeDecodeError) as error:
        raise FormUnreadable from error
    if kind != b"form-data":
        raise FormUnreadable
    # The library shortens the whole path that an old browser sends; here a path is refused.
    return name, file_name if b":\\" not in raw and b'"\\\\' not in raw else "\\"


class _Reader:
    def __init__(self, open_upload: OpenUpload, allowed: frozenset[str], before_file: BeforeFile | None) -> None:
        self._open_upload = open_upload
        self._allowed = allowed
        self._before_file = before_file
        self._has_none = False
        self.values: dict[str, bytes] = {}
        self.upload: Upload | None = None
        self._name: str | None = None

    async def parse(self, part: _Part) -> None:
        if self._name is None:
            self._name = self._begin(part)
        data = b"".join(part.data)
        if self._name == FILE and self.upload is not None:
            await self.upload.feed(data)
        elif self._name == FILE:
            if data:
                raise _wrong(FILE, "Envie um arquivo.")
        else:
            self.values[self._name] += data
            if len(self.values[self._name]) > MAX_FIELD_BYTES:
                raise _wrong(self._name, "Texto longo demais.")
        if part.ended:
            self._name = None

    def _begin(self, part: _Part) -> str:
        name, file_name = _disposition(part)
        if name == FILE:
            if file_name is None:
                raise _wrong(FILE, "Envie um arquivo.")
            if self.upload is not None or self._has_none:
                raise _wrong(FILE, "Envie um arquivo só.")
            if not file_name:  # browsers send this if no file was chosen
                self._has_none = True
                return name
            if self._before_file is not None:
                self._before_file(self.fields())
            media_type = part.headers.get("content-type", b"").decode("latin-1")
            self.upload = self._open_upload(parse_file_name(file_name, FILE), media_type)
        elif name not in self._allowed:
            raise _wrong(name[:64], "Campo desconhecido.")
        elif name in self.values:
            raise _wrong(name, "Campo repetido.")
        else:
            self.values[name] = b""
        return name

    def fields(self) -> dict[str, str]:
        return {name: value.decode() for name, value in self.values.items()}


def _wrong(name: str, message: str) -> InvalidInput:
    return InvalidInput(errors=[{"field": name, "message": message}])


async def read_form(
    body: AsyncIterator[bytes],
    content_type: str,
    *,
    allowed: frozenset[str],
    open_upload: OpenUpload,
    before_file: BeforeFile | None = None,
) -> Form:
    """Read a form with allowed fields and at most one file; after a failure no file is left behind.

    Raises:
        FormUnreadable: it is no form, or is cut off.
        InvalidInput: a field is unknown, repeated or too long, or the file's name is no file name.
        FileTooLarge, FileTypeRefused, FileBroken, StorageDown: as `Upload`.
    """
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if not 1 <= len(boundary) <= 70:  # noqa: PLR2004 - RFC 2046, section 5.1.1
        raise FormUnreadable
    parts, reader = _Parts(boundary), _Reader(open_upload, allowed, before_file)
    try:
        async for chunk in body:
            for part in parts.parse(chunk):
                await reader.parse(part)
        parts.require_end()
        return Form(reader.fields(), await reader.upload.finish() if reader.upload else None)
    except BaseException as error:
        if reader.upload is not None:
            await reader.upload.discard()
        if isinstance(error, ClientDisconnect | UnicodeDecodeError):
            raise FormUnreadable from error
        raise
