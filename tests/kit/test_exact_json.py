"""JSON with amounts of money: the reader keeps a number's text, and refuses what is not JSON."""

import pytest

from carteira.kit.values.exact_json import JsonNumber, parse_exact_json, parse_lenient_json, parse_strict_json


@pytest.mark.parametrize("number", ["0", "-1", "100.10", "1e2", "0.1E-7", "123456789012345678901234567890.123"])
def test_numbers_keep_their_text(number: str) -> None:
    content = parse_exact_json(f'{{"amount": [{number}, "{number}"]}}')
    assert content == {"amount": [number, number]}
    assert [type(value) for value in content["amount"]] == [JsonNumber, str]


@pytest.mark.parametrize(
    "text",
    ["", "{", "NaN", "[Infinity]", '{"a": -Infinity}', '{"a": 1, "a": 1}', "[01]", "[.5]", "\ufeff{}", "{} {}"],
)
def test_invalid_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_exact_json(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "NaN", "[Infinity]", '{"a": -Infinity}', '{"a": 1, "a": 1}', '{"a": {"b": 1, "b": 2}}', "[01]"),
        *("{} {}", "[1e999]", "[-1e999]", r'["\ud800"]', r'{"a": ["\uDFFF"]}', r'{"\ud83d": 1}', r'["\ude00\ud83d"]'),
        "[" * 100_000,
        "[" + "9" * 5_000 + "]",
        '{"a": [{' + ",".join(f'"{name}": 1' for name in range(1_001)) + "}]}",
    ],
)
def test_ambiguous_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_strict_json(text.encode())


@pytest.mark.parametrize("body", [b'"\xff"', b"\xed\xa0\x80", '{"a": 1}'.encode("utf-16"), '"é"'.encode("latin-1")])
def test_bytes_that_are_no_utf_8_are_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_strict_json(body)


def test_a_service_may_have_cut_a_sign_in_two() -> None:
    assert parse_lenient_json(rb'{"a": "\ud83d", "b": 1}') == {"a": "\ud83d", "b": 1}
    for text in ('{"a": 1, "a": 1}', "[1e999]", "NaN", "[" * 100_000):
        with pytest.raises(ValueError, match=r"."):
            parse_lenient_json(text.encode())


def test_plain_json_is_read_as_it_is() -> None:
    text = r'{"a": [1, 1.5, -0, 1e2, true, null], "b": "\ud83d\ude00 é", "c": {"a": 12345678901234567890}}'
    assert parse_strict_json(b"\xef\xbb\xbf" + text.encode()) == {
        "a": [1, 1.5, 0, 100.0, True, None],
        "b": "\U0001f600 é",
        "c": {"a": 12345678901234567890},
    }
