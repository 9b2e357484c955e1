"""Training the scorecard from exported Parquet: monotone bins, weights of evidence, logistic regression, whole points.

Memory does not grow with the number of people: they are read in batches and only counted, first by feature and outcome,
then by combination of bins and outcome, which is all that the model and its measures need. The same data gives the same
card, byte for byte: a row's content decides whether it is held out, and nothing is random.
"""

import hashlib
import json
import math
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from carteira.credit.export import NEEDS_ML, MissingLibrary, parquet
from carteira.credit.score import FEATURES, MAJORITY, Scorecard, features, load
from carteira.kit.values.days import parse_day

BATCH_ROWS = 5_000
HELD_OUT_PERCENT = 30
ROUND_STEPS = (1.0, 1.2, 1.5, 1.8, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0)
"""Possible starts of bins within a decade: round numbers, which suit explanations."""
SMALLEST_DECADE = -2
SMALLEST = 10.0**SMALLEST_DECADE
PREBINS = 20
MAX_BINS = 6
MIN_SHARE = 0.05
POINTS_TO_DOUBLE_ODDS = 110
REFERENCE_SCORE, REFERENCE_ODDS = 600, 9.0
"""600 points stand for odds of nine payers to one defaulter; every 110 points more double the odds."""
LINEAR = frozenset({"age", "income_sources", "asset_kinds"})
BANDS = (
    ("A", 800, "Risco muito baixo"),
    ("B", 650, "Risco baixo"),
    ("C", 500, "Risco médio"),
    ("D", 350, "Risco alto"),
    ("E", 0, "Risco muito alto"),
)

Bins = tuple[int, ...]
Cells = Counter[tuple[Bins, bool]]


class TooFewPeople(Exception):
    """Too few people have a known outcome."""


@dataclass(frozen=True)
class Trained:
    """The card as text to ship or to store, the figures on held-out people, and the span of the outcomes.

    `outcomes_from` and `outcomes_until` are the days on which the first and the last outcome were recorded, as far as
    the export has them.
    """

    text: str
    card: Scorecard
    people: int
    measures: Mapping[str, Any]
    outcomes_from: date | None
    outcomes_until: date | None


def rows_of(folder: Path) -> Iterator[tuple[dict[str, float], bool, bool]]:
    """Yield exported people who can be scored and whose outcome is known: features, defaulted, held out.

    Raises:
        MissingLibrary: pyarrow is not installed.
    """
    reader = parquet()
    for file in sorted(folder.glob("people-*.parquet")):
        for batch in reader.ParquetFile(file).iter_batches(BATCH_ROWS):
            for row in batch.to_pylist():
                if row["defaulted"] is None or not row["assets"] or not row["incomes"] or (row["age"] or 0) < MAJORITY:
                    continue
                assets = [(asset["kind"], asset["amount"]) for asset in row["assets"]]
                content = json.dumps([row["age"], assets, row["incomes"]]).encode()
                held_out = int.from_bytes(hashlib.sha256(content).digest()[:4]) % 100 < HELD_OUT_PERCENT
                yield features(row["age"], assets, row["incomes"]), row["defaulted"], held_out


def train(folder: Path, *, without: frozenset[str] = frozenset()) -> Trained:
    """Train a scorecard on an export's people; `without` leaves features out, to measure their contribution.

    Raises:
        TooFewPeople: fewer than 1,000 to learn from, or all with one outcome.
        MissingLibrary: pyarrow or scikit-learn is not installed.
    """
    names = [name for name in FEATURES if name not in without]
    edges = _edges(folder, names)
    learnt, held_out = _count(folder, edges)
    weights = {name: _weights(learnt, index, len(edges[name]) + 1) for index, name in enumerate(names)}
    intercept, slopes = _fit(learnt, names, weights)
    content = _card(names, edges, weights, intercept, slopes)
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    card = load(text)
    people = sum(learnt.values()) + sum(held_out.values())
    return Trained(text, card, people, _measures(card, names, learnt, held_out), *_window(folder))


