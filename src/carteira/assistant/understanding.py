"""The meaning of a first message: an act to begin, a topic to answer with, or unknown. Pure, no I/O."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from carteira.assistant import intents
from carteira.assistant.answers import choice
from carteira.assistant.feelings import despairs, insults
from carteira.assistant.flow import Intent, Meaning
from carteira.assistant.model_cache import TrainedModel
from carteira.assistant.own_data import asked_for
from carteira.assistant.requests import EFFECTS, Mood, asks_how, is_plain, read
from carteira.assistant.text import plain, unnumbered

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NEAREST = 3
OWN_DATA = frozenset({"balance", "benefit_balance", "benefit_statement", "declined"})
"""Intents that answer questions about one's own things, in place of the topic that says where to look."""
_SHOWN = OWN_DATA | {"my_documents", "cashback_month"}
"""Topics that are answered even if a message insults."""


def named(text: str) -> Intent | None:
    """Return the intent whose menu number or title the message is."""
    number = choice(text, len(intents.MENU))
    if number is not None:
        return intents.MENU[number]
    title = plain(unnumbered(text))
    return next((intent for intent in intents.ALL.values() if plain(intent.title) == title), None)


def explicit_meaning(text: str) -> Meaning | None:
    """Return a message's explicit meaning, without similarity: an option, a requested or a denied act."""
    if despairs(text):
        return Meaning("despair")
    if (intent := named(text)) is not None:
        return Meaning("intent", intent.name)
    spoken_of = read(text)
    if spoken_of is not None and spoken_of.mood is Mood.WANTED:
        return Meaning("intent", spoken_of.intent, spoken_of.slots)
    if spoken_of is not None and spoken_of.mood is Mood.DENIED:
        return Meaning("denied", spoken_of.intent)
    return None


@dataclass(frozen=True, slots=True)
class UnclearMessage:
    """A message without an explicit meaning, and the text for its comparison."""

    model: TrainedModel
    text: str
    questions_only: bool = False


def best_matches(asked: Sequence[UnclearMessage]) -> list[Meaning]:
    """Return the best matches of messages; it takes some milliseconds, and little more for several than for one."""
    ranker = asked[0].model.ranker
    scores = ranker.scores([one.text for one in asked])
    return [
        # another model: the knowledge has changed meanwhile
        best_match(one, row if one.model.ranker is ranker else None)
        for one, row in zip(asked, scores, strict=True)
    ]


def best_match(asked: UnclearMessage, scores: "NDArray[np.float32] | None" = None) -> Meaning:
    """Return the best match of a message. An act with an effect is begun only by plain words."""
    model, text, questions_only = asked.model, asked.text, asked.questions_only
    topics = model.topics
    begins = frozenset() if questions_only else intents.ALL.keys() | {"menu", "thanks"}
    if begins and not is_plain(text):
        begins -= EFFECTS  # about an act that it denies

    def allowed(label: str) -> bool:
        return label in topics and (topics[label].kind == "faq" or label in begins)

    ranking = model.ranker.rank(text, allowed, scores)
    best = topics[ranking.best.label] if ranking.best else None
    is_angry = not questions_only and insults(text)
    if best is not None and best.kind == "intent" and (best.slug in _SHOWN or not is_angry):
        return Meaning("intent", best.slug)
    if is_angry:
        return Meaning("insult")
    if best is None:
        if begins and (own := asked_for(text)) is not None:
            return Meaning("intent", own)
        questions = [topics[item.label].title for item in ranking.candidates if topics[item.label].kind == "faq"]
        return Meaning("unknown", nearest=questions[:NEAREST])
    if not questions_only and best.action in OWN_DATA and not asks_how(text):
        return Meaning("intent", best.action)
    return Meaning("answer", best.slug)


def meaning(model: TrainedModel, text: str) -> Meaning:
    """Return the meaning of a first message."""
    return explicit_meaning(text) or best_match(UnclearMessage(model, text))
