"""Ranking: which topic a text is about, by vectors and words at once. Pure, no I/O.

A text is compared with every phrase of every topic in three ways: sentence vectors (centred on the phrases' mean),
character n-grams (typing errors), and words and pairs of words, the latter two weighted by rarity. The three
similarities are fused into one kernel, and a ridge regression over the phrases learns from it which topic each belongs
to; what is none of our business is one more class, learnt from examples. ADR 0011 has the figures.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from carteira.assistant.embedding import Encoder, Matrix
from carteira.assistant.spelling import Speller
from carteira.assistant.text import MAX_UNDERSTOOD, expand, plain

OUTSIDE = "outside"
"""The label of what the assistant does not answer."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """How the similarities are fused. Chosen on the tuning set of the evaluation (`make bench-assistant`)."""

    vector: float
    characters: float
    words: float
    width: float
    ridge: float
    outside: float
    threshold: float


HYBRID = Tuning(vector=1.0, characters=0.25, words=0.1, width=0.35, ridge=0.02, outside=1.0, threshold=0.22)
LEXICAL = Tuning(vector=0.0, characters=0.6, words=0.4, width=0.8, ridge=0.3, outside=0.8, threshold=0.2)

_STOP = frozenset(
    [
        "a",
        "o",
        "as",
        "os",
        "de",
        "da",
        "do",
        "das",
        "dos",
        "e",
        "em",
        "no",
        "na",
        "nos",
        "nas",
        "um",
        "uma",
        "que",
        "eu",
        "me",
        "meu",
        "minha",
        "meus",
        "minhas",
        "para",
        "pra",
        "pro",
        "por",
        "com",
        "se",
        "ao",
        "aos",
        "sua",
        "seu",
        "como",
        "qual",
        "quais",
        "eh",
        "ta",
        "esta",
        "foi",
        "ser",
        "ter",
        "tem",
        "ha",
        "ou",
    ]
)
_GRAMS = (2, 3, 4, 5)
_STEM = 6


@dataclass(frozen=True, slots=True)
class Candidate:
    """A topic and how well it fits; above the threshold it is an answer."""

    label: str
    score: float


@dataclass(frozen=True, slots=True)
class Ranking:
    """The topics, the best first, and whether the best is good enough to answer with."""

    candidates: Sequence[Candidate]
    confidence: float
    threshold: float

    @property
    def best(self) -> Candidate | None:
        """The topic to answer with, if any is good enough."""
        return self.candidates[0] if self.candidates and self.confidence > self.threshold else None


def _characters(words: Sequence[str]) -> list[str]:
    return [
        padded[start : start + size]
        for word in words
        for padded in (f"^{word}$",)
        for size in _GRAMS
        for start in range(len(padded) - size + 1)
    ]


def _words(words: Sequence[str]) -> list[str]:
    stems = [word[:_STEM] for word in words if word not in _STOP]
    return stems + [f"{one} {other}" for one, other in pairwise(words)]


class _Index:
    """An inverted index of weighted features: the cosine of a text with every phrase."""

    def __init__(self, texts: Sequence[str], features: Callable[[Sequence[str]], list[str]]) -> None:
        self._features = features
        self._size = len(texts)
        counted = [Counter(features(text.split())) for text in texts]
        frequency: Counter[str] = Counter()
        for counts in counted:
            frequency.update(counts.keys())
        self._rarity = {feature: math.log(1 + self._size / times) for feature, times in frequency.items()}
        self._unknown = math.log(1 + self._size)
        places: dict[str, tuple[list[int], list[float]]] = {feature: ([], []) for feature in frequency}
        for place, counts in enumerate(counted):
            for feature, weight in self._weigh(counts):
                places[feature][0].append(place)
                places[feature][1].append(weight)
        self._places = {
            feature: (np.array(where, dtype=np.intp), np.array(weights, dtype=np.float32))
            for feature, (where, weights) in places.items()
        }

    def _weigh(self, counts: Counter[str]) -> list[tuple[str, float]]:
        """Weigh a text's known features; unknown ones make it longer, so that strange texts resemble nothing."""
        known, square = [], 1e-9
        for feature, times in counts.items():
            rarity = self._rarity.get(feature)
            weight = (1 + math.log(times)) * (self._unknown if rarity is None else rarity)
            if rarity is None:
                square += 0.3 * weight * weight
            else:
                square += weight * weight
                known.append((feature, weight))
        length = math.sqrt(square)
        return [(feature, weight / length) for feature, weight in known]

    def similarities(self, text: str) -> Matrix:
        scores = np.zeros(self._size, dtype=np.float32)
        for feature, weight in self._weigh(Counter(self._features(text.split()))):
            where, weights = self._places[feature]
            scores[where] += np.float32(weight) * weights
        return scores


