"""Ranks topics for a text, by vectors and words together. Pure, no I/O.

A text is compared with every phrase of every topic in three ways: sentence vectors (centred on the phrases' mean),
character n-grams (typing errors), and words and pairs of words, the latter two weighted by rarity. The three
similarities are fused into one kernel, and a ridge regression over the phrases learns from it which topic each belongs
to; out of scope is one more class, learnt from examples. ADR 0009 has the figures.
"""

import hashlib
import math
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from carteira.assistant.embedding import Encoder, Matrix
from carteira.assistant.matrix_store import MatrixStore
from carteira.assistant.spelling import Speller
from carteira.assistant.text import MAX_UNDERSTOOD, expand, plain

OUTSIDE = "outside"
"""The label of texts out of scope."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """The weights of the similarities, chosen on the tuning set of the evaluation (`make bench-assistant`)."""

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
_LEARNING = 1
"""Raise it when this file's training changes, so that stored results are not used."""
_GRAMS = (2, 3, 4, 5)
_STEM = 6
_COMMON = 200
"""A feature of at least this many phrases is added to the kernel as a column of a matrix."""
_BLOCK = 256
"""Rows or columns per block during training."""


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
        self._features, self._size = features, len(texts)
        self._numbers: dict[str, int] = {}
        numbers, times, sizes = array("i"), array("i"), array("i")  # no objects for the garbage collector
        for text in texts:
            counts = Counter(features(text.split()))
            numbers.extend(self._numbers.setdefault(feature, len(self._numbers)) for feature in counts)
            times.extend(counts.values())
            sizes.append(len(counts))
        number = np.array(numbers, dtype=np.int32)
        place = np.repeat(np.arange(self._size, dtype=np.int32), np.array(sizes))
        frequency = np.bincount(number)
        rarity = np.log(1 + self._size / frequency)
        weight = (1 + np.log(np.array(times))) * rarity[number]
        weight /= np.sqrt(np.bincount(place, weight * weight, self._size) + 1e-9)[place]
        order = np.argsort(number, kind="stable")
        self._where, self._weights = place[order], weight[order].astype(np.float32)
        self._starts: list[int] = [0, *np.cumsum(frequency).tolist()]
        self._rarity: list[float] = rarity.tolist()
        self._unknown = math.log(1 + self._size)

    def _weigh(self, counts: Counter[str]) -> tuple[list[int], list[float]]:
        """Return a text's weighted features; unknown ones add to its norm, so that strange texts resemble nothing."""
        numbers, weights, square = [], [], 1e-9
        for feature, times in counts.items():
            number = self._numbers.get(feature)
            weight = (1 + math.log(times)) * (self._unknown if number is None else self._rarity[number])
            if number is None:
                square += 0.3 * weight * weight
            else:
                square += weight * weight
                numbers.append(number)
                weights.append(weight)
        length = math.sqrt(square)
        return numbers, [weight / length for weight in weights]

    def _phrases(self, number: int) -> slice:
        return slice(self._starts[number], self._starts[number + 1])

    def similarities(self, text: str) -> Matrix:
        """Return the cosine of a text with every phrase."""
        numbers, weights = self._weigh(Counter(self._features(text.split())))
        if not numbers:
            return np.zeros(self._size, dtype=np.float32)
        found = [self._phrases(number) for number in numbers]
        where = np.concatenate([self._where[part] for part in found])
        shares = np.concatenate([self._weights[part] for part in found])
        shares *= np.repeat(np.array(weights, dtype=np.float32), [part.stop - part.start for part in found])
        return np.bincount(where, shares, self._size).astype(np.float32)

    def add_kernel(self, kernel: Matrix, weight: float) -> None:
        """Add the weighted cosines of all pairs of phrases, in blocks, so that other threads can run."""
        root = np.float32(math.sqrt(weight))
        common = []
        for part in map(self._phrases, range(len(self._rarity))):
            if part.stop - part.start > _COMMON:
                common.append(part)
                continue
            where, weights = self._where[part], root * self._weights[part]
            kernel[np.ix_(where, where)] += np.outer(weights, weights)
        for first in range(0, len(common), _BLOCK):
            block = common[first : first + _BLOCK]
            dense = np.zeros((self._size, len(block)), dtype=np.float32)
            for column, part in enumerate(block):
                dense[self._where[part], column] = root * self._weights[part]
            _add_product(kernel, dense)


def _add_product(kernel: Matrix, rows: Matrix) -> None:
    """Add the products of all pairs of rows in blocks, which saves a copy of the kernel."""
    for first in range(0, len(rows), _BLOCK):
        kernel[first : first + _BLOCK] += rows[first : first + _BLOCK] @ rows.T


