"""Money: whole centavos of BRL, from the wire to the database, and never a float."""

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, NewType

from babel.numbers import format_currency
from pydantic import Field

Centavos = NewType("Centavos", int)
"""An integer number of centavos of BRL."""

MAX_AMOUNT = 10**12
"""The largest amount that one operation moves, in centavos (contract.md, Habits)."""

Amount = Annotated[
    int,
    Field(strict=True, ge=1, le=MAX_AMOUNT, description="Valor em centavos", examples=[10_000]),
]
"""A wire amount to be moved: a JSON integer, strictly, from 1 to 10^12 centavos."""

_REAIS = re.compile(r"(0|[1-9][0-9]{0,12})(?:\.([0-9]{1,2}))?(?:[eE]([+-]?[0-9]{1,2}))?", re.ASCII)


class InvalidAmount(ValueError):
    """A text is not a positive amount of reais with two decimals at most."""


def parse_reais(text: str) -> Centavos:
    """Read positive reais, as a JSON number's text, into centavos, exactly.

    Takes `100`, `100.5`, `100.50` and the exponents that JSON writers produce (`1e2`).

    Raises:
        InvalidAmount: not a number, not positive, more than two decimals, or above `MAX_AMOUNT`.
    """
    match = _REAIS.fullmatch(text)
    if match is None:
        raise InvalidAmount(text[:40])
    whole, fraction, exponent = match.groups()
    if exponent is None:
        centavos = int(whole) * 100 + int((fraction or "").ljust(2, "0"))
    else:
        scaled = Decimal(text) * 100
        centavos = int(scaled)
        if scaled != centavos:
            raise InvalidAmount(text)
    if not 0 < centavos <= MAX_AMOUNT:
        raise InvalidAmount(text)
    return Centavos(centavos)


def allocate(total: int, weights: Sequence[int]) -> list[int]:
    """Split centavos in proportion to weights by largest remainder, so that the parts add up to the total exactly.

    Ties of remainders go to the earlier part. With no weight at all every part is zero and the total must be too.

    Raises:
        ValueError: a weight is negative, or there is something to split and nothing to split it by.
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
    """Write centavos as a person reads them: `R$ 1.234,56`."""
    return format_currency(Decimal(amount) / 100, "BRL", locale="pt_BR").replace("\xa0", " ")
