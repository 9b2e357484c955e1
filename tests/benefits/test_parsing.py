"""A request of the plainest form is read by a pattern, with the JSON reader's result."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carteira.benefits.authorizer import request
from carteira.benefits.authorizer.request import Authorization, Malformed, parse_authorization
from carteira.kit.values.ids import uuid7

ID = uuid7()
PLAIN = '{"account":"123","totalAmount":100.00,"mcc":"5811","merchant":"PADARIA DO ZE   SAO PAULO BR","id":"t-1"}'


def outcome_of(read: object, text: str, query: bytes) -> object:
    try:
        return read(text, query, ID)  # type: ignore[operator] # one of two readers
    except Malformed as error:
        return error.reason, error.account


@pytest.mark.unit
@given(
    account=st.text('aZ0._:- "\\é', max_size=66),
    amount=st.from_regex(r"-?[0-9]{0,12}(\.[0-9]{0,3})?([eE]1)?", fullmatch=True),
    mcc=st.from_regex(r"[0-9a]{3,5}", fullmatch=True),
    merchant=st.text('A b"\\\t\x00~é', max_size=6) | st.sampled_from(["x" * 256, "x" * 257]),
    external_id=st.none() | st.text('aZ0!~ "\\', max_size=65),
    separators=st.sampled_from([(",", ":"), (", ", ": "), (" ,", " :")]),
    query=st.sampled_from([b"", b"fallback=true", b"fallback=false", b"fallback=1", b"fallback=true&fallback=true"]),
)
def test_both_parsers_agree(
    *,
    account: str,
    amount: str,
    mcc: str,
    merchant: str,
    external_id: str | None,
    separators: tuple[str, str],
    query: bytes,
) -> None:
    content = {"account": account, "totalAmount": "@", "mcc": mcc, "merchant": merchant}
    if external_id is not None:
        content["id"] = external_id
    text = json.dumps(content, separators=separators, ensure_ascii=False).replace('"@"', amount)
    plain = request._parse_plain(text, query, ID)  # noqa: SLF001 - the test compares both parsers
    whole = outcome_of(request._parse_any, text, query)  # noqa: SLF001 - the test compares both parsers
    assert plain is None or plain == whole


@pytest.mark.unit
@pytest.mark.parametrize(
    "text", [PLAIN, PLAIN.replace('":', '": ').replace(',"', ', "'), PLAIN.replace(',"id":"t-1"', "")]
)
def test_requests_of_processors_are_plain(text: str) -> None:
    plain = request._parse_plain(text, b"", ID)  # noqa: SLF001 - the test compares both parsers
    assert plain == request._parse_any(text, b"", ID)  # noqa: SLF001 - the test compares both parsers
    assert isinstance(plain, Authorization)
    assert plain == parse_authorization(text.encode(), b"", ID)
    assert plain.amount == 10_000
