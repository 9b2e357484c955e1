"""An installation that survives the loss of a machine: PostgreSQL and Redis with replicas, two servers, two workers."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.ha.installation import Installation
from tests.support.patroni import MISSING, running_trio
from tests.support.sentinels import running_redises
from tests.support.server import running_server
from tests.support.worker import running_worker

SERVERS = ("127.0.27.5", "127.0.27.6")


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    if MISSING:
        pytest.skip(f"NO HIGH AVAILABILITY WAS TRIED, for want of {', '.join(MISSING)} (`make ha-tools`, as root)")
    with ExitStack() as stack:
        trio = stack.enter_context(running_trio(tmp_path_factory.mktemp("trio")))
        redises = stack.enter_context(running_redises(tmp_path_factory.mktemp("redis")))
        settings = {
            "database_url": trio.service_url,
            "redis_url": redises.url,
            "carteira_modules": "benefits",
            "log_level": "warning",
        }
        servers, workers = [], []
        for address in SERVERS:
            home = tmp_path_factory.mktemp("server")
            servers.append(stack.enter_context(running_server(home, workers=1, host=address, **settings)))
            home = tmp_path_factory.mktemp("worker")
            workers.append(stack.enter_context(running_worker(home, worker_host=address, **settings)))
        yield Installation(trio, redises, servers, workers)
