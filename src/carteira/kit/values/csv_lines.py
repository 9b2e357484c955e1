"""CSV that people send in bulk, read into raw lines whose fields the caller checks."""

import csv
import io
from collections.abc import Collection, Iterator, Mapping

AMOUNT = "amount"
_MAX_DIGITS = 13
"""Of an amount in centavos: one more than `money.MAX_AMOUNT` has, so that the caller refuses what is too much."""


class UnreadableCsv(ValueError):
    """The text is not CSV."""


class UnexpectedColumns(ValueError):
    """The first line does not name the columns that are expected, each once."""


def read_csv_lines(
    text: str, *, required: Collection[str], optional: Collection[str] = ()
) -> Iterator[dict[str, object]]:
    """Return the lines under a header, one by one as they are asked for, as dictionaries without what is blank.

    Comma or semicolon, whichever stands in the header; a byte order mark is skipped. `amount` is an integer where it
    is written as one. A cell beyond the header is an unknown field, `extra`, for the caller to refuse.

    Raises:
        UnexpectedColumns: a required column is missing, or one is unknown or stands twice.
        UnreadableCsv: at once or while the lines are read: it is not CSV.
    """
    text = text.removeprefix("\ufeff")
    delimiter = ";" if ";" in text.partition("\n")[0] else ","
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        names = [name.strip().lower() for name in reader.fieldnames or []]
    except csv.Error as error:
        raise UnreadableCsv from error
    if len(set(names)) != len(names) or not set(required) <= set(names) <= {*required, *optional}:
        raise UnexpectedColumns
    reader.fieldnames = names
    return _lines(reader)


def _lines(reader: Iterator[Mapping[str, str | list[str] | None]]) -> Iterator[dict[str, object]]:
    try:
        for row in reader:
            yield _raw_line(row)
    except csv.Error as error:
        raise UnreadableCsv from error


def _raw_line(row: Mapping[str, str | list[str] | None]) -> dict[str, object]:
    """Leave out what is blank. csv puts what has no header under the name None: an unknown field, refused as one."""
    line: dict[str, object] = {}
    for name, value in row.items():
        if value:
            line[name or "extra"] = value.strip() if isinstance(value, str) else value
    amount = line.get(AMOUNT)
    if isinstance(amount, str) and amount.isascii() and amount.isdigit() and len(amount) <= _MAX_DIGITS:
        line[AMOUNT] = int(amount)
    return line
