"""Typing errors: words that no phrase has, one letter away from one that some phrase has."""

from collections import Counter, defaultdict
from collections.abc import Iterable

from carteira.assistant.text import plain

_SHORTEST, _SHORT = 3, 4
"""The shortest corrected words, and the length up to which only a missing letter is added: short words are one letter
away from too many right ones."""
_LEAST = 3
"""The least occurrences of a replacement; rarer ones are as likely to be wrong."""


def _without_one(word: str) -> set[str]:
    return {word[:place] + word[place + 1 :] for place in range(len(word))}


class Speller:
    """Corrects to the words of some texts; accents are ignored in the search and restored in the result.

    Words are indexed by their forms with one letter deleted (symmetric deletion), so that a missing, an extra, a wrong
    or a swapped letter is corrected without comparing every word.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        texts = list(texts)
        self._known = {word for text in texts for word in text.split()}
        written: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for text in texts:
            for word in text.split():
                written[plain(word)][word] += 1
        self._spelt = {bare: forms.most_common(1)[0][0] for bare, forms in written.items()}
        self._times = {bare: forms.total() for bare, forms in written.items()}
        self._near: defaultdict[str, set[str]] = defaultdict(set)
        for bare in self._spelt:
            if len(bare) >= _SHORTEST:
                for part in (bare, *_without_one(bare)):
                    self._near[part].add(bare)

    def correct(self, text: str) -> str:
        """Replace misspelt words by known ones, and add missing accents; the rest is unchanged."""
        return " ".join(self._corrected(word) for word in text.split())

    def _corrected(self, word: str) -> str:
        if word in self._known:
            return word  # "é" is a word, though "e" is written more often
        bare = plain(word)
        if bare in self._spelt:
            return self._spelt[bare]
        if len(bare) < _SHORTEST or not bare.isalpha():
            return word
        found = set(self._near.get(bare, ()))
        for part in _without_one(bare):
            found |= self._near.get(part, set())
        lengths = {len(bare) + 1} if len(bare) <= _SHORT else {len(bare) - 1, len(bare), len(bare) + 1}
        near = [other for other in found if len(other) in lengths and other[0] == bare[0]]
        best = max(near, key=lambda other: (len(other) >= len(bare), self._times[other], other), default=None)
        return word if best is None or self._times[best] < _LEAST else self._spelt[best]
