"""Text as people type and paste it."""

import unicodedata


def is_blank(sign: str) -> bool:
    """Return whether nothing is to be seen of a sign: blanks, controls, and those of no width."""
    return sign.isspace() or unicodedata.category(sign) in {"Cf", "Cc"}


def trim(text: str) -> str:
    """Return a text without the blanks around it, seen or not: phones' keyboards and pasted text leave them there."""
    start, end = 0, len(text)
    while start < end and is_blank(text[start]):
        start += 1
    while start < end and is_blank(text[end - 1]):
        end -= 1
    return text[start:end]


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, whose plural in Portuguese ends with an "s"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
