from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True, scope="session")
def _plain_logs() -> Iterator[None]:
    """Many of these tests make the server log an error: seconds each, if the trace were painted."""
    known = structlog.get_config()
    structlog.configure(processors=[structlog.processors.KeyValueRenderer()])
    yield
    structlog.configure(**known)
