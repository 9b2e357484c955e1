"""CSV that people download, as spreadsheets in Brazil open it: semicolons, CRLF, UTF-8 with its mark."""

import csv
import io
from collections.abc import Iterable, Sequence

MARK = b"\xef\xbb\xbf"
"""Begins a file, so that spreadsheets know its encoding."""
MEDIA_TYPE = "text/csv; charset=utf-8"
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")


def plain_cell(text: str) -> str:
    """Keep a spreadsheet from running as a formula what somebody wrote."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def csv_rows(rows: Iterable[Sequence[str]]) -> bytes:
    """Write rows; cells that somebody else wrote have passed `plain_cell`."""
    text = io.StringIO()
    csv.writer(text, delimiter=";", lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()
