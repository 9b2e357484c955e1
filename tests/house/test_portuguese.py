"""What people read is in Portuguese: problems, the API's texts, pages, letters and the assistant's answers.

The command line's help is tested by `tests/cli/test_errors.py`.
"""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.contract import openapi_document
from tests.support.portuguese import english_words, texts_of_template
from tests.support.source import ROOT

SOURCE = ROOT / "src" / "carteira"
TEMPLATES = [file for folder in sorted(SOURCE.rglob("templates")) for file in sorted(folder.rglob("*.*"))]
KNOWLEDGE = sorted((SOURCE / "assistant" / "knowledge").glob("[!_]*.toml"))
PROSE = [page for name in ("explanation", "how-to") for page in sorted((ROOT / "docs" / name).glob("*.md"))]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def short_sentences(path: Path) -> Iterator[str]:
    """Return a text's sentences of three to eight words, as long as a problem's detail."""
    text = re.sub(r"^ *```.*?^ *```$|^\|.*$", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    for paragraph in re.split(r"\n\s*\n", text):
        for sentence in re.split(r"(?<=[.:;?])\s", re.sub(r"`[^`]*`|\]\(\S+?\)|\s+", " ", paragraph)):
            if 3 <= len(re.findall(r"[A-Za-z]{2,}", sentence)) <= 8:
                yield sentence


def test_english_is_recognized() -> None:
    """Otherwise nothing here would fail."""
    sentences = [sentence for page in PROSE for sentence in short_sentences(page)]
    missed = [sentence for sentence in sentences if not english_words(sentence)]
    assert len(sentences) > 200
    assert len(missed) / len(sentences) < 0.03, missed
    for text in ("Invalid card number.", "Account not found", "Something is wrong", "A document without its file."):
        assert english_words(text), text


def texts(node: Any, key: str = "") -> Iterator[str]:  # noqa: ANN401 - any JSON
    """Return the texts of the API's description."""
    if isinstance(node, dict):
        for name, inner in node.items():
            if name not in {"const", "default", "enum", "example", "examples"}:
                yield from texts(inner, name)
    elif isinstance(node, list):
        for inner in node:
            yield from texts(inner, key)
    elif isinstance(node, str) and key in {"summary", "description", "title"}:
        yield node


def test_the_api_describes_itself_in_portuguese() -> None:
    document = openapi_document()
    assert {text: words for text in texts(document) if (words := english_words(text))} == {}


def test_problems_are_in_portuguese() -> None:
    """The page is generated from the code."""
    page = (ROOT / "docs" / "reference" / "errors.md").read_text()
    rows = re.findall(r"^\| \d{3} \| `\w+` \| (.+?) \| (.+?) \|$", page, re.MULTILINE)
    assert len(rows) > 200
    assert {text: words for row in rows for text in row if (words := english_words(text))} == {}


@pytest.mark.parametrize("file", TEMPLATES, ids=name_of)
def test_pages_and_letters_are_in_portuguese(file: Path) -> None:
    assert [word for text in texts_of_template(file) for word in english_words(text)] == []


@pytest.mark.parametrize("file", KNOWLEDGE, ids=name_of)
def test_the_assistant_answers_in_portuguese(file: Path) -> None:
    topics = tomllib.loads(file.read_text())
    said = [topic[name] for topic in topics.values() for name in ("title", "answer") if name in topic]
    assert said
    assert [word for text in said for word in english_words(text)] == []
