"""Pockets: a person's kinds of money, each with its name, icon and hue. They are never added up."""

from collections.abc import Iterable
from dataclasses import dataclass

BENEFITS = "benefits."
TRANSIT = "transit.card"
CASHBACK = "resellers.cashback"


@dataclass(frozen=True, slots=True)
class Pocket:
    """The presentation of a kind of money."""

    key: str
    """Its name in addresses."""
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
    """Return the pocket of a kind of ledger accounts; a configured category has its own name."""
    known = _POCKETS.get(kind)
    if known is not None:
        return known
    name = kind.rpartition(".")[2]
    return Pocket(name.lower(), name.capitalize(), "", "coins")


def kind_of(key: str, kinds: Iterable[str]) -> str | None:
    """Return the kind of a person's ledger accounts that a name in an address stands for."""
    return next((kind for kind in kinds if pocket_of(kind).key == key), None)


def place(kind: str) -> tuple[int, str]:
    """Return the sort key of a kind of money: known ones in their order, then others by name."""
    return (ORDER.index(kind) if kind in ORDER else len(ORDER), kind)
