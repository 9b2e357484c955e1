"""Text as people type and paste it. A text of more than `MOST_TYPED` signs is left as it is: it is none of those."""

import unicodedata
from itertools import chain
from typing import Final

_FILLERS: Final = frozenset(
    chain(
        (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0),
        range(0x180B, 0x1810),
        range(0xFE00, 0xFE10),
        range(0xE0100, 0xE01F0),
    )
)
"""Signs of other categories that nothing is seen of: fillers of Hangul and Braille, joiners, variation selectors."""
MOST_TYPED: Final = 2_000
"""Signs. What is longer is nothing that is read here: looked at a sign at a time, a body full of them takes seconds."""
SEEN_BEYOND: Final = (
    r"\u00a1-\u00ac\u00ae-\u033f\u0391-\u03a1\u03a3-\u052f\u05d0-\u05ea\u0621-\u064a\u3041-\u3096\u30a1-\u30ff"
    r"\u4e00-\u9fff\uac00-\ud7a3"
)
"""Signs that are seen, beyond ASCII, as a part of a pattern's class: what schemas say of texts. Readers take more."""
SEEN: Final = "!-~" + SEEN_BEYOND
SEEN_TEXT: Final = f"^[{SEEN}](?:[ {SEEN}]*[{SEEN}])?$"
"""What schemas say of a text whose blanks around it, and whatever is not seen, are taken away."""
_MINUS: Final = frozenset("\u2043\u2212")
_LOOKS: Final = str.maketrans(
    "АВЕКМНОРСТУХІЅЈаеорсухіѕјΑΒΕΖΗΙΚΜΝΟΡΤΥΧορυν", "ABEKMHOPCTYXISJaeopcyxisjABEZHIKMNOPTYXopuv"
)
"""Cyrillic and Greek letters, and the Latin ones that they look like."""
_DIGIT_LIKE: Final = {"O": "0", "o": "0", "l": "1", "I": "1", "|": "1"}


def is_blank(sign: str) -> bool:
    """Return whether nothing is to be seen of a sign: blanks, controls, and those of no width."""
    return sign.isspace() or unicodedata.category(sign) in {"Cf", "Cc"} or ord(sign) in _FILLERS


def trim(text: str) -> str:
    """Return a text without the blanks around it, seen or not: phones' keyboards and pasted text leave them there."""
    start, end = 0, len(text)
    if end > MOST_TYPED:
        return text
    while start < end and is_blank(text[start]):
        start += 1
    while start < end and is_blank(text[end - 1]):
        end -= 1
    return text[start:end]


def compact(text: str, marks: str = "./·") -> str:
    """Return a text without blanks, seen or not, without dashes of any kind, and without the marks that are named.

    So a number is read however it is grouped. Marks are neither letters nor digits.
    """
    if len(text) > MOST_TYPED:
        return text
    if text.isascii() and text.isalnum():  # as nearly all come: a sign at a time costs more than the rest of a read
        return text
    return "".join(
        sign
        for sign in text
        if sign not in marks and sign not in _MINUS and not is_blank(sign) and unicodedata.category(sign) != "Pd"
    )


def without_unseen(text: str) -> str:
    """Return a text without the signs that nothing is seen of; blanks and controls stay."""
    if len(text) > MOST_TYPED:
        return text
    return "".join(sign for sign in text if unicodedata.category(sign) != "Cf" and ord(sign) not in _FILLERS)


def unspaced(text: str) -> str:
    """Return a text without any blank, seen or not: a reference or a token that was pasted has none of its own."""
    if len(text) > MOST_TYPED or (text.isascii() and text.isalnum()):
        return text
    return "".join(sign for sign in text if not is_blank(sign))


def look_alike(text: str, *, letters: bool = False) -> str:
    """Return what a person is told of the first sign that looks like a digit and is none; nothing if there is none.

    With `letters`, letters may stand in the text too, and those that look like one are told. What is told begins with a
    blank, to follow a sentence.
    """
    for sign in text[:MOST_TYPED]:
        seen = _seen_as(sign, letters=letters)
        if seen:
            what = "uma letra" if sign.isascii() and sign.isalpha() else "outro caractere"
            return f" “{sign}” parece {seen}, mas é {what}: digite de novo."
    return ""


def _seen_as(sign: str, *, letters: bool) -> str:
    """Return the digit, or the plain letter, that a sign looks like; nothing where it looks like none, or is it."""
    if sign.isascii():
        return "" if letters else _DIGIT_LIKE.get(sign, "")
    digit = unicodedata.digit(sign, None)
    if digit is not None:
        return str(digit)
    plain = unicodedata.normalize("NFKC", sign).translate(_LOOKS)
    if len(plain) != 1 or not plain.isascii() or not plain.isalnum():
        return ""
    return plain if letters or plain.isdigit() else _DIGIT_LIKE.get(plain, "")


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, whose plural in Portuguese ends with an "s"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
