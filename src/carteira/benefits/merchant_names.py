"""Merchants' names for people, from the names that card machines send."""

import re

_SMALL = frozenset({"a", "as", "da", "das", "de", "do", "dos", "e", "em", "o", "os"})


def merchant_name(text: str) -> str:
    """Return a merchant's name for people: the part before the processor's gap, not in capitals."""
    name = " ".join(re.split(r" {2,}", text.strip(), maxsplit=1)[0].split())
    if not name.isupper():
        return name
    words = name.lower().split(" ")
    return " ".join(
        word if place and word in _SMALL else word[:1].upper() + word[1:] for place, word in enumerate(words)
    )
