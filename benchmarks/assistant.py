"""Quality and speed of the assistant's understanding: `make bench-assistant` (`--tuning`: without the held-out set).

The questions were written from the list of topics alone, by people who had not seen the knowledge base. What is chosen
(weights, threshold, phrases) is chosen on the tuning set; the held-out set is written by somebody else, is only
measured, and its questions are never printed. Once measured and tuned further it becomes part of the tuning set, and
fresh questions are written.

- hit@1: the right topic comes first, whether or not it is good enough to answer with; MRR: the mean of 1/its place;
- answered: the right answer was given (the right topic came first and passed the threshold);
- wrong: of questions within scope, those answered with another topic's answer;
- false: of questions out of scope, those answered at all.

Then the sets of acts (`assistant_acts`), and the questions through the whole reading, acts included: a question that
begins an act of another topic is as wrong as one that gets another answer.

The baseline is the usual way: the topic with most words in common, answered from two words on.
"""

import argparse
import json
import os
import resource
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from carteira.assistant.model_cache import TrainedModel

EVALUATION = Path(__file__).parents[1] / "tests" / "assistant" / "evaluation"
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

Answerer = Callable[[str], tuple[list[str], bool]]
"""Ranks the topics for a question, and returns whether the first is good enough."""


@dataclass(frozen=True)
class Question:
    """A question, and the topic that it is about; None: out of scope."""

    text: str
    topic: str | None


@dataclass(frozen=True)
class Figures:
    """The results of one way on one set."""

    hit: float
    mrr: float
    answered: float
    wrong: float
    false: float
    milliseconds: tuple[float, float]

    def __str__(self) -> str:
        p50, p99 = self.milliseconds
        return (
            f"hit@1 {self.hit:6.1%}  MRR {self.mrr:.3f}  answered {self.answered:6.1%}  wrong {self.wrong:6.1%}"
            f"  false {self.false:6.1%}  p50 {p50:5.1f} ms  p99 {p99:5.1f} ms"
        )


