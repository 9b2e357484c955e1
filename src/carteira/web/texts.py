"""The privacy notice and the terms: plain texts, which an installation replaces by its own.

A line that begins with `# ` is a heading, the first one the title; lines that begin with `- ` are a list; lines with a
blank line around them are a paragraph. There is no other markup: everything else is shown as it is.
"""

from dataclasses import dataclass
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from typing import Literal

NAMES = ("privacidade", "termos")


@dataclass(frozen=True, slots=True)
class TextBlock:
    """A heading or a paragraph of one line, or the lines of a list."""

    kind: Literal["heading", "list", "paragraph"]
    lines: tuple[str, ...]


def blocks_of(text: str) -> list[TextBlock]:
    """Return a text's blocks."""
    blocks: list[TextBlock] = []
    for kind, lines in groupby((line.strip() for line in text.splitlines()), key=_kind):
        found = tuple(lines)
        if kind == "heading":
            blocks += [TextBlock("heading", (line[2:],)) for line in found]
        elif kind == "list":
            blocks.append(TextBlock("list", tuple(line[2:] for line in found)))
        elif kind == "paragraph":
            blocks.append(TextBlock("paragraph", (" ".join(found),)))
    return blocks


def _kind(line: str) -> Literal["heading", "list", "paragraph", ""]:
    if not line:
        return ""
    return "heading" if line.startswith("# ") else "list" if line.startswith("- ") else "paragraph"


def read(folder: Path | None, name: str) -> list[TextBlock]:
    """Read a text from the installation's folder, or else the product's."""
    own = None if folder is None else folder / f"{name}.txt"
    if own is not None and own.is_file():
        return blocks_of(own.read_text(encoding="utf-8"))
    return blocks_of(files("carteira.web").joinpath("templates", "public", f"{name}.txt").read_text(encoding="utf-8"))