def _window(folder: Path) -> tuple[date | None, date | None]:
    """Return the days of the first and the last outcome; older exports do not have them."""
    reader, found = parquet(), list[date]()
    for file in sorted(folder.glob("people-*.parquet")):
        part = reader.ParquetFile(file)
        if "outcome_on" in part.schema_arrow.names:
            for batch in part.iter_batches(BATCH_ROWS, columns=["outcome_on"]):
                days = [parse_day(day) for day in batch.column(0).to_pylist() if day is not None]
                found += [min(days), max(days)] if days else []
    return (min(found), max(found)) if found else (None, None)


def _cell(name: str, value: float) -> int:
    """Return a value's cell in the first count: whole numbers unchanged, amounts as the next lower round number."""
    if name in LINEAR:
        return int(value)
    if value < SMALLEST:
        return 0
    decade = math.floor(math.log10(value))
    step = bisect_right(ROUND_STEPS, value / 10**decade * (1 + 1e-12)) - 1
    return 1 + (decade - SMALLEST_DECADE) * len(ROUND_STEPS) + step


def _lower_edge(name: str, cell: int) -> float:
    if name in LINEAR:
        return cell
    decade, step = divmod(cell - 1, len(ROUND_STEPS))
    return round(ROUND_STEPS[step] * 10.0 ** (decade + SMALLEST_DECADE), 6)


def _edges(folder: Path, names: Sequence[str]) -> dict[str, tuple[float, ...]]:
    """Return each feature's bins: edges where the default rate, which falls from bin to bin, changes enough."""
    cells: dict[str, dict[int, list[int]]] = {name: defaultdict(lambda: [0, 0]) for name in names}
    people = 0
    for values, defaulted, held_out in rows_of(folder):
        if held_out:
            continue
        people += 1
        for name in names:
            cells[name][_cell(name, values[name])][defaulted] += 1
    outcomes = [sum(counts[i] for counts in cells[names[0]].values()) for i in (0, 1)]
    if people < 1_000 or 0 in outcomes:  # noqa: PLR2004 - fewer teach nothing
        raise TooFewPeople(f"{people} people with a known outcome, {outcomes[1]} of whom defaulted")
    return {name: _monotone(name, cells[name], people) for name in names}


def _monotone(name: str, cells: Mapping[int, Sequence[int]], people: int) -> tuple[float, ...]:
    """Merge cells until there are few, each large enough and with a lower default rate than the one before."""
    bins: list[list[float]] = []  # first cell, paid, defaulted
    for cell in sorted(cells):
        paid, defaulted = cells[cell]
        if bins and bins[-1][1] + bins[-1][2] < people / PREBINS:
            bins[-1][1] += paid
            bins[-1][2] += defaulted
        else:
            bins.append([cell, paid, defaulted])
    while len(bins) > 1:
        gains = [_rate(bins[i]) - _rate(bins[i + 1]) for i in range(len(bins) - 1)]
        sizes = [min(bins[i][1] + bins[i][2], bins[i + 1][1] + bins[i + 1][2]) for i in range(len(bins) - 1)]
        small = [i for i, size in enumerate(sizes) if size < people * MIN_SHARE]
        worst = min(small or range(len(gains)), key=lambda i: (gains[i], i))
        if not small and gains[worst] > 0 and len(bins) <= MAX_BINS:
            break
        bins[worst][1] += bins[worst + 1][1]
        bins[worst][2] += bins[worst + 1][2]
        del bins[worst + 1]
    return tuple(_lower_edge(name, int(first)) for first, _, _ in bins[1:])


def _rate(bin_: Sequence[float]) -> float:
    return bin_[2] / (bin_[1] + bin_[2])


def _count(folder: Path, edges: Mapping[str, tuple[float, ...]]) -> tuple[Cells, Cells]:
    """Count people by bins and outcome: those to train on, and those held out."""
    learnt: Cells = Counter()
    held: Cells = Counter()
    for values, defaulted, held_out in rows_of(folder):
        bins = tuple(bisect_right(edges[name], values[name]) for name in edges)
        (held if held_out else learnt)[bins, defaulted] += 1
    return learnt, held


