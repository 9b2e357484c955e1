"""A test runs each shell block of the documentation, or the block gives a reason why not."""

import itertools
from pathlib import Path

import pytest

from tests.support.guides import Block, blocks_of, pages_with_blocks
from tests.support.source import ROOT

PAGES = pages_with_blocks()
RUN_AT_LEAST = 113


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
def test_printed_blocks_follow_run_blocks(page: Path) -> None:
    blocks = blocks_of(page)
    assert not blocks[0].is_printed
    assert not [second.line for first, second in itertools.pairwise(blocks) if second.is_printed and not first.is_run]


def test_pages_that_are_run_stay_so() -> None:
    """Otherwise a page that lost its marks would go unnoticed."""
    run = [block for page in PAGES for block in blocks_of(page) if block.is_run]
    assert len(run) >= RUN_AT_LEAST


def test_a_block_knows_its_reason(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A\n\n```sh run 409\ntrue\n```\n\n1. B\n\n   <!-- not run: it is far -->\n   ```console\n   $ go\n   ```\n"
    )
    run, left = blocks_of(page)
    assert (run.is_run, run.words, run.text, run.reason) == (True, ("run", "409"), "true\n", None)
    assert (left.is_run, left.text, left.reason, left.line) == (False, "   $ go\n", "it is far", 10)
