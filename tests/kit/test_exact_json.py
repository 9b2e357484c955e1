"""JSON of which money is read: a number's own text, and nothing that is not JSON."""

import pytest

from carteira.kit.values.exact_json import JsonNumber, parse_exact_json


@pytest.mark.parametrize("number", ["0", "-1", "100.10", "1e2", "0.1E-7", "123456789012345678901234567890.123"])
def test_numbers_keep_their_text(number: str) -> None:
    content = parse_exact_json(f'{{"amount": [{number}, "{number}"]}}')
    assert content == {"amount": [number, number]}
    assert [type(value) for value in content["amount"]] == [JsonNumber, str]


@pytest.mark.parametrize(
    "text",
    ["", "{", "NaN", "[Infinity]", '{"a": -Infinity}', '{"a": 1, "a": 1}', "[01]", "[.5]", "\ufeff{}", "{} {}"],
)
def test_what_is_not_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_exact_json(text)
