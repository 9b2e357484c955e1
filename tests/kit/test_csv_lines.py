"""The CSV of every import becomes raw lines; only a column's title decides what its cells are."""

import csv
import io
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carteira.kit.values.csv_lines import (
    UnfitCsv,
    Wrong,
    cpf_column,
    day_columns,
    decode_csv,
    money_columns,
    read_csv_lines,
    text_column,
)
from carteira.kit.values.csv_sheet import MARK, csv_rows, plain_cell
from carteira.kit.values.money import MAX_AMOUNT, format_brl
from carteira.kit.web.csv_bodies import read_csv_body
from carteira.kit.web.problems import InvalidInput

COLUMNS = [
    text_column("code", "código"),
    *money_columns(),
    *day_columns(required=False),
    cpf_column(required=False),
    text_column("note", "observação", required=False),
]


def read(file: str | bytes) -> list[tuple[int, dict[str, Any], list[Wrong]]]:
    text = decode_csv(file) if isinstance(file, bytes) else decode_csv(file.encode())
    return [line[:3] for line in read_csv_lines(text, COLUMNS) if line is not None]


def cells(file: str | bytes) -> list[dict[str, Any]]:
    lines = read(file)
    assert [wrong for _, _, wrong in lines if wrong] == []
    return [line for _, line, _ in lines]


def refused(file: str | bytes) -> str:
    with pytest.raises(UnfitCsv) as caught:
        read(file)
    return str(caught.value)


