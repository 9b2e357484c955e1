"""Every other page of the documentation with blocks to run, each by itself (`make test-docs`)."""

import shutil
from pathlib import Path

import pytest

from tests.docs.test_first_pages import TUTORIALS
from tests.support.guides import Reader, blocks_of, pages_with_blocks
from tests.support.source import ROOT

GUIDES = [
    page
    for page in pages_with_blocks()
    if page not in {*TUTORIALS, ROOT / "README.md"} and any(block.is_run for block in blocks_of(page))
]

TOOLS = {"watch.md": ("promtool", "amtool")}
"""What a page needs beside a reader's tools."""

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_guide_runs_as_written(reader: Reader, page: Path) -> None:
    if missing := [tool for tool in TOOLS.get(page.name, ()) if not shutil.which(tool)]:
        pytest.skip(f"NO {', '.join(missing)}: the page was not followed (`make proxies`)")
    reader.follow(page)
