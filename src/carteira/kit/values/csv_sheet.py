"""Writes CSV downloads for spreadsheets in Brazil: semicolons, CRLF, UTF-8 with a byte order mark."""

import csv
import io
from collections.abc import Iterable, Sequence

MARK = b"\xef\xbb\xbf"
"""The byte order mark at the beginning of a file, by which spreadsheets know its encoding."""
MEDIA_TYPE = "text/csv; charset=utf-8"
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")


def plain_cell(text: str) -> str:
    """Escape a text so that a spreadsheet does not run it as a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def csv_rows(rows: Iterable[Sequence[str]]) -> bytes:
    """Write rows; cells with people's texts have passed `plain_cell`."""
    text = io.StringIO()
    csv.writer(text, delimiter=";", lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()
