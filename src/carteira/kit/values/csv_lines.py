"""Reads bulk CSV, as spreadsheets in Brazil write it, into raw lines whose fields the caller checks.

A column's title alone decides how its cells are read: `amount` is centavos, `valor` is reais, `date` is `AAAA-MM-DD`,
`data` is `DD/MM/AAAA` too. Titles are matched regardless of case, accents and separators. Empty rows and columns are
skipped, but empty rows count: a line's number is that of its row below the titles.
"""

import csv
import io
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from carteira.kit.values.cpf import restore_zeros
from carteira.kit.values.days import InvalidDay, parse_day, read_day
from carteira.kit.values.money import InvalidAmount, read_reais
from carteira.kit.values.texts import look_alike, trim

_DELIMITERS = ";,\t"
_SEP = re.compile(r'\s*"?sep=(.)"?[ \t;,]*(?:\r\n|\r|\n)', re.IGNORECASE)
_MARK = "\ufeff"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_MAX_DIGITS = 13
"""Most digits of an amount in centavos: one more than `money.MAX_AMOUNT` has, so that larger amounts reach the caller,
which refuses them.
"""
_SHOWN = 40
_MOST_COLUMNS = 1_000
"""Most columns of a row: a spreadsheet may save hundreds of empty ones, and ours need a few."""
_MOST_NAMED = 5
_SUPERFLUOUS = "Há um valor a mais, em uma coluna sem título"


class UnfitCsv(ValueError):
    """A file is not CSV, or has unexpected titles. The message may be shown to people."""


class WrongCell(ValueError):
    """A cell does not fit its column's title. The message may be shown to people."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a file: its field, its titles, and how its cells are read."""

    name: str
    titles: tuple[str, ...]
    """Messages use the first."""
    read: Callable[[str], object] = str
    """Raises `WrongCell`."""
    unit: str = ""
    required: bool = True


class Wrong(NamedTuple):
    """An error of a line, with the title of its column and the name of its field, if any."""

    column: str
    message: str
    name: str = ""


class CsvLine(NamedTuple):
    """A line: its number, its non-blank fields, and the errors of its cells.

    `titles` maps fields to the file's titles, the same for all lines.
    """

    number: int
    cells: dict[str, object]
    wrong: list[Wrong]
    titles: dict[str, str]


@dataclass(frozen=True, slots=True)
class BulkLines:
    """Raw bulk lines: from CSV with each line's number, and the cell errors by number."""

    lines: list[Any]
    numbers: list[int] | None = None
    """None: lines count from 1, as the items of a list."""
    wrong: dict[int, list[Wrong]] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)
    """The file's title of each field; empty for a list."""

    def numbered(self) -> Iterator[tuple[int, Any]]:
        """Return each line with its number."""
        return zip(self.numbers or range(1, len(self.lines) + 1), self.lines, strict=True)


def text_column(name: str, *titles: str, required: bool = True) -> Column:
    """Return a column of text."""
    return Column(name, (name, *titles), required=required)


def cpf_column(*, required: bool = True) -> Column:
    """Return a column of CPFs, whose zeros at the front a spreadsheet may have dropped."""
    return Column("cpf", ("cpf",), restore_zeros, required=required)


def day_columns(*, required: bool = True) -> list[Column]:
    """Return the two alternative columns for a day, of which a file has one."""
    return [
        Column("date", ("date",), _iso_day, required=required),
        Column("date", ("data",), _brazilian_day, "como 31/12/2026", required=required),
    ]


def money_columns(
    name: str = "amount", of: Sequence[str] = (), *, least: int = 1, required: bool = True
) -> list[Column]:
    """Return the two alternative columns for an amount, of which a file has one: centavos or reais.

    `of` is the part of the titles after the unit, one or several words: `valor FOOD`, `valor alimentação`.
    """

    def reais(cell: str) -> int:
        try:
            return read_reais(cell, least=least)
        except InvalidAmount as error:
            raise WrongCell(str(error)) from error

    behind = tuple(f" {word}" for word in of) or ("",)
    return [
        Column(name, tuple(f"amount{word}" for word in behind), _centavos, "em centavos", required=required),
        Column(name, tuple(f"valor{word}" for word in behind), reais, "em reais", required=required),
    ]


def _centavos(cell: str) -> int:
    if cell.isascii() and cell.isdigit() and len(cell) <= _MAX_DIGITS:
        return int(cell)
    raise WrongCell(
        "Escreva centavos, um número inteiro sem vírgula nem ponto. Para escrever reais, chame a coluna de valor."
        + look_alike(cell)
    )


def _iso_day(cell: str) -> str:
    try:
        return parse_day(cell).isoformat()
    except InvalidDay as error:
        raise WrongCell(f"{error} Para escrever DD/MM/AAAA, chame a coluna de data.") from error


def _brazilian_day(cell: str) -> str:
    try:
        return read_day(cell).isoformat()
    except InvalidDay as error:
        raise WrongCell(str(error)) from error


