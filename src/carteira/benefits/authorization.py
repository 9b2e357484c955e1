"""An authorization: what the processor asks, which category pays, what is answered and why. Pure rules, no I/O.

Sources: SPEC, benefits (L1 category, L2 fallback, L3 merchant's name); ISO 18245 for merchant category codes.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple
from uuid import UUID

from carteira.kit.values.money import InvalidAmount, format_brl, parse_reais

CASH: Final = "CASH"
MAX_MERCHANT = 256

_ACCOUNT = re.compile(r"[A-Za-z0-9._:-]{1,64}", re.ASCII)
_MCC = re.compile(r"[0-9]{4}", re.ASCII)
_EXTERNAL_ID = re.compile(r"[\x21-\x7e]{1,64}")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


class Code(StrEnum):
    """The three answers of the authorizer."""

    APPROVED = "00"
    INSUFFICIENT = "51"
    REFUSED = "07"


class Reason(StrEnum):
    """Why the authorizer answered what it did."""

    APPROVED = "approved"
    APPROVED_BY_FALLBACK = "approved_by_fallback"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    UNKNOWN_ACCOUNT = "unknown_account"
    TRANSACTION_ID_REUSED = "transaction_id_reused"
    INVALID_ACCOUNT = "invalid_account"
    INVALID_AMOUNT = "invalid_amount"
    INVALID_MCC = "invalid_mcc"
    INVALID_MERCHANT = "invalid_merchant"
    INVALID_ID = "invalid_id"
    INVALID_FALLBACK = "invalid_fallback"
    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    NOT_AUTHENTICATED = "not_authenticated"
    UNKNOWN_OPERATION = "unknown_operation"
    OVERLOADED = "overloaded"
    ACCOUNT_HELD_UP = "account_held_up"
    UNAVAILABLE = "unavailable"
    INTERNAL_ERROR = "internal_error"


class Rule(StrEnum):
    """What named the category: the MCC, the merchant's name, or nothing (every other MCC is CASH)."""

    MCC = "mcc"
    MERCHANT = "merchant"
    DEFAULT = "default"


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
    def content(self) -> tuple[object, ...]:
        """What makes two requests the same."""
        return (self.account, self.amount, self.mcc, self.merchant, self.fallback)


class Decision(NamedTuple):
    """An answer and why; amounts in centavos. `account_id` is None when the account is unknown."""

    id: UUID
    external_id: str | None
    account_id: UUID | None
    account: str
    amount: int | None
    mcc: str | None
    merchant: str | None
    fallback: bool
    code: str
    reason: str
    category_tried: str | None = None
    category_used: str | None = None
    rule: str | None = None
    short_by: int | None = None

    @property
    def content(self) -> tuple[object, ...]:
        """What makes two requests the same."""
        return (self.account, self.amount, self.mcc, self.merchant, self.fallback)


@dataclass(frozen=True, slots=True)
class Catalog:
    """Categories, MCCs and merchants as of one version."""

    version: int
    regimes: Mapping[str, str]
    by_mcc: Mapping[str, str]
    by_merchant: Mapping[str, str]

    def categorise(self, mcc: str, merchant: str) -> tuple[str, Rule]:
        """Name the category that a purchase belongs to, and the rule that says so (L3 before L1)."""
        override = self.by_merchant.get(normalise_merchant(merchant)) if self.by_merchant else None
        category = self.by_mcc.get(override or mcc, CASH)
        if override is not None:
            return category, Rule.MERCHANT
        return category, Rule.MCC if mcc in self.by_mcc else Rule.DEFAULT


class _Number(str):
    """A JSON number as it was written; money is read from its text."""

    __slots__ = ()


