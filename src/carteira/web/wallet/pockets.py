"""Pockets: the kinds of money that a person has, each with its name, icon and hue. They are never added up."""

from collections.abc import Iterable
from dataclasses import dataclass

BENEFITS = "benefits."
TRANSIT = "transit.card"
CASHBACK = "resellers.cashback"


@dataclass(frozen=True, slots=True)
class Pocket:
    """How a kind of money is shown."""

    key: str
    """What an address names it by."""
    name: str
    hue: str
    icon: str
    uses: str = ""


_POCKETS = {
    "benefits.FOOD": Pocket("alimentacao", "Alimentação", "food", "cart", "Mercados e açougues"),
    "benefits.MEAL": Pocket("refeicao", "Refeição", "meal", "fork", "Restaurantes e padarias"),
    "benefits.CASH": Pocket("livre", "Livre", "cash", "coins", "Onde quiser"),
    TRANSIT: Pocket("transporte", "Transporte", "transit", "bus"),
    CASHBACK: Pocket("cashback", "Cashback", "cashback", "percent"),
}
ORDER = tuple(_POCKETS)


def pocket_of(kind: str) -> Pocket:
    """Give how the money of a kind of ledger accounts is shown; a configured category goes by its own name."""
    known = _POCKETS.get(kind)
    if known is not None:
        return known
    name = kind.rpartition(".")[2]
    return Pocket(name.lower(), name.capitalize(), "", "coins")


def kind_of(key: str, kinds: Iterable[str]) -> str | None:
    """Give the kind of ledger accounts that an address's name stands for, of those that a person has."""
    return next((kind for kind in kinds if pocket_of(kind).key == key), None)


def place(kind: str) -> tuple[int, str]:
    """Sort kinds of money as they are shown: the known ones in their order, others by name behind."""
    return (ORDER.index(kind) if kind in ORDER else len(ORDER), kind)
