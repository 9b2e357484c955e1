"""Money: whole centavos of BRL, from the wire to the database, and never a float."""

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, NewType

from babel.numbers import format_currency
from pydantic import Field

from carteira.kit.values.texts import MOST_TYPED, look_alike, trim, without_unseen

Centavos = NewType("Centavos", int)
"""An integer number of centavos of BRL."""

MAX_AMOUNT = 10**12
"""The largest amount that one operation moves, in centavos (contract.md, Habits)."""

Amount = Annotated[
    int,
    Field(strict=True, ge=1, le=MAX_AMOUNT, description="Valor em centavos", examples=[10_000]),
]
"""A wire amount to be moved: a JSON integer, strictly, from 1 to 10^12 centavos."""

_JSON_REAIS = re.compile(r"(0|[1-9][0-9]{0,12})(?:\.([0-9]{1,2}))?", re.ASCII)
_REAIS = re.compile(r"([0-9]{1,3}(?:\.[0-9]{3})+|[0-9]{1,3}(?: [0-9]{3})+|[0-9]{1,13})(?:,([0-9]{1,2}))?", re.ASCII)
_POINTED = re.compile(r"([0-9]{1,13})\.([0-9]{1,2})", re.ASCII)
_SIGN = "R$"


class InvalidAmount(ValueError):
    """A text is not an amount of reais with at most two decimals. The message may be shown to people."""


def parse_reais(text: str) -> Centavos:
    """Parse positive reais, as a JSON number's text, into centavos, exactly: `100`, `100.5`, `100.50`.

    Raises:
        InvalidAmount: not a number, one with an exponent, not positive, more than two decimals, or above `MAX_AMOUNT`.
    """
    match = _JSON_REAIS.fullmatch(text)
    if match is None:
        raise InvalidAmount("Valor inválido.")
    return _centavos(match[1], match[2], least=1)


def read_reais(text: str, *, least: int = 1) -> Centavos:
    """Parse reais, as people in Brazil write them, into centavos: `20`, `20,5`, `1.200,50`, `1 200,50`, `R$ 20`.

    Raises:
        InvalidAmount: written otherwise, below `least` centavos, or above `MAX_AMOUNT`.
    """
    if len(text) > MOST_TYPED:
        raise InvalidAmount("Escreva um valor em reais, como 20 ou 1.234,50.")
    plain = trim("".join(" " if sign.isspace() else sign for sign in without_unseen(text)))
    figures = trim(plain[len(_SIGN) :]) if plain[: len(_SIGN)].upper() == _SIGN else plain
    match = _REAIS.fullmatch(figures)
    if pointed := _POINTED.fullmatch(figures):
        raise InvalidAmount(f"Escreva os centavos depois de uma vírgula: {pointed[1]},{pointed[2]}.")
    if match is None:
        raise InvalidAmount("Escreva um valor em reais, como 20 ou 1.234,50." + look_alike(figures))
    return _centavos(re.sub("[. ]", "", match[1]), match[2], least=least)


def _centavos(whole: str, fraction: str | None, *, least: int) -> Centavos:
    centavos = int(whole) * 100 + int((fraction or "").ljust(2, "0"))
    if not least <= centavos <= MAX_AMOUNT:
        raise InvalidAmount("O valor deve ser maior que zero e de no máximo R$ 10.000.000.000,00.")
    return Centavos(centavos)


def allocate(total: int, weights: Sequence[int]) -> list[int]:
    """Split centavos in proportion to weights by largest remainder, so that the parts add up to the total exactly.

    Ties of remainders go to the earlier part. With no weight at all every part is zero and the total must be too.

    Raises:
        ValueError: a weight is negative, or all weights are zero and the total is not.
    """
    if any(weight < 0 for weight in weights):
        raise ValueError("weights are never negative")
    whole = sum(weights)
    if whole == 0:
        if total:
            raise ValueError("nothing to split the total by")
        return [0] * len(weights)
    shares = [divmod(total * weight, whole) for weight in weights]
    parts = [quotient for quotient, _ in shares]
    missing = total - sum(parts)
    by_remainder = sorted(range(len(shares)), key=lambda index: (-shares[index][1], index))
    for index in by_remainder[:missing]:
        parts[index] += 1
    return parts


def format_brl(amount: int) -> str:
    """Return centavos as people read them: `R$ 1.234,56`."""
    return format_currency(Decimal(amount) / 100, "BRL", locale="pt_BR").replace("\xa0", " ")
