"""Normalises text that people type and paste. Texts of more than `MOST_TYPED` characters are left unchanged."""

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
"""Invisible characters of other categories: fillers of Hangul and Braille, joiners, variation selectors."""
MOST_TYPED: Final = 2_000
"""In characters. Longer texts are no typed value, and going through a large body by character would take seconds."""
SEEN_BEYOND: Final = (
    r"\u00a1-\u00ac\u00ae-\u033f\u0391-\u03a1\u03a3-\u052f\u05d0-\u05ea\u0621-\u064a\u3041-\u3096\u30a1-\u30ff"
    r"\u4e00-\u9fff\uac00-\ud7a3"
)
"""Visible characters beyond ASCII, for the character classes of patterns in schemas. Parsers accept more."""
SEEN: Final = "!-~" + SEEN_BEYOND
SEEN_TEXT: Final = f"^[{SEEN}](?:[ {SEEN}]*[{SEEN}])?$"
"""The pattern, in schemas, of a text from whose ends blanks and invisible characters are removed."""
_MINUS: Final = frozenset("\u2043\u2212")
_LOOKS: Final = str.maketrans(
    "АВЕКМНОРСТУХІЅЈаеорсухіѕјΑΒΕΖΗΙΚΜΝΟΡΤΥΧορυν", "ABEKMHOPCTYXISJaeopcyxisjABEZHIKMNOPTYXopuv"
)
"""Cyrillic and Greek letters, mapped to the Latin ones that they look like."""
_DIGIT_LIKE: Final = {"O": "0", "o": "0", "l": "1", "I": "1", "|": "1"}


def is_blank(sign: str) -> bool:
    """Return whether a character is invisible: a blank, a control, or of no width."""
    return sign.isspace() or unicodedata.category(sign) in {"Cf", "Cc"} or ord(sign) in _FILLERS


def trim(text: str) -> str:
    """Return a text without surrounding blanks, visible or not, which keyboards and pasted text leave."""
    start, end = 0, len(text)
    if end > MOST_TYPED:
        return text
    while start < end and is_blank(text[start]):
        start += 1
    while start < end and is_blank(text[end - 1]):
        end -= 1
    return text[start:end]


def compact(text: str, marks: str = "./·") -> str:
    """Return a text without blanks, visible or not, dashes of any kind, and the given marks.

    A number may thus be grouped in any way. `marks` holds neither letters nor digits.
    """
    if len(text) > MOST_TYPED:
        return text
    if text.isascii() and text.isalnum():  # the common case, which needs no loop over characters
        return text
    return "".join(
        sign
        for sign in text
        if sign not in marks and sign not in _MINUS and not is_blank(sign) and unicodedata.category(sign) != "Pd"
    )


def without_unseen(text: str) -> str:
    """Return a text without invisible characters; blanks and controls stay."""
    if len(text) > MOST_TYPED:
        return text
    return "".join(sign for sign in text if unicodedata.category(sign) != "Cf" and ord(sign) not in _FILLERS)


def unspaced(text: str) -> str:
    """Return a text without any blank, visible or not: pasted references and tokens contain none."""
    if len(text) > MOST_TYPED or (text.isascii() and text.isalnum()):
        return text
    return "".join(sign for sign in text if not is_blank(sign))


def look_alike(text: str, *, letters: bool = False) -> str:
    """Return the message about the first character that only looks like a digit; empty if there is none.

    With `letters`, the text may hold letters too, and look-alikes of letters are reported. The message begins with a
    blank, to follow a sentence.
    """
    for sign in text[:MOST_TYPED]:
        seen = _resembled(sign, letters=letters)
        if seen:
            what = "uma letra" if sign.isascii() and sign.isalpha() else "outro caractere"
            return f" “{sign}” parece {seen}, mas é {what}: digite de novo."
    return ""


def _resembled(sign: str, *, letters: bool) -> str:
    """Return the digit or plain letter that a character looks like; empty if it looks like none, or is one."""
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
    """Return a number with its Portuguese noun, whose plural ends in "s"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
