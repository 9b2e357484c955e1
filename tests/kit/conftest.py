from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True, scope="session")
def _plain_logs() -> Iterator[None]:
    """Write plain logs: many of these tests log an error, and formatting each trace takes seconds."""
    known = structlog.get_config()
    structlog.configure(processors=[structlog.processors.KeyValueRenderer()])
    yield
    structlog.configure(**known)
