"""What a first message means: an act to begin, an article to answer with, or nothing that is known. Pure, no I/O."""

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
"""Intents that answer a question about one's own things, in the place of the article that says where to look."""
_SHOWN = OWN_DATA | {"my_documents", "cashback_month"}
"""What is answered though a message insults as well."""


def named(text: str) -> Intent | None:
    """Find the intent whose number in the menu, or whose title, a message is."""
    number = choice(text, len(intents.MENU))
    if number is not None:
        return intents.MENU[number]
    said = plain(unnumbered(text))
    return next((intent for intent in intents.ALL.values() if plain(intent.title) == said), None)


def said(text: str) -> Meaning | None:
    """Read what a message says outright, without likeness: an option, an act that is wanted or denied."""
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
class Asked:
    """A message that says nothing outright, and what it is compared with."""

    mind: TrainedModel
    text: str
    questions_only: bool = False


def all_likest(asked: Sequence[Asked]) -> list[Meaning]:
    """Find what messages are most like, which takes some ms, and little more for several than for one."""
    ranker = asked[0].mind.ranker
    scores = ranker.scores([one.text for one in asked])
    return [
        # another mind: what is known has changed in between
        likest(one, row if one.mind.ranker is ranker else None)
        for one, row in zip(asked, scores, strict=True)
    ]


def likest(asked: Asked, scores: "NDArray[np.float32] | None" = None) -> Meaning:
    """Find what a message is most like. An act with an effect is begun so by plain words only."""
    mind, text, questions_only = asked.mind, asked.text, asked.questions_only
    topics = mind.topics
    begins = frozenset() if questions_only else intents.ALL.keys() | {"menu", "thanks"}
    if begins and not is_plain(text):
        begins -= EFFECTS  # about an act that it does not want done

    def allowed(label: str) -> bool:
        return label in topics and (topics[label].kind == "faq" or label in begins)

    ranking = mind.ranker.rank(text, allowed, scores)
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


def meaning(mind: TrainedModel, text: str) -> Meaning:
    """Find what a first message means."""
    return said(text) or likest(Asked(mind, text))
