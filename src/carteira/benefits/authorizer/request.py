"""The processor's request, parsed once from its bytes, with amounts in centavos (rules.md, benefits)."""

import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl
from uuid import UUID

from carteira.benefits.authorizer.answers import Reason
from carteira.kit.values.exact_json import JsonNumber, parse_exact_json
from carteira.kit.values.money import InvalidAmount, parse_reais
from carteira.kit.values.texts import trim

MAX_MERCHANT = 256
_ACCOUNT = re.compile(r"[A-Za-z0-9._:-]{1,64}", re.ASCII)
_MCC = re.compile(r"[0-9]{4}", re.ASCII)
_EXTERNAL_ID = re.compile(r"[\x21-\x7e]{1,64}")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


class Malformed(Exception):
    """The request cannot be decided; `account` is its account where that much could be read."""

    def __init__(self, reason: Reason, account: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.account = account


class Authorization(NamedTuple):
    """A well-formed request: `amount` in centavos, `external_id` the processor's own id of the transaction."""

    id: UUID
    account: str
    amount: int
    mcc: str
    merchant: str
    external_id: str | None
    fallback: bool

    @property
    def key(self) -> str | None:
        """Its permanent key."""
        return self.external_id

    @property
    def content(self) -> tuple[object, ...]:
        """The content by which two requests are equal."""
        return (self.account, self.amount, self.mcc, self.merchant, self.fallback)


def parse_external_id(content: Mapping[str, object], name: str = "id") -> str:
    """Return the processor's own id from a JSON object.

    Raises:
        Malformed: it is missing or invalid.
    """
    value = content.get(name)
    if type(value) is not str or not _EXTERNAL_ID.fullmatch(value):
        raise Malformed(Reason.INVALID_ID)
    return value


def parse_object(body: bytes) -> dict[str, object]:
    """Parse a JSON object, keeping its numbers as written.

    Raises:
        Malformed: it is not a JSON object.
    """
    return _object(_text_of(body))


def _text_of(body: bytes) -> str:
    try:
        return body.decode()
    except ValueError as error:
        raise Malformed(Reason.MALFORMED) from error


def _object(text: str) -> dict[str, object]:
    try:
        content = parse_exact_json(text)
    except (ValueError, RecursionError) as error:
        raise Malformed(Reason.MALFORMED) from error
    if type(content) is not dict:
        raise Malformed(Reason.MALFORMED)
    return content


def parse_amount(value: object) -> int:
    """Parse an amount in reais into centavos.

    Raises:
        Malformed: it is not a JSON number, not positive, or has more than two decimals.
    """
    if type(value) is not JsonNumber:
        raise Malformed(Reason.INVALID_AMOUNT)
    try:
        return parse_reais(value)
    except InvalidAmount as error:
        raise Malformed(Reason.INVALID_AMOUNT) from error


_PLAIN = re.compile(
    r'\{"account": ?"([A-Za-z0-9._:-]{1,64})", ?"totalAmount": ?(0|[1-9][0-9]{0,9})(?:\.([0-9]{1,2}))?, ?'
    r'"mcc": ?"([0-9]{4})", ?"merchant": ?"([ !#-\[\]-~]{1,256})"(?:, ?"id": ?"([!#-\[\]-~]{1,64})")?\}',
    re.ASCII,
)
"""The body as processors write it: a match needs no other check than a positive amount and a non-empty name."""
_FALLBACKS = {b"": True, b"fallback=true": True, b"fallback=false": False}


def parse_fallback(query: bytes) -> bool:
    """Parse `?fallback=`, in any case; True by default.

    Raises:
        Malformed: it is neither `true` nor `false`, or is repeated.
    """
    return parse_flag(query, "fallback", Reason.INVALID_FALLBACK, default=True)


def parse_flag(query: bytes, name: str, wrong: Reason, *, default: bool) -> bool:
    """Parse a query parameter that is `true` or `false`; without it, return the default.

    Raises:
        Malformed: it is neither, or is repeated; `wrong` is the reason.
    """
    if not query:
        return default
    sent = parse_qsl(query.decode("latin-1"), keep_blank_values=True, encoding="latin-1")
    values = [trim(value).lower() for sent_name, value in sent if trim(sent_name).lower() == name]
    if not values:
        return default
    if values not in (["true"], ["false"]):
        raise Malformed(wrong)
    return values == ["true"]


def _parse_plain(text: str, query: bytes, decision_id: UUID) -> Authorization | None:
    """Parse a request in the usual form, in a third of the time; None for any other form, valid or not."""
    plain = _PLAIN.fullmatch(text)
    if plain is None or query not in _FALLBACKS:
        return None
    account, whole, fraction, mcc, merchant, external_id = plain.groups()
    amount = int(whole) * 100 + (int(fraction.ljust(2, "0")) if fraction else 0)
    if amount == 0 or merchant.isspace():
        return None
    return Authorization(decision_id, account, amount, mcc, merchant, external_id, _FALLBACKS[query])


def parse_authorization(body: bytes, query: bytes, decision_id: UUID) -> Authorization:
    """Parse the processor's request.

    Raises:
        Malformed: with the reason, and the account where it could be read.
    """
    text = _text_of(body)
    return _parse_plain(text, query, decision_id) or _parse_any(text, query, decision_id)


def _parse_any(text: str, query: bytes, decision_id: UUID) -> Authorization:
    content = _object(text)
    account = content.get("account")
    if type(account) is not str or not _ACCOUNT.fullmatch(account):
        raise Malformed(Reason.INVALID_ACCOUNT)
    mcc, merchant = content.get("mcc"), content.get("merchant")
    if type(mcc) is not str or not _MCC.fullmatch(mcc):
        raise Malformed(Reason.INVALID_MCC, account)
    if type(merchant) is not str or len(merchant) > MAX_MERCHANT or not trim(merchant) or _UNPRINTABLE.search(merchant):
        raise Malformed(Reason.INVALID_MERCHANT, account)
    try:
        external_id = parse_external_id(content) if "id" in content else None
        amount = parse_amount(content.get("totalAmount"))
        fallback = parse_fallback(query)
    except Malformed as error:
        raise Malformed(error.reason, account) from error
    return Authorization(decision_id, account, amount, mcc, merchant, external_id, fallback)