def questions(name: str) -> list[Question]:
    """Read a set of the evaluation."""
    lines = (EVALUATION / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    items = [json.loads(line) for line in lines if line.strip()]
    return [Question(item["question"], item["topic"] if item["in_scope"] else None) for item in items]


def measure(asked: Sequence[Question], answerer: Answerer) -> Figures:
    """Ask everything, one after the other, and count."""
    hits, places, answered, wrong, false, times = 0, 0.0, 0, 0, 0, []
    for question in asked:
        began = time.perf_counter()
        ranked, is_answer = answerer(question.text)
        times.append((time.perf_counter() - began) * 1000)
        if question.topic is None:
            false += is_answer
            continue
        is_hit = bool(ranked) and ranked[0] == question.topic
        hits += is_hit
        places += 1 / (ranked.index(question.topic) + 1) if question.topic in ranked else 0
        answered += is_hit and is_answer
        wrong += not is_hit and is_answer
    within = sum(question.topic is not None for question in asked)
    outside = max(1, len(asked) - within)
    times.sort()
    return Figures(
        hits / within,
        places / within,
        answered / within,
        wrong / within,
        false / outside,
        (times[len(times) // 2], times[min(len(times) - 1, int(len(times) * 0.99))]),
    )


def overlap(phrases: Sequence[tuple[str, str]]) -> Answerer:
    """Return the baseline: words in common with a phrase, two at least."""
    from carteira.assistant.text import plain  # noqa: PLC0415 - after the threads are set

    known = [(label, set(plain(phrase).split())) for label, phrase in phrases]

    def answer(text: str) -> tuple[list[str], bool]:
        words = set(plain(text).split())
        best: dict[str, int] = {}
        for label, phrase in known:
            best[label] = max(best.get(label, 0), len(words & phrase))
        ranked = sorted(best, key=lambda label: -best[label])
        return ranked, best[ranked[0]] >= 2  # noqa: PLR2004 - the number of the usual way

    return answer


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tuning", action="store_true", help="leave the held-out set alone")
    parser.add_argument("--postgres", action="store_true", help="compare with ranking in PostgreSQL")
    parser.add_argument("--failures", action="store_true", help="with --tuning: print what went wrong there")
    arguments = parser.parse_args()
    os.environ.update(ONE_THREAD)
    from carteira.assistant.embedding import encoder  # noqa: PLC0415 - numpy reads the environment at import
    from carteira.assistant.knowledge import package  # noqa: PLC0415 - after the threads are set
    from carteira.assistant.model_cache import TrainedModel, phrases  # noqa: PLC0415 - numpy reads the environment
    from carteira.assistant.ranker import OUTSIDE, Ranker  # noqa: PLC0415 - numpy reads the environment at import

    topics = {topic.slug: topic for topic in package()}
    known = phrases(package())
    asked_about = [(label, phrase) for label, phrase in known if label in topics and topics[label].kind == "faq"]

    def by(ranker: Ranker) -> Answerer:
        def answer(text: str) -> tuple[list[str], bool]:
            ranking = ranker.rank(text, lambda label: label != OUTSIDE and topics[label].kind == "faq")
            return [candidate.label for candidate in ranking.candidates], ranking.best is not None

        return answer

    began = time.perf_counter()
    hybrid = Ranker(known, encoder())
    print(f"{len(known)} phrases of {len(topics)} topics learnt in {time.perf_counter() - began:.1f} s, model included")
    ways = {
        "hybrid": by(hybrid),
        "words only": by(Ranker(known)),
        "overlap, same phrases": overlap(asked_about),
        "overlap, titles": overlap([(slug, topic.title) for slug, topic in topics.items() if topic.kind == "faq"]),
    }
    sets = ["tuning"] if arguments.tuning else ["tuning", "heldout"]
    with ExitStack() as running:
        if arguments.postgres:
            ways |= in_postgres(running, known, frozenset(label for label, _ in asked_about))
        for name_of_set in sets:
            asked = questions(name_of_set)
            within = sum(question.topic is not None for question in asked)
            print(f"\n{name_of_set}: {within} questions within scope, {len(asked) - within} out of it")
            for name, answerer in ways.items():
                print(f"  {name:22} {measure(asked, answerer)}")
    model = TrainedModel(0, topics, hybrid)
    print_acts(model, sets, with_missed=arguments.tuning and arguments.failures)
    if arguments.tuning and arguments.failures:
        print_failures(ways["hybrid"])
    print(f"\npeak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


def in_postgres(running: ExitStack, known: Sequence[tuple[str, str]], faq: frozenset[str]) -> dict[str, Answerer]:
    """Return the ways that rank in PostgreSQL, tuned on the tuning set."""
    from benchmarks.assistant_postgres import Fusion, PostgresRanker, connected, tuned  # noqa: PLC0415 - numpy reads the environment
    from carteira.assistant.embedding import encoder  # noqa: PLC0415 - numpy reads the environment at import

    ranker = PostgresRanker(running.enter_context(connected()), known, encoder())
    asked = [(ranker.lists(question.text), question.topic) for question in questions("tuning")]

    def by(fusion: Fusion) -> Answerer:
        def answer(text: str) -> tuple[list[str], bool]:
            ranked, sure = fusion.decide(ranker.lists(text), faq)
            return ranked, sure > fusion.threshold

        return answer

    found = {"PostgreSQL, ranks": tuned(asked, "rank", faq), "PostgreSQL, scores": tuned(asked, "score", faq)}
    for name, fusion in found.items():
        print(f"{name}: {fusion}")
    return {name: by(fusion) for name, fusion in found.items()}


def print_acts(model: "TrainedModel", sets: Sequence[str], *, with_missed: bool) -> None:
    """Print how acts are read, and what becomes of the questions when acts are read, too."""
    from benchmarks import assistant_acts  # noqa: PLC0415 - numpy reads the environment at import

    print("\nacts, as a first message or as an answer")
    for name in (assistant_acts.TUNING, *(assistant_acts.HELD_OUT if "heldout" in sets else ())):
        reading = assistant_acts.measure(model, name)
        print(f"  {name:22} {reading}")
        for row, taken in reading.missed if with_missed and name == assistant_acts.TUNING else ():
            print(f"    MISS   {row['say']} -> {taken} not {row['expect']}")
    print("\nquestions, acts read as well")
    for name in sets:
        found = assistant_acts.questions_read(model, [(question.text, question.topic) for question in questions(name)])
        print(f"  {name:22} " + "  ".join(f"{what} {count}" for what, count in found.most_common()))


def print_failures(answerer: Answerer) -> None:
    """Print the wrong answers on the tuning set."""
    for question in questions("tuning"):
        ranked, is_answer = answerer(question.text)
        if question.topic is None and is_answer:
            print(f"  FALSE  {question.text} -> {ranked[0]}")
        elif question.topic is not None and ranked[0] != question.topic:
            print(f"  MISS   {question.text} -> {ranked[0]} not {question.topic}")
        elif question.topic is not None and not is_answer:
            print(f"  UNSURE {question.text} ({question.topic})")


if __name__ == "__main__":
    main()
