"""The held-out sets of acts: the intent that starts is the one that was wanted.

`evaluation/README.md` says how they were written.
"""

from functools import cache

import pytest

from benchmarks.assistant_acts import HELD_OUT, TUNING, Reading, measure, rows
from carteira.assistant import embedding
from carteira.assistant.knowledge import package
from carteira.assistant.model_cache import TrainedModel, phrases, train_ranker
from carteira.assistant.requests import EFFECTS, Mood, read

RIGHT = 0.95
SETS = (TUNING, *HELD_OUT)


@cache
def _read(name: str) -> Reading:
    topics = package()
    ranker = train_ranker(tuple(phrases(topics)), embedding.encoder())
    return measure(TrainedModel(0, {topic.slug: topic for topic in topics}, ranker), name)


@pytest.mark.parametrize("name", SETS)
def test_nothing_begins_or_is_confirmed_against_the_will(name: str) -> None:
    assert _read(name).unwanted == []


@pytest.mark.parametrize("name", SETS)
def test_messages_are_understood(name: str) -> None:
    assert _read(name).share >= RIGHT


@pytest.mark.parametrize("name", SETS)
def test_words_alone_begin_nothing_that_is_not_wanted(name: str) -> None:
    begun = [
        row["say"]
        for row in rows(name)
        if row["at"] == "start"
        and (spoken_of := read(row["say"])) is not None
        and spoken_of.mood is Mood.WANTED
        and EFFECTS.isdisjoint(row["expect"])
    ]
    assert begun == []
