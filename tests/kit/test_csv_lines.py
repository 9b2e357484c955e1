"""Bulk CSV becomes raw lines; what is not such a file is named, wherever it shows."""

from typing import Any

import pytest

from carteira.kit.values.csv_lines import UnexpectedColumns, UnreadableCsv, read_csv_lines


def lines(text: str) -> list[dict[str, Any]]:
    return list(read_csv_lines(text, required=("code", "amount"), optional=("note",)))


def test_comma_or_semicolon_any_order_case_and_space_with_or_without_a_byte_order_mark() -> None:
    expected = [{"code": "A", "amount": 10, "note": "x, y"}, {"code": "B", "amount": 20}]
    assert lines('code,amount,note\nA,10,"x, y"\nB,20,\n') == expected
    assert lines("\ufeff Amount ;CODE;note\r\n 10 ; A;x, y\r\n20;B\r\n") == expected


@pytest.mark.parametrize("amount", ["-1", "1.0", "1,0", "²", "١", "1e3", "12345678901234"])
def test_an_amount_that_is_no_short_integer_stays_text(amount: str) -> None:
    assert lines(f"code;amount\nA;{amount}\n") == [{"code": "A", "amount": amount}]


def test_cells_beyond_the_header_are_an_unknown_field() -> None:
    assert lines("code,amount\nA,1,2,3\n") == [{"code": "A", "amount": 1, "extra": ["2", "3"]}]


@pytest.mark.parametrize(
    "head", ["", "code", "code,amount,other", "code,amount,amount", "code,amount,note, Note", "code;amount,note"]
)
def test_other_columns_are_refused(head: str) -> None:
    with pytest.raises(UnexpectedColumns):
        lines(head + "\nA,1\n")


@pytest.mark.parametrize(
    "text", ['"code,amount\nA,1\n', "c" * 200_000 + ",amount\n", 'code,amount\nA,"1"2\n', 'code,amount\nA,"1\n']
)
def test_what_is_not_csv_is_refused(text: str) -> None:
    with pytest.raises(UnreadableCsv):
        lines(text)


def test_lines_are_read_as_they_are_asked_for() -> None:
    read = read_csv_lines('code,amount\nA,1\nB,"1"2\n', required=("code", "amount"))
    assert next(read) == {"code": "A", "amount": 1}
    with pytest.raises(UnreadableCsv):
        next(read)
