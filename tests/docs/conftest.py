from collections.abc import Iterator

import pytest

from tests.support import guides


@pytest.fixture(scope="session")
def reader() -> Iterator[guides.Reader]:
    """A reader who follows the pages, one after the other, on one `make run`."""
    if missing := guides.missing_tools():
        pytest.skip(f"NO {', '.join(missing)}: the pages were not followed")
    with guides.product() as reader:
        yield reader