def _refuse_constant(_text: str) -> Any:  # noqa: ANN401 - the signature that json asks for
    raise ValueError("NaN and Infinity are not JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError("a name stands twice")
    return content


_PLAIN = re.compile(
    r'\{"account": ?"([A-Za-z0-9._:-]{1,64})", ?"totalAmount": ?(0|[1-9][0-9]{0,9})(?:\.([0-9]{1,2}))?, ?'
    r'"mcc": ?"([0-9]{4})", ?"merchant": ?"([ !#-\[\]-~]{1,256})"(?:, ?"id": ?"([!#-\[\]-~]{1,64})")?\}',
    re.ASCII,
)
"""The body as processors write it: what it matches needs no other check, but that amount and name are not empty."""
_FALLBACKS = {b"": True, b"fallback=true": True, b"fallback=false": False}
_decoder = json.JSONDecoder(
    parse_float=_Number, parse_int=_Number, parse_constant=_refuse_constant, object_pairs_hook=_unique
)


def normalise_merchant(name: str) -> str:
    """Bring a merchant's name into the form that is compared: case and runs of blanks do not matter."""
    return " ".join(name.split()).casefold()


def parse_fallback(query: bytes) -> bool:
    """Read `?fallback=`; without it, True.

    Raises:
        Malformed: given, and neither `true` nor `false`, or given twice.
    """
    if not query:
        return True
    values = [part.partition(b"=")[2] for part in query.split(b"&") if part.partition(b"=")[0] == b"fallback"]
    if not values:
        return True
    if values == [b"true"]:
        return True
    if values == [b"false"]:
        return False
    raise Malformed(Reason.INVALID_FALLBACK)


def _parse_plain(text: str, query: bytes, decision_id: UUID) -> Authorization | None:
    """Read a request of the plainest form, in a third of the time; None for any other, right or wrong."""
    plain = _PLAIN.fullmatch(text)
    if plain is None or query not in _FALLBACKS:
        return None
    account, whole, fraction, mcc, merchant, external_id = plain.groups()
    amount = int(whole) * 100 + (int(fraction.ljust(2, "0")) if fraction else 0)
    if amount == 0 or merchant.isspace():
        return None
    return Authorization(decision_id, account, amount, mcc, merchant, external_id, _FALLBACKS[query])


def parse_authorization(body: bytes, query: bytes, decision_id: UUID) -> Authorization:
    """Read the processor's request.

    Raises:
        Malformed: with the reason, and the account where it could be read.
    """
    try:
        text = body.decode()
    except ValueError as error:
        raise Malformed(Reason.MALFORMED) from error
    return _parse_plain(text, query, decision_id) or _parse_any(text, query, decision_id)


def _parse_any(text: str, query: bytes, decision_id: UUID) -> Authorization:
    try:
        content = _decoder.decode(text)
    except (ValueError, RecursionError) as error:
        raise Malformed(Reason.MALFORMED) from error
    if type(content) is not dict:
        raise Malformed(Reason.MALFORMED)
    account = content.get("account")
    if type(account) is not str or not _ACCOUNT.fullmatch(account):
        raise Malformed(Reason.INVALID_ACCOUNT)
    mcc, merchant = content.get("mcc"), content.get("merchant")
    external_id = content.get("id")
    if type(mcc) is not str or not _MCC.fullmatch(mcc):
        raise Malformed(Reason.INVALID_MCC, account)
    if (
        type(merchant) is not str
        or len(merchant) > MAX_MERCHANT
        or not merchant.strip()
        or _UNPRINTABLE.search(merchant)
    ):
        raise Malformed(Reason.INVALID_MERCHANT, account)
    if "id" in content and (type(external_id) is not str or not _EXTERNAL_ID.fullmatch(external_id)):
        raise Malformed(Reason.INVALID_ID, account)
    total = content.get("totalAmount")
    if type(total) is not _Number:
        raise Malformed(Reason.INVALID_AMOUNT, account)
    try:
        amount = parse_reais(total)
        fallback = parse_fallback(query)
    except InvalidAmount as error:
        raise Malformed(Reason.INVALID_AMOUNT, account) from error
    except Malformed as error:
        raise Malformed(error.reason, account) from error
    return Authorization(decision_id, account, amount, mcc, merchant, external_id, fallback)


def decide(
    request: Authorization, account_id: UUID, category: tuple[str, Rule], *, available: int, cash: int
) -> Decision:
    """Choose the category that pays the whole amount: that of the purchase, else CASH if fallback allows (L1, L2).

    `category` is what the catalog says of the purchase, `available` what it can spend, `cash` what CASH can, in
    centavos; amounts are never split.
    """
    tried, rule = category
    used: str | None = None
    code, reason, short_by = Code.INSUFFICIENT, Reason.INSUFFICIENT_FUNDS, None
    if available >= request.amount:
        code, reason, used = Code.APPROVED, Reason.APPROVED, tried
    elif request.fallback and tried != CASH and cash >= request.amount:
        code, reason, used = Code.APPROVED, Reason.APPROVED_BY_FALLBACK, CASH
    else:
        short_by = request.amount - available
    return Decision(
        request.id,
        request.external_id,
        account_id,
        request.account,
        request.amount,
        request.mcc,
        request.merchant,
        request.fallback,
        code,
        reason,
        tried,
        used,
        rule,
        short_by,
    )


def refuse(request: Authorization, reason: Reason, account_id: UUID | None, *, keep_id: bool) -> Decision:
    """Refuse a well-formed request (07). Only a refusal that keeps its id is the answer to be given again."""
    return Decision(
        request.id,
        request.external_id if keep_id else None,
        account_id,
        request.account,
        request.amount,
        request.mcc,
        request.merchant,
        request.fallback,
        Code.REFUSED,
        reason,
    )


def refuse_malformed(decision_id: UUID, account_id: UUID, account: str, reason: Reason) -> Decision:
    """Refuse a request of which only the account could be read (07)."""
    return Decision(
        decision_id,
        None,
        account_id,
        account,
        None,
        None,
        None,
        fallback=False,
        code=Code.REFUSED,
        reason=reason,
    )


_CATEGORIES = {"FOOD": "Alimentação", "MEAL": "Refeição", CASH: "saldo livre (CASH)"}
_REFUSALS = {
    Reason.UNKNOWN_ACCOUNT: "a conta informada não existe.",
    Reason.TRANSACTION_ID_REUSED: "o identificador da transação já foi usado em outra compra.",
    Reason.INVALID_ACCOUNT: "a conta informada não é válida.",
    Reason.INVALID_AMOUNT: "o valor não é positivo ou tem mais de duas casas decimais.",
    Reason.INVALID_MCC: "o código do estabelecimento (MCC) não tem quatro dígitos.",
    Reason.INVALID_MERCHANT: "o nome do estabelecimento está em branco ou não é válido.",
    Reason.INVALID_ID: "o identificador da transação não é válido.",
    Reason.INVALID_FALLBACK: "o parâmetro fallback deve ser true ou false.",
    Reason.MALFORMED: "o pedido não pôde ser lido.",
}


def name_category(category: str) -> str:
    """Name a category as a person knows it."""
    return _CATEGORIES.get(category, category)


def explain(decision: Decision) -> str:
    """Tell a person in Portuguese why a purchase was approved or declined, with the rule and the amounts."""
    if decision.code == Code.REFUSED or decision.amount is None or decision.category_tried is None:
        why = _REFUSALS.get(Reason(decision.reason), "o pedido não pôde ser processado.")
        return f"Compra recusada: {why}"
    tried = name_category(decision.category_tried)
    why = {
        Rule.MERCHANT: f"o estabelecimento é da categoria {tried} pelo nome",
        Rule.MCC: f"o tipo de estabelecimento (MCC {decision.mcc}) é da categoria {tried}",
        Rule.DEFAULT: f"o tipo de estabelecimento (MCC {decision.mcc}) não é de alimentação nem de refeição",
    }[Rule(decision.rule or Rule.DEFAULT)]
    amount = format_brl(decision.amount)
    if decision.reason == Reason.APPROVED:
        return f"Compra de {amount} aprovada em {tried}: {why}."
    if decision.reason == Reason.APPROVED_BY_FALLBACK:
        return f"Compra de {amount} aprovada com o saldo livre: {why}, mas faltou saldo em {tried}."
    missing = format_brl(decision.short_by or 0)
    if decision.category_tried == CASH:
        ending = "."
    elif decision.fallback:
        ending = ", e o saldo livre também não cobria o valor."
    else:
        ending = ", e o pedido não permitia usar o saldo livre."
    return f"Compra de {amount} recusada por saldo: {why}; faltaram {missing} em {tried}{ending}"
