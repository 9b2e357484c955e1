"""The page about high availability shows the files that the test of failover runs."""

from pathlib import Path

import pytest

from tests.support.source import ROOT

FILES = sorted((ROOT / "deploy" / "ha").iterdir())


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_page_shows_the_file_that_is_tried(file: Path) -> None:
    page = (ROOT / "docs" / "how-to" / "fail-over.md").read_text()
    assert f"\n{file.read_text()}```\n" in page