def decode_csv(body: bytes) -> str:
    """Return the text of a file: UTF-8, or else Windows-1252, as Excel writes it in Brazil; UTF-16 by its mark.

    Raises:
        UnfitCsv: it is none of these.
    """
    try:
        text = body.decode("utf-16") if body.startswith(_UTF_16) else _utf_8_or_windows(body)
    except UnicodeDecodeError as error:
        raise UnfitCsv("O arquivo não é texto: salve a planilha como CSV.") from error
    if "\0" in text:
        raise UnfitCsv("O arquivo não é texto: salve a planilha como CSV.")
    return text.removeprefix(_MARK)


def _utf_8_or_windows(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return body.decode("cp1252")


def read_csv_lines(text: str, columns: Sequence[Column]) -> Iterator[CsvLine | None]:
    """Yield the lines under the titles one by one; None for an empty row.

    The delimiter (semicolon, comma or tab) comes from a first line `sep=;`, or else from the titles.

    Raises:
        UnfitCsv: a required column is missing, or a column is unknown, repeated or beside its alternative. At once or
            while lines are read: the file is not CSV.
    """
    declared = _SEP.match(text)
    text = text[declared.end() :] if declared else text
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=declared[1] if declared else _delimiter(text), strict=True
    )
    rows = _rows(reader)
    titles = next((row for row in rows if any(row)), [])
    return _lines(rows, titles, _columns_of(titles, columns))


def _delimiter(text: str) -> str:
    """Return the delimiter of the titles: the one that the first non-empty line has outside quotes."""
    first = next((line for line in text.splitlines() if line.strip(f"{_DELIMITERS} \t")), "")
    bare = re.sub(r'"[^"]*"?', "", first)
    return next((sign for sign in _DELIMITERS if sign in bare), ",")


def _rows(reader: Any) -> Iterator[list[str]]:  # noqa: ANN401 - csv does not name its reader's type
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except (csv.Error, TypeError) as error:
            message = f"O CSV não pôde ser lido na linha {reader.line_num or 1}: confira as aspas e os separadores."
            raise UnfitCsv(message) from error
        if len(row) > _MOST_COLUMNS:
            raise UnfitCsv(f"A linha {reader.line_num} tem mais de {_MOST_COLUMNS} colunas.")
        yield [trim(cell) for cell in row]


def _folded(title: str) -> str:
    """Return a title in lower case, without accents and separators."""
    bare = "".join(sign for sign in unicodedata.normalize("NFKD", title) if not unicodedata.combining(sign))
    return "_".join(re.findall(r"[a-z0-9]+", bare.casefold()))


def _columns_of(titles: Sequence[str], columns: Sequence[Column]) -> list[Column | None]:
    """Return the column that each title names; None where there is no title.

    Raises:
        UnfitCsv: as in `read_csv_lines`.
    """
    known = {_folded(title): column for column in columns for title in column.titles}
    found = [known.get(_folded(title)) if title else None for title in titles]
    unknown = [title[:_SHOWN] for title, column in zip(titles, found, strict=True) if title and column is None]
    if unknown:
        raise UnfitCsv(f"Coluna desconhecida: {', '.join(unknown[:_MOST_NAMED])}. As colunas são {_named(columns)}.")
    by_name: dict[str, int] = {}
    for place, column in enumerate(found):
        if column is None:
            continue
        before = by_name.setdefault(column.name, place)
        if before != place:
            raise UnfitCsv(f"As colunas {titles[before]} e {titles[place]} dizem a mesma coisa: deixe só uma.")
    for column in columns:
        if column.required and column.name not in by_name:
            ways = [item for item in columns if item.name == column.name]
            raise UnfitCsv(f"Falta a coluna {_named(ways, ' ou ')}. As colunas são {_named(columns)}.")
    return found


def _named(columns: Sequence[Column], between: str = ", ") -> str:
    return between.join(f"{column.titles[0]}{column.unit and f' ({column.unit})'}" for column in columns)


def _lines(
    rows: Iterator[list[str]], titles: Sequence[str], columns: Sequence[Column | None]
) -> Iterator[CsvLine | None]:
    named = {column.name: title for column, title in zip(columns, titles, strict=True) if column}
    for number, row in enumerate(rows, 1):
        if not any(row):
            yield None
            continue
        line = CsvLine(number, {}, [], named)
        for place, cell in enumerate(row):
            column = columns[place] if place < len(columns) else None
            if cell:
                _add_cell(line, column, titles[place] if column else f"{place + 1}", cell)
        yield line


def _add_cell(line: CsvLine, column: Column | None, title: str, cell: str) -> None:
    """Add a cell to its line, read by its column; an unreadable cell is kept as it is."""
    if column is None:
        if sum(item.message.startswith(_SUPERFLUOUS) for item in line.wrong) < _MOST_NAMED:
            line.wrong.append(Wrong(title, f"{_SUPERFLUOUS}: {cell[:_SHOWN]}"))
        return
    try:
        line.cells[column.name] = column.read(cell)
    except WrongCell as error:
        line.cells[column.name] = cell
        line.wrong.append(Wrong(title, str(error), column.name))
