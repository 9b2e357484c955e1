"""Quality of the assistant's reading of requests to act: the sets of acts, as a first message or as an answer.

`tests/assistant/evaluation/README.md` says how the sets were written and what their lines mean.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from carteira.assistant.amounts import amount
from carteira.assistant.answers import choice, named, yes_or_no
from carteira.assistant.model_cache import TrainedModel
from carteira.assistant.requests import EFFECTS
from carteira.assistant.understanding import meaning

EVALUATION = Path(__file__).parents[1] / "tests" / "assistant" / "evaluation"
HELD_OUT = ("acts_heldout", "held_out_acts_2", "held_out_acts_3")
TUNING = "acts_tuning"
OPTIONS = ("Bilhete Comum", "Bilhete Estudante", "Vale-Transporte")

Row = Mapping[str, Any]


@dataclass
class Reading:
    """The results on a set: how many readings were right, and what started or was confirmed unwanted."""

    right: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    unwanted: list[str] = field(default_factory=list)
    """Sentences that start an act that the person does not want, or that are wrongly read as a yes."""
    missed: list[tuple[Row, str]] = field(default_factory=list)

    @property
    def share(self) -> float:
        """Return the share that was read correctly, from 0 to 1."""
        return self.right.total() / self.asked.total()

    def __str__(self) -> str:
        parts = ", ".join(f"{at} {self.right[at]}/{self.asked[at]}" for at in self.asked)
        return f"right {self.share:6.1%} ({parts})  against the will {len(self.unwanted)}"


def rows(name: str) -> Sequence[Row]:
    """Read a set of acts."""
    return [json.loads(line) for line in (EVALUATION / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def _answer(row: Row) -> str:
    said = row["say"]
    if row["at"] == "confirm":
        return {True: "yes", False: "no", None: "again"}[yes_or_no(said, "cancelar")]
    if row["at"] == "amount":
        centavos = amount(said)
        return "again" if centavos is None else f"{centavos // 100}.{centavos % 100:02d}"
    place = choice(said, len(OPTIONS))
    place = named(said, OPTIONS) if place is None else place
    return "again" if place is None else str(place + 1)


def _first(model: TrainedModel, row: Row) -> tuple[str, bool]:
    """Read a first message; return its reading, and whether that is right."""
    found = meaning(model, row["say"])
    taken = {"intent": found.name, "answer": "ask", "unknown": "outside"}.get(found.kind, found.kind)
    expected, slots = row["expect"], row.get("slots", {})
    is_right = taken in expected or ("again" in expected and taken not in EFFECTS)
    if "amount" in slots:
        is_right = is_right and found.slots.get("amount") == int(slots["amount"].replace(".", ""))
    if "kind" in slots:
        is_right = is_right and found.slots.get("type") == slots["kind"]
    return taken, is_right


def measure(model: TrainedModel, name: str) -> Reading:
    """Read a set, and count."""
    reading = Reading()
    for row in rows(name):
        at, expected = row["at"], row["expect"]
        if at == "start":
            taken, is_right = _first(model, row)
            is_unwanted = taken in EFFECTS and taken not in expected
        else:
            taken = _answer(row)
            is_right = taken in expected
            is_unwanted = at == "confirm" and taken == "yes" and not is_right
        reading.asked[at] += 1
        reading.right[at] += is_right
        if is_unwanted:
            reading.unwanted.append(row["say"])
        if not is_right:
            reading.missed.append((row, taken))
    return reading


def questions_read(model: TrainedModel, asked: Sequence[tuple[str, str | None]]) -> Counter[str]:
    """Count what becomes of questions with their topics; a question without a topic is out of scope."""
    found: Counter[str] = Counter()
    for text, topic in asked:
        meant = meaning(model, text)
        if topic is None:
            found["rightly unanswered" if meant.kind == "unknown" else "out of scope, answered"] += 1
        elif meant.kind == "answer":
            found["answered" if meant.name == topic else "wrong answer"] += 1
        elif meant.kind == "intent":
            found["its act" if meant.name == model.topics[topic].action else "another act"] += 1
        else:
            found["not answered"] += 1
    return found
