"""CSV bodies: the one reader for all imports."""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

from fastapi import Request
from pydantic import BaseModel, TypeAdapter, ValidationError

from carteira.kit.ops.cooperative import pieces
from carteira.kit.values.csv_lines import BulkLines, Column, CsvLine, UnfitCsv, Wrong, decode_csv, read_csv_lines
from carteira.kit.web.problems import InvalidInput
from carteira.kit.web.validation import describe

Shape = TypeVar("Shape", bound=BaseModel)
_MOST_OF_LINE = 20
"""Most errors of one line that are reported."""
_MEDIA_TYPES = frozenset({"text/csv", "text/x-csv", "application/csv", "application/vnd.ms-excel"})
"""Media types that browsers send for CSV; the last is what Windows with Excel sends."""


def csv_content(name: str, example: str) -> dict[str, Any]:
    """Return the OpenAPI content of a CSV body; its format is `csv-` and a name of ours, since columns vary."""
    return {"text/csv": {"schema": {"type": "string", "format": f"csv-{name}"}, "example": example}}


def media_type(request: Request) -> str:
    """Return the media type of a request's body, without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def is_csv(request: Request) -> bool:
    """Return whether the request declares a CSV body."""
    return media_type(request) in _MEDIA_TYPES


async def read_csv_body(body: bytes, columns: Sequence[Column], *, most: int) -> BulkLines:
    """Read a file in pieces, yielding to the event loop between them.

    Raises:
        InvalidInput: it is not CSV, its titles are not those expected, or it has no line or more than `most`.
    """
    lines: list[Any] = []
    numbers: list[int] = []
    wrong: dict[int, list[Wrong]] = {}
    titles: dict[str, str] = {}
    try:
        async for piece in pieces(read_csv_lines(decode_csv(body), columns)):
            for line in piece:
                if line is not None:
                    _add(line, lines, numbers, wrong)
                    titles = line.titles
            if len(lines) > most:
                break
    except UnfitCsv as error:
        raise unfit(str(error)) from error
    check_count(len(lines), most)
    return BulkLines(lines, numbers, wrong, titles)


def _add(line: CsvLine, lines: list[Any], numbers: list[int], wrong: dict[int, list[Wrong]]) -> None:
    lines.append(line.cells)
    numbers.append(line.number)
    if line.wrong:
        wrong[line.number] = line.wrong


def check_count(lines: int, most: int) -> None:
    """Check that a bulk has at least one line, and not too many.

    Raises:
        InvalidInput: it has none, or too many.
    """
    if not 0 < lines <= most:
        raise unfit(f"Envie de 1 a {most} linhas.")


class Faults(NamedTuple):
    """The errors of a line as text, and the first wrong column."""

    column: str
    detail: str


def check_line(shape: TypeAdapter[Shape], sent: BulkLines, number: int, raw: object) -> Shape | Faults:
    """Return a line as its model, or its errors: cells that could not be read, and wrong fields.

    Errors name fields by their column titles in the file.
    """
    wrong = sent.wrong.get(number, ())
    try:
        line = shape.validate_python(raw)
        if not wrong:
            return line
        errors = []
    except ValidationError as error:
        errors = [describe({**item}) for item in error.errors()[:_MOST_OF_LINE]]
    unread = {item.name for item in wrong}
    faults = [(item.column, item.message) for item in wrong]
    fields = [(item["field"], item["message"]) for item in errors if item["field"] not in unread]
    faults += [(sent.titles.get(name, name), message) for name, message in fields]
    return Faults(faults[0][0], " ".join(f"{column}: {message}" for column, message in faults))


def unfit(message: str) -> InvalidInput:
    """Return the problem of a body that cannot be read as a whole."""
    return InvalidInput(errors=[{"field": "body", "message": message}])
