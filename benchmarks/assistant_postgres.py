"""The other way to rank, for comparison: PostgreSQL's full text and trigrams and pgvector, fused (ADR 0009).

Each question is one query with three lists of phrases: by stems of words (`portuguese`, without accents), by trigrams,
and by sentence vectors (HNSW). The lists are fused by label: by reciprocal rank, or by weighted scores. Weights and
threshold are chosen on the tuning set.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Literal

import psycopg

from carteira.assistant.embedding import Encoder, Matrix
from carteira.assistant.ranker import OUTSIDE
from carteira.assistant.text import expand, plain
from carteira.embedded import EmbeddedServers

LISTED = 60
RRF = 60
"""The usual constant of reciprocal-rank fusion."""
MOST_FALSE = 0.035
"""The most questions out of scope that may be answered on the tuning set: as many as the in-memory ranker answers."""

_SETUP = """
CREATE EXTENSION IF NOT EXISTS unaccent;
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE EXTENSION IF NOT EXISTS vector;
CREATE TEXT SEARCH CONFIGURATION words (COPY = portuguese);
ALTER TEXT SEARCH CONFIGURATION words ALTER MAPPING FOR hword, hword_part, word WITH unaccent, portuguese_stem;
CREATE TABLE phrases (label text NOT NULL, plain text NOT NULL, words tsvector NOT NULL, meaning vector(512) NOT NULL);
"""
_INDEXES = """
CREATE INDEX ON phrases USING gin (words);
CREATE INDEX ON phrases USING gist (plain gist_trgm_ops);
CREATE INDEX ON phrases USING hnsw (meaning vector_cosine_ops);
ANALYZE phrases;
"""
_LISTS = """
(SELECT 0, label, ts_rank(words, query, 1)
   FROM phrases, (SELECT replace(plainto_tsquery('words', %(text)s)::text, '&', '|')::tsquery AS query) AS asked
  WHERE words @@ query ORDER BY 3 DESC LIMIT %(listed)s)
UNION ALL
(SELECT 1, label, similarity(plain, %(plain)s) FROM phrases ORDER BY plain <-> %(plain)s LIMIT %(listed)s)
UNION ALL
(SELECT 2, label, 1 - (meaning <=> %(meaning)s::vector)
   FROM phrases ORDER BY meaning <=> %(meaning)s::vector LIMIT %(listed)s)
"""

Lists = tuple[dict[str, float], dict[str, float], dict[str, float]]
"""For each list, the score of each label's best phrase, the best label first."""


@dataclass(frozen=True)
class Fusion:
    """A way to turn the three lists into one score for each label."""

    kind: Literal["rank", "score"]
    weights: tuple[float, float, float]
    outside: float = 0.0
    threshold: float = 0.0

    def scores(self, lists: Lists) -> dict[str, float]:
        """Score every label that is on a list, the best first."""
        total: dict[str, float] = {}
        for weight, listed in zip(self.weights, lists, strict=True):
            for rank, (label, score) in enumerate(listed.items()):
                share = 1 / (RRF + rank) if self.kind == "rank" else score
                total[label] = total.get(label, 0) + weight * share
        return dict(sorted(total.items(), key=lambda item: -item[1]))

    def decide(self, lists: Lists, faq: frozenset[str]) -> tuple[list[str], float]:
        """Rank the questions' labels, and return how certain the ranking is."""
        scores = self.scores(lists)
        ranked = [label for label in scores if label in faq]
        return ranked, (scores[ranked[0]] if ranked else 0) - self.outside * scores.get(OUTSIDE, 0)


class PostgresRanker:
    """Phrases in PostgreSQL, queried over one connection."""

    def __init__(self, connection: psycopg.Connection, phrases: Sequence[tuple[str, str]], encoder: Encoder) -> None:
        self._connection, self._encoder = connection, encoder
        texts = [expand(phrase) for _, phrase in phrases]
        connection.execute(_SETUP)
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO phrases VALUES (%s, %s, to_tsvector('words', %s), %s::vector)",
                [
                    (label, plain(text), text, _written(vector))
                    for (label, _), text, vector in zip(phrases, texts, encoder.phrases(texts), strict=True)
                ],
            )
        connection.execute(_INDEXES)

    def lists(self, question: str) -> Lists:
        """Query the three lists."""
        text = expand(question)
        values: Mapping[str, object] = {
            "text": text,
            "plain": plain(text),
            "meaning": _written(self._encoder.questions([text])[0]),
            "listed": LISTED,
        }
        found: Lists = ({}, {}, {})
        for number, label, score in self._connection.execute(_LISTS, values):
            found[number][label] = max(score, found[number].get(label, 0))
        return found


def _written(vector: Matrix) -> str:
    return "[" + ",".join(f"{number:.6f}" for number in vector.tolist()) + "]"


def tuned(asked: Sequence[tuple[Lists, str | None]], kind: Literal["rank", "score"], faq: frozenset[str]) -> Fusion:
    """Choose weights by hit@1, then the threshold by right answers while few questions out of scope are answered."""

    def hits(fusion: Fusion) -> int:
        return sum(fusion.decide(lists, faq)[0][:1] == [topic] for lists, topic in asked if topic)

    grid = product((0.0, 0.25, 0.5, 1.0), (0.0, 0.25, 0.5, 1.0), (1.0,))
    best = max((Fusion(kind, weights) for weights in grid), key=hits)

    def thresholded(outside: float) -> tuple[int, Fusion]:
        fusion = Fusion(kind, best.weights, outside)
        decided = [(*fusion.decide(lists, faq), topic) for lists, topic in asked]
        strangers = sorted((sure for _, sure, topic in decided if topic is None), reverse=True)
        threshold = strangers[int(len(strangers) * MOST_FALSE)]
        right = sum(ranked[:1] == [topic] and sure > threshold for ranked, sure, topic in decided if topic)
        return right, Fusion(kind, best.weights, outside, threshold)

    return max((thresholded(outside) for outside in (0.0, 0.25, 0.5, 0.75, 1.0)), key=lambda found: found[0])[1]


@contextmanager
def connected() -> Iterator[psycopg.Connection]:
    """Start a PostgreSQL of its own, and return a connection to it."""
    with tempfile.TemporaryDirectory() as folder:
        servers = EmbeddedServers(Path(folder))
        endpoints = servers.start()
        try:
            with psycopg.connect(endpoints.superuser_url, autocommit=True) as connection:
                yield connection
        finally:
            servers.stop()