@dataclass
class Ranker:
    """Ranks the topics of some phrases. Immutable.

    Making one takes five seconds of processor time, two with a stored result.
    """

    phrases: Sequence[tuple[str, str]]
    """(label, phrase)"""
    encoder: Encoder | None = None
    tuning: Tuning | None = None
    kept: MatrixStore | None = None
    """The store of results."""
    labels: list[str] = field(init=False)

    def __post_init__(self) -> None:
        """Train on the phrases."""
        self._tuning = self.tuning or (HYBRID if self.encoder else LEXICAL)
        expanded = [expand(phrase) for _, phrase in self.phrases]
        self._speller = Speller(expanded)
        texts = [plain(phrase) for phrase in expanded]
        self.labels = sorted({label for label, _ in self.phrases})
        self._indexes = [
            (self._tuning.characters, _Index(texts, _characters)),
            (self._tuning.words, _Index(texts, _words)),
        ]
        if self.encoder is not None:
            vectors = self.encoder.phrases(expanded)
            self._mean = vectors.mean(axis=0)
            self._vectors = _unit(vectors - self._mean)
        self._learnt = self.kept.get(self._digest(texts), self._train) if self.kept else self._train()

    def _digest(self, texts: Sequence[str]) -> str:
        """Return the digest of all inputs of the training: normalised texts, labels, weights, vectors, numpy."""
        digest = hashlib.sha256(f"{_LEARNING} {np.__version__} {self._tuning}".encode())
        for (label, _), text in zip(self.phrases, texts, strict=True):
            digest.update(f"{label}\0{text}\n".encode())
        if self.encoder is not None:
            digest.update(self._vectors.tobytes())
        return digest.hexdigest()

    def _train(self) -> Matrix:
        size = len(self.phrases)
        kernel = np.zeros((size, size), dtype=np.float32)
        for weight, index in self._indexes:
            index.add_kernel(kernel, weight)
        if self.encoder is not None:
            _add_product(kernel, np.float32(math.sqrt(self._tuning.vector)) * self._vectors)
        place = {label: number for number, label in enumerate(self.labels)}
        wanted = np.zeros((size, len(self.labels)), dtype=np.float32)
        wanted[np.arange(size), [place[label] for label, _ in self.phrases]] = 1
        for first in range(0, size, _BLOCK):
            kernel[first : first + _BLOCK] = self._bend(kernel[first : first + _BLOCK])
        kernel[np.diag_indices_from(kernel)] += np.float32(self._tuning.ridge)
        return _solve(kernel, wanted)

    def _lexical(self, text: str) -> Matrix:
        total = np.zeros(len(self.phrases), dtype=np.float32)
        for weight, index in self._indexes:
            total += np.float32(weight) * index.similarities(text)
        return total

    def _bend(self, similarity: Matrix) -> Matrix:
        """Apply a Gaussian of the distance, so that near phrases count much more than far ones."""
        same = self._tuning.characters + self._tuning.words + (self._tuning.vector if self.encoder else 0)
        bent: Matrix = np.exp((similarity - np.float32(same)) * np.float32(2 * self._tuning.width))
        return bent

    def scores(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return how well each label of `labels` fits each text, one row per text.

        Several texts together take far less time than one by one, since weights and phrases are read once.
        """
        corrected = [self._speller.correct(expand(text[:MAX_UNDERSTOOD])) for text in texts]
        similarity = np.stack([self._lexical(plain(text)) for text in corrected])
        if self.encoder is not None:
            vectors = _unit(self.encoder.questions(corrected) - self._mean)
            similarity += np.float32(self._tuning.vector) * (vectors @ self._vectors.T)
        scores: NDArray[np.float32] = self._bend(similarity) @ self._learnt
        return scores

    def rank(
        self, text: str, allowed: Callable[[str], bool] = lambda _: True, scores: NDArray[np.float32] | None = None
    ) -> Ranking:
        """Rank the allowed labels for a text, the best first; out of scope only lowers the confidence.

        `scores` are the text's scores, if they are computed already.
        """
        if not plain(text):
            return Ranking([], 0, self._tuning.threshold)
        if scores is None:
            (scores,) = self.scores([text])
        by_label = dict(zip(self.labels, scores.tolist(), strict=True))
        outside = max(0.0, by_label.pop(OUTSIDE, 0.0))
        ranked = sorted(
            (Candidate(label, score) for label, score in by_label.items() if allowed(label)),
            key=lambda candidate: -candidate.score,
        )
        confidence = ranked[0].score - self._tuning.outside * outside if ranked else 0
        return Ranking(ranked, confidence, self._tuning.threshold)


def _solve(matrix: Matrix, wanted: Matrix) -> Matrix:
    """Solve a symmetric positive definite system by Cholesky's way, in blocks and in place.

    numpy's own goes through float64 and three copies of the matrix.
    """
    blocks = [slice(first, min(first + _BLOCK, len(matrix))) for first in range(0, len(matrix), _BLOCK)]
    inverses = []
    for block in blocks:
        before, after = slice(0, block.start), slice(block.stop, None)
        if block.start:
            matrix[block.start :, block] -= matrix[block.start :, before] @ matrix[block, before].T
        inverse = np.linalg.inv(np.linalg.cholesky(matrix[block, block].astype(np.float64))).astype(np.float32)
        matrix[after, block] = matrix[after, block] @ inverse.T
        inverses.append(inverse)
    for block, inverse in zip(blocks, inverses, strict=True):
        before = slice(0, block.start)
        wanted[block] = inverse @ (wanted[block] - matrix[block, before] @ wanted[before])
    for block, inverse in reversed(list(zip(blocks, inverses, strict=True))):
        after = slice(block.stop, None)
        wanted[block] = inverse.T @ (wanted[block] - matrix[after, block].T @ wanted[after])
    return wanted


def _unit(vectors: Matrix) -> Matrix:
    unit: Matrix = vectors / (np.linalg.norm(vectors, axis=1, keepdims=True) + np.float32(1e-9))
    return unit
