"""Build the scorecard from nothing and measure it: `python -m benchmarks.credit_model [people] [--write]`.

Synthetic people are written to DynamoDB, exported to Parquet, trained on and scored. `--write` replaces the scorecard
that ships and the measured part of docs/reference/credit-model.md with the results.
"""

import asyncio
import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from carteira.credit import AwsAccess, CreditConfig, Stores
from carteira.credit.export import export
from carteira.credit.score import Scorecard, features
from carteira.credit.synthetic import Person, generate, person
from carteira.credit.training import Trained, area_under_curve, rows_of, stability, train
from carteira.credit.versions import figures_of
from carteira.embedded import EmbeddedServers

ROOT = Path(__file__).parents[1]
CARD = ROOT / "src/carteira/credit/scorecard.json"
FIGURES = CARD.with_name("scorecard_figures.json")
DOCUMENT = ROOT / "docs/reference/credit-model.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
SEED, OTHER_SEED, OTHERS = 7, 8, 20_000
AGES = ((18, 29), (30, 44), (45, 59), (60, 90))


def resident_mb() -> int:
    """Return the memory that this process holds now, in MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4 // 1024


@dataclass
class Stage:
    """The seconds of a stage, and the most memory seen in its first and second half."""

    name: str
    seconds: float
    first_half_mb: int
    second_half_mb: int


class Watch:
    """Watches a stage of a known amount of work."""

    def __init__(self, name: str) -> None:
        self.name, self.began, self.most = name, time.monotonic(), [0, 0]

    def see(self, done: int, total: int) -> None:
        """Sample the memory."""
        half = done * 2 > total
        self.most[half] = max(self.most[half], resident_mb())

    def end(self) -> Stage:
        """Return the results."""
        return Stage(self.name, time.monotonic() - self.began, *self.most)


async def prepare(home: Path, endpoint: str, people: int) -> tuple[list[Stage], Path]:
    """Generate and export."""
    config = CreditConfig(
        home / "credit.json", aws=AwsAccess(endpoint_url=endpoint), table="credit-synthetic", development=True
    )
    folder = home / "export"
    async with Stores(config).opened() as stores:
        watch = Watch("generate into DynamoDB (roto)")
        await generate(stores.b, stores.keyring, people=people, seed=SEED, progress=watch.see)
        stages = [watch.end()]
        watch = Watch("export to Parquet, 8 segments")
        await export(stores.b, stores.keyring, folder, progress=lambda _done, _all, rows: watch.see(rows, people))
        return [*stages, watch.end()], folder


def learn(folder: Path, people: int) -> tuple[list[Stage], Trained]:
    """Train, and score everybody."""
    watch = Watch("train (two passes)")
    watch.see(0, people)
    trained = train(folder)
    watch.see(people, people)
    stages = [watch.end()]
    watch = Watch("score everybody from Parquet")
    for number, (values, _, _) in enumerate(rows_of(folder)):
        trained.card.score(values)
        if number % 5_000 == 0:
            watch.see(number, people)
    return [*stages, watch.end()], trained


def others(income_shift: float) -> Iterator[Person]:
    """Draw people that are in neither the training nor the held-out part."""
    return (person(OTHER_SEED, number, income_shift=income_shift) for number in range(OTHERS))


def score_of(card: Scorecard, who: Person) -> int:
    """Return a synthetic person's score."""
    return card.score(features(who.age, who.assets, who.incomes))


def by_score(card: Scorecard, people: Iterator[Person]) -> dict[int, list[int]]:
    """Count paid and defaulted loans by score."""
    scores: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    for who in people:
        scores[score_of(card, who)][who.defaulted] += 1
    return scores


def drift(known: dict[int, list[int]], other: dict[int, list[int]]) -> str:
    """Return how well the card ranks another population, and how far its scores have moved."""
    return f"{area_under_curve(other):.4f}, {stability(known, other):.4f}"


def ceiling() -> float:
    """Return the AUC of the true probabilities, without what nobody observes: no model can do better."""
    risks: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    for who in others(0):
        risks[-round(who.risk * 1_000_000)][who.defaulted] += 1
    return area_under_curve(risks)


