"""The first commands of a newcomer, unchanged: the tutorials, then the README, on one `make run`."""

import pytest

from tests.support.guides import Reader
from tests.support.source import ROOT

TUTORIALS = [
    ROOT / "docs" / "tutorials" / f"{name}.md" for name in ("first-purchase", "first-cashback-month", "first-day")
]
"""The tutorials in reading order; their figures are those of fresh demo data."""

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]


def test_the_tutorials_and_the_readme_run_as_written(reader: Reader) -> None:
    """One test, so that one test worker has the product that all of it runs on."""
    assert sorted(TUTORIALS) == sorted((ROOT / "docs" / "tutorials").glob("*.md"))
    for page in (*TUTORIALS, ROOT / "README.md"):
        reader.follow(page)
