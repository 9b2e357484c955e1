"""`carteira serve` leaves nothing behind."""

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from carteira.embedded import Endpoints
from tests.server import running_server


@pytest.mark.parametrize("workers", [1, 2])
def test_the_folder_of_the_metrics_goes_with_the_server(
    new_database: Callable[[str], str], endpoints: Endpoints, tmp_path: Path, workers: int
) -> None:
    url, temporary = new_database(f"serve{workers}"), tmp_path / "tmp"
    temporary.mkdir()
    with running_server(
        tmp_path, workers=workers, database_url=url, redis_url=endpoints.redis_url, tmpdir=temporary
    ) as server:
        assert len(list(temporary.glob("carteira-metrics-*"))) == 1
        assert "carteira_" in httpx.get(server.url + "/metrics").text
    assert server.process.returncode == 0
    assert list(temporary.glob("carteira-*")) == []
