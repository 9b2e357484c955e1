"""Servers for the tests of faults: they sync to disk and may be killed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from carteira.embedded import EmbeddedServers
from tests.support.databases import prepare
from tests.support.server import Server, running_server


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServers]:
    """Servers of this module's own, which sync to disk and may be killed."""
    with EmbeddedServers(tmp_path_factory.mktemp("faults"), aws=False) as running:
        prepare(running.endpoints)
        yield running


@pytest.fixture
def server(servers: EmbeddedServers, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Server]:
    """Run a server; a test's parameter may name another strategy for the authorizer."""
    endpoints = servers.endpoints
    with running_server(
        tmp_path,
        database_url=endpoints.database_url,
        redis_url=endpoints.redis_url,
        authorizer_strategy=getattr(request, "param", "queue"),
        log_level="warning",
    ) as running:
        yield running
