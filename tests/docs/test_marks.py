"""A test runs each shell block of the documentation, or the block gives a reason why not."""

import itertools
import re
from io import StringIO
from pathlib import Path

import pytest
from dotenv import dotenv_values

from carteira.kit.security.age import PrivateKey
from carteira.settings import Settings
from tests.support.app import settings_for
from tests.support.guides import Block, blocks_of, pages_with_blocks
from tests.support.source import ROOT

PAGES = pages_with_blocks()
OF_SETTINGS = [
    (page, block)
    for page in sorted((ROOT / "docs").rglob("*.md"))
    for block in blocks_of(page)
    if block.language == "dotenv"
]
RUN_AT_LEAST = 154


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def is_marked(block: Block) -> bool:
    """Return whether a block has a mark, perhaps with HTTP errors, or a reason, and not both."""
    if block.is_run:
        return block.reason is None and all(word.isdigit() and 400 <= int(word) < 600 for word in block.words[1:])
    return block.reason is not None and not block.words


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_shell_block_is_run_or_says_why_not(page: Path) -> None:
    assert not [block.line for block in blocks_of(page) if block.is_shell and not is_marked(block)]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_reason_names_tests_that_exist(page: Path) -> None:
    reasons = [block.reason for block in blocks_of(page) if block.is_shell and block.reason]
    named = {name for reason in reasons for name in re.findall(r"tests(?:/\w+)+(?:\.py)?", reason)}
    assert not [name for name in named if not (ROOT / name).exists()]


@pytest.mark.parametrize(("page", "block"), OF_SETTINGS, ids=lambda one: getattr(one, "name", getattr(one, "line", "")))
def test_lines_of_settings_are_accepted(page: Path, block: Block, tmp_path: Path) -> None:
    """A value with `…` stands for the reader's own."""
    lines = StringIO(block.text.replace("age1…", PrivateKey.make().public))
    values = {name.lower(): value for name, value in dotenv_values(stream=lines).items()}
    assert values
    assert not values.keys() - Settings.model_fields.keys(), page
    settings_for(tmp_path, **{name: value for name, value in values.items() if "…" not in (value or "")})


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_printed_blocks_follow_run_blocks(page: Path) -> None:
    blocks = blocks_of(page)
    assert not blocks[0].is_printed
    assert not [second.line for first, second in itertools.pairwise(blocks) if second.is_printed and not first.is_run]


def test_pages_that_are_run_stay_so() -> None:
    """Otherwise a page that lost its marks would go unnoticed."""
    run = [block for page in PAGES for block in blocks_of(page) if block.is_run]
    assert len(run) >= RUN_AT_LEAST


def test_a_block_is_parsed_with_its_reason(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A\n\n```sh run 409\ntrue\n```\n\n1. B\n\n   <!-- not run: it is far -->\n   ```console\n   $ go\n   ```\n"
    )
    run, left = blocks_of(page)
    assert (run.is_run, run.words, run.text, run.reason) == (True, ("run", "409"), "true\n", None)
    assert (left.is_run, left.text, left.reason, left.line) == (False, "   $ go\n", "it is far", 10)
