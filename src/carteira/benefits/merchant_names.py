"""Merchants' names as people read them, out of what card machines send."""

import re

_SMALL = frozenset({"a", "as", "da", "das", "de", "do", "dos", "e", "em", "o", "os"})


def merchant_name(text: str) -> str:
    """Write a merchant as people do: the name before the gap that the processor leaves, without its capitals."""
    name = " ".join(re.split(r" {2,}", text.strip(), maxsplit=1)[0].split())
    if not name.isupper():
        return name
    words = name.lower().split(" ")
    return " ".join(
        word if place and word in _SMALL else word[:1].upper() + word[1:] for place, word in enumerate(words)
    )