def _weights(cells: Cells, index: int, bins: int) -> list[float]:
    """Return each bin's weight of evidence: the log of how much more likely it is among those who paid."""
    counts = [[0.5, 0.5] for _ in range(bins)]  # half a person each, so that no bin is certain
    for (place, defaulted), number in cells.items():
        counts[place[index]][defaulted] += number
    paid, defaulted_ = (sum(count[i] for count in counts) for i in (0, 1))
    return [math.log((count[0] / paid) / (count[1] / defaulted_)) for count in counts]


def _fit(cells: Cells, names: Sequence[str], weights: Mapping[str, Sequence[float]]) -> tuple[float, dict[str, float]]:
    """Fit the log odds of paying; a feature with a negative slope would reverse its bins, so it is left out."""
    try:
        from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - the server does without it
    except ImportError as error:
        raise MissingLibrary(NEEDS_ML) from error
    kept = list(names)
    while True:
        columns = [names.index(name) for name in kept]
        ordered = sorted(cells.items())
        matrix = [[weights[names[column]][bins[column]] for column in columns] for (bins, _), _ in ordered]
        model = LogisticRegression(C=100.0, solver="newton-cholesky", max_iter=1_000, tol=1e-8)
        model.fit(matrix, [not defaulted for (_, defaulted), _ in ordered], sample_weight=[n for _, n in ordered])
        slopes = {name: float(slope) for name, slope in zip(kept, model.coef_[0], strict=True)}
        wrong = [name for name in kept if slopes[name] <= 0]
        if not wrong:
            return float(model.intercept_[0]), slopes | dict.fromkeys(set(names) - set(kept), 0.0)
        kept.remove(min(wrong, key=lambda name: slopes[name]))


def _card(
    names: Sequence[str],
    edges: Mapping[str, Sequence[float]],
    weights: Mapping[str, Sequence[float]],
    intercept: float,
    slopes: Mapping[str, float],
) -> dict[str, Any]:
    """Return the log odds as a card of whole points; the version is the hash of all that decides a score."""
    factor = POINTS_TO_DOUBLE_ODDS / math.log(2)
    base = round(REFERENCE_SCORE + factor * (intercept - math.log(REFERENCE_ODDS)))
    lines = [
        {
            "name": name,
            "edges": list(edges[name]),
            "points": [round(factor * slopes[name] * weight) for weight in weights[name]],
        }
        for name in names
        if slopes[name] > 0
    ]
    content = {
        "base_points": base,
        "features": lines,
        "bands": [{"band": band, "from": begins, "description": text} for band, begins, text in BANDS],
    }
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:10]
    return {"model_version": f"scorecard-1-{digest}", **content}


def default_probability(score: float) -> float:
    """Return a score's probability of default within twelve months."""
    odds = REFERENCE_ODDS * 2 ** ((score - REFERENCE_SCORE) / POINTS_TO_DOUBLE_ODDS)
    return 1 / (1 + odds)


def _scores(card: Scorecard, names: Sequence[str], cells: Cells) -> dict[int, list[int]]:
    """Return the counts of paid and defaulted by score."""
    used = [(names.index(line.name), line.points) for line in card.features]
    scores: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    for (bins, defaulted), number in cells.items():
        score = card.base_points + sum(points[bins[index]] for index, points in used)
        scores[min(1000, max(0, score))][defaulted] += number
    return dict(sorted(scores.items()))


def _measures(card: Scorecard, names: Sequence[str], learnt: Cells, held_out: Cells) -> dict[str, Any]:
    seen, unseen = _scores(card, names, learnt), _scores(card, names, held_out)
    return {
        "learnt_from": sum(learnt.values()),
        "held_out": sum(held_out.values()),
        "default_rate": _total(unseen, 1) / (_total(unseen, 0) + _total(unseen, 1)),
        "auc": area_under_curve(unseen),
        "auc_learnt": area_under_curve(seen),
        "ks": kolmogorov_smirnov(unseen),
        "brier": _brier(unseen),
        "calibration": calibration(unseen),
        "psi": stability(seen, unseen),
        "bands": _bands(card, unseen),
    }


