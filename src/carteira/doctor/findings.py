"""A finding: the result of a check in one line, in Portuguese, with advice."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "fail"]
_ORDER: tuple[Level, ...] = ("ok", "warn", "fail")


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The result of a check, how bad it is, and what to do about it."""

    area: str
    level: Level
    text: str
    advice: str | None = None


def ok(area: str, text: str) -> Diagnosis:
    """Return the finding that something is well."""
    return Diagnosis(area, "ok", text)


def warn(area: str, text: str, advice: str | None = None) -> Diagnosis:
    """Return the finding that something works but is not as it should be."""
    return Diagnosis(area, "warn", text, advice)


def fail(area: str, text: str, advice: str | None = None) -> Diagnosis:
    """Return the finding that something does not work, or is not safe."""
    return Diagnosis(area, "fail", text, advice)


def finding_of(area: str, level: Level, sentence: str, advice: str | None = None) -> Diagnosis:
    """Return a finding from a sentence: a text, then a colon and advice.

    If the sentence has no advice, `advice` is taken.
    """
    text, _, said = sentence.partition(": ")
    return Diagnosis(area, level, text.removesuffix("."), said.removesuffix(".") or advice)


def worst(findings: Iterable[Diagnosis]) -> Level:
    """Return the worst level among findings."""
    return max((finding.level for finding in findings), key=_ORDER.index, default="ok")