def ages_table(card: Scorecard) -> list[str]:
    """Return scores and outcomes by age, as a table."""
    lines = [
        "| age | people | mean score | defaulted | band D or E | AUC within |",
        "| --- | --: | --: | --: | --: | --: |",
    ]
    for low, high in AGES:
        people = [who for who in others(0) if low <= who.age <= high]
        scores = [score_of(card, who) for who in people]
        defaulted = sum(who.defaulted for who in people) / len(people)
        weak = sum(score < 500 for score in scores) / len(scores)  # noqa: PLR2004 - the score at which band C begins
        within = area_under_curve(by_score(card, iter(people)))
        mean = sum(scores) / len(scores)
        lines.append(f"| {low}–{high} | {len(people):,} | {mean:.0f} | {defaulted:.1%} | {weak:.1%} | {within:.3f} |")
    return lines


def report(people: int, stages: list[Stage], trained: Trained, folder: Path) -> str:
    """Write the measured part of the model card."""
    found, card = trained.measures, trained.card
    known = by_score(card, (person(SEED, number) for number in range(OTHERS)))
    fresh, poorer = by_score(card, others(0)), by_score(card, others(-0.3))
    no_age = train(folder, without=frozenset({"age"})).measures
    lines = [
        f"Model `{card.model_version}`, made by `python -m benchmarks.credit_model {people}` (seed {SEED}).",
        "",
        "| measure | value |",
        "| --- | --- |",
        f"| people learnt from / held out | {found['learnt_from']:,} / {found['held_out']:,} |",
        f"| defaulted among the held out | {found['default_rate']:.1%} |",
        f"| AUC, held out (learnt from) | **{found['auc']:.4f}** ({found['auc_learnt']:.4f}) |",
        f"| AUC of the truth less the unobserved (the ceiling), another seed | {ceiling():.4f} |",
        f"| KS, held out | **{found['ks']:.4f}** |",
        f"| Brier score, held out | {found['brier']:.4f} |",
        f"| PSI, learnt from against held out | {found['psi']:.4f} |",
        f"| {OTHERS:,} people of another seed: AUC, PSI | {drift(known, fresh)} |",
        f"| the same with incomes 26 % lower: AUC, PSI | {drift(known, poorer)} |",
        f"| AUC without age, held out | {no_age['auc']:.4f} |",
        "",
        "Calibration, held out, by tenths from the lowest scores up:",
        "",
        "| scores | people | foretold | observed |",
        "| --- | --: | --: | --: |",
        *(
            f"| {t['from']}–{t['to']} | {t['people']:,} | {t['foretold']:.1%} | {t['observed']:.1%} |"
            for t in found["calibration"]
        ),
        "",
        "| band | from | share | defaulted |",
        "| --- | --: | --: | --: |",
        *(
            f"| {band} ({text}) | {begins} | {found['bands'][band]['share']:.1%} |"
            f" {found['bands'][band]['default_rate']:.1%} |"
            for band, begins, text in card.bands
        ),
        "",
        f"By age, {OTHERS:,} people of another seed:",
        "",
        *ages_table(card),
        "",
        f"The way there, {people:,} people; memory is the process's own, the most seen in each half of the stage:",
        "",
        "| stage | seconds | first half, MB | second half, MB |",
        "| --- | --: | --: | --: |",
        *(f"| {s.name} | {s.seconds:.1f} | {s.first_half_mb} | {s.second_half_mb} |" for s in stages),
    ]
    return "\n".join(lines)


def main(people: int, *, write: bool) -> None:
    """Run it all."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        with EmbeddedServers(home, postgres=False, redis=False) as servers:
            stages, folder = asyncio.run(prepare(home, servers.endpoints.aws_endpoint_url, people))
        more, trained = learn(folder, people)
        text = report(people, stages + more, trained, folder)
    print(text)
    if write:
        CARD.write_text(trained.text)
        FIGURES.write_text(json.dumps(figures_of(trained.measures), indent=1) + "\n")
        before, _, rest = DOCUMENT.read_text().partition(BEGIN)
        _, _, after = rest.partition(END)
        DOCUMENT.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:] if argument.isdigit()]
    main(numbers[0] if numbers else 100_000, write="--write" in sys.argv)
