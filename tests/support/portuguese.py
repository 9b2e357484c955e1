"""Whether texts for people are in Portuguese, by the shape of their words.

Hardly a sentence in English lacks a word that Portuguese cannot spell: one that ends in `d`, `t` or `g`, or has `k`,
`w`, `y`, `th` or a doubled consonant. `tests/house/test_portuguese.py` measures how many sentences this finds.
"""

import re
from html.parser import HTMLParser
from pathlib import Path

from jinja2 import Environment

_CODE = re.compile(
    r"`[^`]*`"  # code
    r"|\b(?:If-(?:None-)?Match|Idempotency-Key|QR code|Standard Webhooks)\b"
    r"|\S*[_/=@{}<>\[\]#|]\S*"  # addresses, names of settings, placeholders
    r"|(?<!\w)-?-[a-z][\w-]*|\w+--\w+"  # options of commands, classes of style
    r"|\b[A-Z0-9]*[A-Z][A-Z0-9]+s?\b"  # abbreviations
    r"|\b\w+\.\w+\b"  # files and domains
)
_WORD = re.compile(r"[^\W\d_]{2,}")
_ENGLISH_SHAPE = re.compile(r"[kwy]|th|sh|ph|ck|gh|([bdfghjlmnptvz])\1|[bcdfghjkpqtvwy]$")
_ENGLISH_IN_PORTUGUESE_SHAPE = re.compile(
    """an|are|be|before|case|changes?|close|codes?|dates?|done|errors?|files?|from|has|have|here|in|is|issues?|lines?|
    messages?|names?|numbers?|on|one|or|others?|our|out|pages?|please|price|purchases?|reasons?|response|roles|same|
    services?|size|states?|stores?|tables?|take|taken|there|times?|title|types?|unavailable|users?|values?|were|where|
    your""",
    re.VERBOSE,
)
_TAKEN_INTO_PORTUGUESE = re.compile(
    """art|backups?|basic|cashback|chip|cpf|download|env|etag|flash|hashes|https|id|internet|kib|links?|log|mib|
    multipart|null|oauth|parquet|passkeys?|proxy|scorecard|sob|tokens?|txid|webhooks?|wi|worker|
    esc|facebook|ifood|iphone|javascript|lock|word""",  # products of others, and keys of a keyboard
    re.VERBOSE,
)
"""Words and names that people in Brazil read as they are, abbreviations in small letters, and `sob` and `art.`."""
_SAID = {"alt", "aria-label", "content", "placeholder", "title"}
"""Attributes of HTML that people read."""
_NOT_SAID = {"code", "kbd", "script", "style"}


def english_words(text: str) -> list[str]:
    """Return the words of a text that are not Portuguese; code and abbreviations do not count."""
    return [word for word in _WORD.findall(_CODE.sub(" ", text)) if _is_english(word.lower())]


def _is_english(word: str) -> bool:
    if _TAKEN_INTO_PORTUGUESE.fullmatch(word):
        return False
    return bool(_ENGLISH_IN_PORTUGUESE_SHAPE.fullmatch(word) or _ENGLISH_SHAPE.search(word))


class _Shown(HTMLParser):
    """The texts of a page that people read."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._hidden = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden = self._hidden or tag in _NOT_SAID
        self.texts += [value for name, value in attrs if value and name in _SAID and tag != "meta"]

    def handle_endtag(self, tag: str) -> None:
        self._hidden = self._hidden and tag not in _NOT_SAID

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.texts.append(data)


def texts_of_template(file: Path) -> list[str]:
    """Return the texts of a template that people read, without its expressions."""
    pieces = Environment(autoescape=True).lex(file.read_text())
    source = " ".join(text for _, kind, text in pieces if kind == "data")
    if file.suffix != ".html":
        return [source]
    shown = _Shown()
    shown.feed(source)
    return shown.texts