EXPECTED = [{"code": "A", "amount": 1050, "note": "x, y; ção"}, {"code": "B", "amount": 2000}]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("delimiter", [";", ",", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("first", ["", "sep=", "SEP="])
def test_files_of_spreadsheets_are_read(encoding: str, delimiter: str, end: str, first: str) -> None:
    sheet = io.StringIO()
    writer = csv.writer(sheet, delimiter=delimiter, lineterminator=end)
    writer.writerows([["Código", " VALOR ", "Observação"], ["A", "10,50", "x, y; ção"], ["B", "R$ 20"]])
    head = f"{first}{delimiter}{end}" if first else ""
    assert cells((head + sheet.getvalue()).encode(encoding)) == EXPECTED


def test_empty_rows_and_columns_are_skipped_and_rows_are_counted() -> None:
    file = ";;;\n\ncode;amount;;note\n;;;\nA;1050;;x, y; ção\n \n\u200b;\u00a0;;;;\nB;2000;;;;;\n\n"
    assert [(number, line) for number, line, _ in read(file.replace("; ção", ""))] == [
        (2, {"code": "A", "amount": 1050, "note": "x, y"}),
        (5, {"code": "B", "amount": 2000}),
    ]


def test_a_cell_without_a_title_is_reported_with_its_place() -> None:
    ((number, line, wrong),) = read("code;amount;;note\nA;1;mais;x;e mais\n")
    assert (number, line) == (1, {"code": "A", "amount": 1, "note": "x"})
    assert [(item.column, item.message.rpartition(" ")[2]) for item in wrong] == [("3", "mais"), ("5", "mais")]


def test_too_many_cells_are_reported_by_the_first() -> None:
    ((_, line, wrong),) = read("code;amount\nA;1" + ";x" * 900 + "\n")
    assert (line, [item.column for item in wrong]) == ({"code": "A", "amount": 1}, ["3", "4", "5", "6", "7"])
    assert refused("code;amount" + ";x" * 900 + "\n") == refused("code;amount" + ";x" * 5 + "\n")


def test_a_row_of_thousands_of_columns_is_refused() -> None:
    for file in ("code;amount" + ";" * 1_000, "code;amount\nA;1" + ";" * 1_000):
        assert "mais de 1000 colunas" in refused(file + "\n")
    assert cells("code;amount" + ";" * 900 + "\nA;1" + ";" * 900) == [{"code": "A", "amount": 1}]


@pytest.mark.parametrize(
    ("head", "told"),
    [
        ("code", "amount (em centavos) ou valor (em reais)"),
        ("amount", "Falta a coluna code"),
        ("code,amount,valor", "amount e valor dizem a mesma coisa"),
        ("code,valor,Amount", "valor e Amount dizem a mesma coisa"),
        ("code,amount,amount", "amount e amount dizem a mesma coisa"),
        ("code,código,amount", "code e código dizem a mesma coisa"),
        ("code,amount,date,data", "date e data dizem a mesma coisa"),
        ("code,amount,cor", "Coluna desconhecida: cor."),
        ("code,amount,note,Note ", "dizem a mesma coisa"),
        ("code;amount,note", "Coluna desconhecida: amount,note."),
        ("code,amount_,***", "Coluna desconhecida: ***."),
        ("1,2,3", "Coluna desconhecida: 1, 2, 3."),
    ],
)
def test_other_titles_are_refused_by_name(head: str, told: str) -> None:
    assert told in refused(f"{head}\nA,1\n")


@pytest.mark.parametrize(
    "file",
    [
        '"code,amount\nA,1\n',
        "c" * 200_000 + ",amount\n",
        'code,amount\nA,"1"2\n',
        'code,amount\nA,"1\n',
        "code,amount\nA,\0\n",
        b"code,amount\n\x81,1\n",
        b"\xff\xfec",
        b"PK\x03\x04\x00\x00\x81",
    ],
)
def test_invalid_csv_is_refused(file: str | bytes) -> None:
    assert refused(file)


def test_invalid_csv_is_reported_with_its_line() -> None:
    assert "linha 3" in refused('code,amount\nA,1\nB,"1"2\n')


@pytest.mark.parametrize(
    ("title", "cell", "told"),
    [
        ("amount", "10,50", "Escreva centavos"),
        ("amount", "10.50", "chame a coluna de valor"),
        ("amount", "1.234", "Escreva centavos"),
        ("amount", "R$ 10", "Escreva centavos"),
        ("amount", "-1", "Escreva centavos"),
        ("amount", "1e3", "Escreva centavos"),
        ("amount", "１０", "“１” parece 1"),
        ("amount", "1O", "“O” parece 0"),
        ("amount", "12345678901234", "Escreva centavos"),
        ("valor", "10.50", "10,50"),
        ("valor", "10,505", "Escreva um valor em reais"),
        ("valor", "1.23", "1,23"),
        ("valor", "1,234.56", "Escreva um valor em reais"),
        ("valor", "-1", "Escreva um valor em reais"),
        ("valor", "0", "maior que zero"),
        ("valor", "1O,00", "“O” parece 0"),
        ("valor", "99999999999,99", "no máximo"),
    ],
)
def test_the_title_decides_the_unit_and_nothing_else_does(title: str, cell: str, told: str) -> None:
    ((_, line, (wrong,)),) = read(f"code;{title}\nA;{cell}\n")
    assert line["amount"] == cell
    assert (wrong.column, wrong.name) == (title, "amount")
    assert told in wrong.message


@given(st.integers(1, MAX_AMOUNT))
def test_every_amount_is_the_same_in_centavos_and_in_reais(centavos: int) -> None:
    for title, text in (
        ("amount", str(centavos)),
        ("valor", format_brl(centavos)),
        ("valor", f"{centavos // 100},{centavos % 100:02d}"),
    ):
        assert cells(f"code;{title}\nA;{text}\n") == [{"code": "A", "amount": centavos}]


@given(st.dates())
def test_every_day_is_the_same_written_either_way(day: date) -> None:
    iso, brazilian = day.isoformat(), f"{day.day:02d}/{day.month:02d}/{day.year:04d}"
    for title, text in (("date", iso), ("data", iso), ("data", brazilian), ("Data", brazilian.replace("/", "-"))):
        assert cells(f"code;amount;{title}\nA;1;{text}\n") == [{"code": "A", "amount": 1, "date": iso}]
    ((_, _, (wrong,)),) = read(f"code;amount;date\nA;1;{brazilian}\n")
    assert "chame a coluna de data" in wrong.message


@pytest.mark.parametrize("cell", ["0", "46204", "20260630", "30/06/26", "31/02/2026", "2026-13-01", "06/2026"])
def test_a_number_is_no_day(cell: str) -> None:
    for title in ("date", "data"):
        ((_, _, (wrong,)),) = read(f"code;amount;{title}\nA;1;{cell}\n")
        assert wrong.message.startswith("Data inválida")


def test_zeros_that_a_spreadsheet_dropped_of_a_cpf_come_back_where_they_make_it_right() -> None:
    assert cells("code;amount;cpf\nA;1;191\n")[0]["cpf"] == "191", "too short to be one"
    assert cells("code;amount;cpf\nA;1;1234567890\n")[0]["cpf"] == "01234567890"
    assert cells("code;amount;cpf\nA;1;1234567891\n")[0]["cpf"] == "1234567891", "wrong with a zero too"


words = st.text(st.characters(exclude_categories=["Cc", "Cf", "Cs", "Z", "Mn"]), min_size=1, max_size=20).filter(
    lambda word: word == word.strip() and not word.startswith(("\ufeff", "'"))
)


@given(st.lists(st.tuples(words, st.integers(1, MAX_AMOUNT)), min_size=1, max_size=5))
def test_written_files_read_back(lines: list[tuple[str, int]]) -> None:
    rows = [["código", "valor"], *([code, format_brl(amount)] for code, amount in lines)]
    expected = [{"code": code, "amount": amount} for code, amount in lines]
    assert cells(MARK + csv_rows(rows)) == expected


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "＝1", "＋1", "－1", "＠x"])
def test_peoples_texts_are_not_formulas(text: str) -> None:
    assert plain_cell(text) == f"'{text}"
    assert plain_cell(f"a{text}") == f"a{text}"


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_file_is_read_or_refused_in_words(body: bytes) -> None:
    told, lines = "", []
    try:
        lines = read(body)
    except UnfitCsv as error:
        told = str(error)
    assert told or all(set(line) <= {"code", "amount", "date", "cpf", "note"} for _, line, _ in lines)


async def test_a_body_has_a_line_and_not_too_many() -> None:
    for lines, fits in ((0, False), (1, True), (3, True), (4, False)):
        body = ("code,amount\n" + "\n\nA,1" * lines).encode()
        if fits:
            sent = await read_csv_body(body, COLUMNS, most=3)
            assert sent.numbers == [2 * place + 1 for place in range(1, lines + 1)]
            continue
        with pytest.raises(InvalidInput) as caught:
            await read_csv_body(body, COLUMNS, most=3)
        assert caught.value.errors == [{"field": "body", "message": "Envie de 1 a 3 linhas."}]
