"""The shops at which each benefit pocket pays, in words: kinds of shops by MCC (ISO 18245), and shops by name."""

from collections.abc import Iterable
from dataclasses import dataclass

from carteira import benefits
from carteira.web.wallet.movements import folded
from carteira.web.wallet.pockets import BENEFITS, Pocket, place, pocket_of

FREE = "CASH"
_KINDS = {
    "5300": "Atacarejos e clubes de compra",
    "5411": "Supermercados e mercearias",
    "5422": "Açougues e peixarias",
    "5441": "Lojas de doces",
    "5451": "Laticínios",
    "5462": "Padarias",
    "5499": "Outras lojas de alimentos",
    "5811": "Bufês e serviços de refeição",
    "5812": "Restaurantes",
    "5813": "Bares",
    "5814": "Lanchonetes",
}
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Use:
    """The shops at which a pocket pays: kinds of shops, and shops by name; `more` counts those that are not shown."""

    pocket: Pocket
    is_free: bool
    kinds: list[str]
    shops: list[str]
    more: int


@dataclass(frozen=True, slots=True)
class FoundShop:
    """A found shop, and the pocket that pays there."""

    name: str
    pocket: Pocket


def uses(accepted: Iterable[benefits.AcceptedWhere], categories: Iterable[str]) -> list[Use]:
    """Return where a person's categories pay, in the order of their pockets."""
    wanted = set(categories)
    found = [one for one in accepted if one.category in wanted]
    return [
        Use(
            pocket_of(BENEFITS + one.category),
            one.category == FREE,
            kinds_of(one.mccs),
            [benefits.merchant_name(name) for name in one.merchants[:_SHOWN]],
            max(0, len(one.merchants) - _SHOWN),
        )
        for one in sorted(found, key=lambda one: place(BENEFITS + one.category))
    ]


def kinds_of(mccs: Iterable[str]) -> list[str]:
    """Return the names of kinds of shops; unnamed ones are summed up, by the code that a card machine shows."""
    codes = list(mccs)
    unnamed = [mcc for mcc in codes if mcc not in _KINDS]
    named = [f"Lojas que a maquininha informa como {', '.join(unnamed)}"] if unnamed else []
    return [_KINDS[mcc] for mcc in codes if mcc in _KINDS] + named


def shops_named(accepted: Iterable[benefits.AcceptedWhere], words: str) -> list[FoundShop]:
    """Find the shops that are listed by name and whose name has the words in it."""
    wanted = folded(words).split()
    return [
        FoundShop(benefits.merchant_name(name), pocket_of(BENEFITS + one.category))
        for one in accepted
        for name in one.merchants
        if all(word in folded(name) for word in wanted)
    ][:_SHOWN]