def _total(scores: Mapping[int, Sequence[int]], outcome: int) -> int:
    return sum(counts[outcome] for counts in scores.values())


def area_under_curve(scores: Mapping[int, Sequence[int]]) -> float:
    """Return the probability that a person who paid scores above one who did not (ties count half)."""
    below, area = 0, 0.0
    for _, (paid, defaulted) in sorted(scores.items()):
        area += paid * (below + defaulted / 2)
        below += defaulted
    return area / (_total(scores, 0) * _total(scores, 1))


def kolmogorov_smirnov(scores: Mapping[int, Sequence[int]]) -> float:
    """Return the largest distance between the two outcomes' distributions of scores."""
    paid = defaulted = 0
    largest = 0.0
    totals = _total(scores, 0), _total(scores, 1)
    for _, counts in sorted(scores.items()):
        paid, defaulted = paid + counts[0], defaulted + counts[1]
        largest = max(largest, defaulted / totals[1] - paid / totals[0])
    return largest


def _brier(scores: Mapping[int, Sequence[int]]) -> float:
    error = sum(
        paid * default_probability(score) ** 2 + defaulted * (1 - default_probability(score)) ** 2
        for score, (paid, defaulted) in scores.items()
    )
    return error / (_total(scores, 0) + _total(scores, 1))


def _tenths(scores: Mapping[int, Sequence[int]]) -> list[list[tuple[int, Sequence[int]]]]:
    people = _total(scores, 0) + _total(scores, 1)
    tenths: list[list[tuple[int, Sequence[int]]]] = [[] for _ in range(10)]
    so_far = 0
    for score, counts in sorted(scores.items()):
        tenths[min(9, so_far * 10 // people)].append((score, counts))
        so_far += counts[0] + counts[1]
    return [tenth for tenth in tenths if tenth]


def calibration(scores: Mapping[int, Sequence[int]]) -> list[dict[str, float]]:
    """Return predicted and observed default rates by tenths of the people, from the lowest scores up."""
    result = []
    for tenth in _tenths(scores):
        people = sum(counts[0] + counts[1] for _, counts in tenth)
        result.append(
            {
                "from": tenth[0][0],
                "to": tenth[-1][0],
                "people": people,
                "foretold": sum(sum(counts) * default_probability(score) for score, counts in tenth) / people,
                "observed": sum(counts[1] for _, counts in tenth) / people,
            }
        )
    return result


def stability(reference: Mapping[int, Sequence[int]], other: Mapping[int, Sequence[int]]) -> float:
    """Return the population stability index over the reference's tenths (below 0.1: the same population)."""
    tenths = _tenths(reference)
    bounds = [tenth[0][0] for tenth in tenths[1:]]

    def shares(scores: Mapping[int, Sequence[int]]) -> list[float]:
        counts = [0.5] * len(tenths)
        for score, outcome in scores.items():
            counts[bisect_right(bounds, score)] += sum(outcome)
        return [count / sum(counts) for count in counts]

    pairs = zip(shares(reference), shares(other), strict=True)
    return sum((now - before) * math.log(now / before) for before, now in pairs)


def _bands(card: Scorecard, scores: Mapping[int, Sequence[int]]) -> dict[str, dict[str, float]]:
    people = _total(scores, 0) + _total(scores, 1)
    counts: dict[str, list[int]] = {band: [0, 0] for band, _, _ in card.bands}
    for score, (paid, defaulted) in scores.items():
        band, _ = card.band(score)
        counts[band][0] += paid
        counts[band][1] += defaulted
    return {
        band: {"share": sum(both) / people, "default_rate": both[1] / max(1, sum(both))}
        for band, both in counts.items()
    }
