"""The score: a scorecard with whole points for each bin, added up. It needs no library and explains itself.

The card is `scorecard.json`, written by `training` (see `docs/reference/credit-model.md`). Training and scoring read a
person through the same `features` below, so that scoring uses the same inputs as training.
"""

import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any, Final, Literal

from carteira.credit.errors import InsufficientData, PersonIsMinor
from carteira.credit.schemas import BaseBOut, ReasonOut, ScoreOut

LOWEST, HIGHEST = 0, 1000
MAJORITY: Final = 18
REASONS: Final = 3
LIQUID = frozenset({"savings", "investment"})

Band = Literal["A", "B", "C", "D", "E"]

FEATURES: Mapping[str, tuple[str, str, str]] = {
    "age": ("R01", "A idade reduz a pontuação.", "A idade favorece a pontuação."),
    "income": (
        "R02",
        "A renda mensal informada reduz a pontuação.",
        "A renda mensal informada favorece a pontuação.",
    ),
    "income_sources": (
        "R03",
        "Há poucas fontes de renda.",
        "Há mais de uma fonte de renda.",
    ),
    "assets": ("R04", "O valor total dos bens reduz a pontuação.", "O valor total dos bens favorece a pontuação."),
    "asset_kinds": ("R05", "Há pouca variedade de bens.", "Há variedade de bens."),
    "liquid_months": (
        "R06",
        "A reserva (poupança e investimentos) é pequena diante da renda.",
        "A reserva (poupança e investimentos) é boa diante da renda.",
    ),
    "assets_months": (
        "R07",
        "Os bens são poucos diante da renda.",
        "Os bens são bons diante da renda.",
    ),
}
"""The features of the score: reason code, the text when it costs points, and the text when it does not."""


@dataclass(frozen=True)
class Feature:
    """One line of the card: a value's bin is the number of edges that it reaches; each bin has its points."""

    name: str
    edges: tuple[float, ...]
    points: tuple[int, ...]

    def points_of(self, value: float) -> int:
        """Return the points of a value."""
        return self.points[bisect_right(self.edges, value)]


@dataclass(frozen=True)
class Scorecard:
    """A trained model: base points, its lines, and the score at which each band begins."""

    model_version: str
    base_points: int
    features: tuple[Feature, ...]
    bands: tuple[tuple[Band, int, str], ...]

    def score(self, values: Mapping[str, float]) -> int:
        """Return the sum of the points, limited to 0 to 1000."""
        total = self.base_points + sum(line.points_of(values[line.name]) for line in self.features)
        return min(HIGHEST, max(LOWEST, total))

    def reasons(self, values: Mapping[str, float]) -> list[ReasonOut]:
        """Return the lines that cost the most points compared with their best bin; ties in the card's order."""
        lines = [(line, line.points_of(values[line.name]), max(line.points)) for line in self.features]
        lines.sort(key=lambda item: item[1] - item[2])
        reasons = []
        for line, points, best in lines[:REASONS]:
            code, low, high = FEATURES[line.name]
            reasons.append(ReasonOut(code=code, text=low if points < best else high, points=points, max_points=best))
        return reasons

    def band(self, score: int) -> tuple[Band, str]:
        """Return a score's band and its meaning."""
        return next((band, text) for band, begins, text in self.bands if score >= begins)


@lru_cache(maxsize=16)
def load(text: str) -> Scorecard:
    """Parse a scorecard; the same text gives the same object."""
    content: dict[str, Any] = json.loads(text)
    return Scorecard(
        content["model_version"],
        content["base_points"],
        tuple(Feature(line["name"], tuple(line["edges"]), tuple(line["points"])) for line in content["features"]),
        tuple((band["band"], band["from"], band["description"]) for band in content["bands"]),
    )


@cache
def shipped_text() -> str:
    """Return the file of the scorecard that ships."""
    return (files("carteira.credit") / "scorecard.json").read_text()


@cache
def shipped_figures() -> Mapping[str, Any]:
    """Return the figures measured for the scorecard that ships, on synthetic people."""
    figures: Mapping[str, Any] = json.loads((files("carteira.credit") / "scorecard_figures.json").read_text())
    return figures


def shipped() -> Scorecard:
    """Return the scorecard that ships."""
    return load(shipped_text())


def features(age: int, assets: Sequence[tuple[str, int]], incomes: Sequence[int]) -> dict[str, float]:
    """Return the card's features of a person's age, assets (kind, centavos) and monthly incomes (centavos)."""
    income = sum(incomes)
    total = sum(amount for _, amount in assets)
    liquid = sum(amount for kind, amount in assets if kind in LIQUID)
    return {
        "age": age,
        "income": income,
        "income_sources": len(incomes),
        "assets": total,
        "asset_kinds": len({kind for kind, _ in assets}),
        "liquid_months": liquid / income,
        "assets_months": total / income,
    }


def of_person(person: BaseBOut, card: Scorecard | None = None) -> ScoreOut:
    """Return the score of a person from base B.

    Raises:
        InsufficientData: no age, no asset or no income.
        PersonIsMinor: younger than 18.
    """
    missing = [
        {"field": field, "message": message}
        for field, message, there in (
            ("age", "Falta a idade ou a data de nascimento.", person.age is not None),
            ("assets", "Falta pelo menos um bem.", bool(person.assets)),
            ("income_sources", "Falta pelo menos uma fonte de renda.", bool(person.income_sources)),
        )
        if not there
    ]
    if missing or person.age is None:
        raise InsufficientData(errors=missing)
    if person.age < MAJORITY:
        raise PersonIsMinor
    card = card or shipped()
    values = features(
        person.age,
        [(asset.kind, asset.amount) for asset in person.assets],
        [source.monthly_amount for source in person.income_sources],
    )
    score = card.score(values)
    band, description = card.band(score)
    return ScoreOut(
        score=score,
        band=band,
        band_description=description,
        reasons=card.reasons(values),
        model_version=card.model_version,
    )