@dataclass
class Ranker:
    """Knows the phrases of some topics. Immutable once made; making one takes about a second."""

    phrases: Sequence[tuple[str, str]]
    """(label, phrase)"""
    encoder: Encoder | None = None
    tuning: Tuning | None = None
    labels: list[str] = field(init=False)

    def __post_init__(self) -> None:
        """Learn the phrases."""
        self._tuning = self.tuning or (HYBRID if self.encoder else LEXICAL)
        expanded = [expand(phrase) for _, phrase in self.phrases]
        self._speller = Speller(expanded)
        texts = [plain(phrase) for phrase in expanded]
        self.labels = sorted({label for label, _ in self.phrases})
        self._indexes = [
            (self._tuning.characters, _Index(texts, _characters)),
            (self._tuning.words, _Index(texts, _words)),
        ]
        kernel = np.stack([self._lexical(text) for text in texts])
        if self.encoder is not None:
            vectors = self.encoder.phrases(expanded)
            self._mean = vectors.mean(axis=0)
            self._vectors = _unit(vectors - self._mean)
            kernel += self._tuning.vector * (self._vectors @ self._vectors.T)
        place = {label: number for number, label in enumerate(self.labels)}
        wanted = np.zeros((len(texts), len(self.labels)), dtype=np.float32)
        wanted[np.arange(len(texts)), [place[label] for label, _ in self.phrases]] = 1
        regular = self._bend(kernel)
        regular[np.diag_indices_from(regular)] += np.float32(self._tuning.ridge)
        self._learnt = np.linalg.solve(regular, wanted)

    def _lexical(self, text: str) -> Matrix:
        total = np.zeros(len(self.phrases), dtype=np.float32)
        for weight, index in self._indexes:
            total += np.float32(weight) * index.similarities(text)
        return total

    def _bend(self, similarity: Matrix) -> Matrix:
        """Make near phrases count much more than far ones (a Gaussian of the distance)."""
        same = self._tuning.characters + self._tuning.words + (self._tuning.vector if self.encoder else 0)
        bent: Matrix = np.exp((similarity - np.float32(same)) * np.float32(2 * self._tuning.width))
        return bent

    def scores(self, text: str) -> NDArray[np.float32]:
        """Give how well each label of `labels` fits."""
        text = self._speller.mend(expand(text[:MAX_UNDERSTOOD]))
        similarity = self._lexical(plain(text))
        if self.encoder is not None:
            vector = self.encoder.question(text) - self._mean
            similarity += self._tuning.vector * (self._vectors @ _unit(vector[None])[0])
        scores: NDArray[np.float32] = self._bend(similarity) @ self._learnt
        return scores

    def rank(self, text: str, allowed: Callable[[str], bool] = lambda _: True) -> Ranking:
        """Rank the allowed labels for a text, the best first; what is outside only lowers the confidence."""
        if not plain(text):
            return Ranking([], 0, self._tuning.threshold)
        by_label = dict(zip(self.labels, self.scores(text).tolist(), strict=True))
        outside = max(0.0, by_label.pop(OUTSIDE, 0.0))
        ranked = sorted(
            (Candidate(label, score) for label, score in by_label.items() if allowed(label)),
            key=lambda candidate: -candidate.score,
        )
        confidence = ranked[0].score - self._tuning.outside * outside if ranked else 0
        return Ranking(ranked, confidence, self._tuning.threshold)


def _unit(vectors: Matrix) -> Matrix:
    unit: Matrix = vectors / (np.linalg.norm(vectors, axis=1, keepdims=True) + np.float32(1e-9))
    return unit
