"""The held-out set of acts, as far as it is read without likeness: `evaluation/README.md` says how it was written."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from carteira.assistant.amounts import amount
from carteira.assistant.answers import choice, named, yes_or_no
from carteira.assistant.requests import EFFECTS, Mood, read

OPTIONS = ("Bilhete Comum", "Bilhete Estudante", "Vale-Transporte")
RIGHT = 0.95


def rows(*places: str) -> Iterator[dict[str, Any]]:
    path = Path(__file__).parent / "evaluation" / "acts_heldout.jsonl"
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["at"] in places:
            yield row


def _answer(row: dict[str, Any]) -> str:
    said = row["say"]
    if row["at"] == "confirm":
        return {True: "yes", False: "no", None: "again"}[yes_or_no(said, "cancelar")]
    if row["at"] == "amount":
        centavos = amount(said)
        return "again" if centavos is None else f"{centavos // 100}.{centavos % 100:02d}"
    place = choice(said, len(OPTIONS))
    place = named(said, OPTIONS) if place is None else place
    return "again" if place is None else str(place + 1)


def test_no_mixed_answer_is_a_yes() -> None:
    taken = [row["say"] for row in rows("confirm") if "yes" not in row["expect"] and _answer(row) == "yes"]
    assert taken == []


def test_answers_are_read() -> None:
    found = [_answer(row) in row["expect"] for row in rows("confirm", "options", "amount")]
    assert sum(found) >= RIGHT * len(found)


def test_nothing_with_an_effect_begins_that_is_not_wanted() -> None:
    begun = [
        row["say"]
        for row in rows("start")
        if (request := read(row["say"])) is not None
        and request.mood is Mood.WANTED
        and EFFECTS.isdisjoint(row["expect"])
    ]
    assert begun == []


def test_requests_are_read_with_what_they_say() -> None:
    wanted = [row for row in rows("start") if not EFFECTS.isdisjoint(row["expect"])]
    found = []
    for row in wanted:
        request = read(row["say"])
        slots = {} if request is None else request.slots
        amount_said, kind = row.get("slots", {}).get("amount"), row.get("slots", {}).get("kind")
        found.append(
            request is not None
            and request.intent in row["expect"]
            and request.mood is Mood.WANTED
            and (amount_said is None or slots.get("amount") == int(amount_said.replace(".", "")))
            and (kind is None or slots.get("type") == kind)
        )
    assert sum(found) >= RIGHT * len(found)
