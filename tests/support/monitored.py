"""The product in the documented layout: a server, a worker, Prometheus, and Alertmanager where it is installed."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx
import psycopg
from psycopg.types.json import Jsonb

from carteira.embedded import EmbeddedServers, free_port
from carteira.kit.security import tokens
from tests.support.benefits import AUTHORIZER, processor_headers, purchase
from tests.support.databases import on_server, prepare
from tests.support.prometheus import Prometheus, Told, recorded_metrics, running_alertmanager, running_prometheus
from tests.support.server import Server, running_server
from tests.support.worker import Worker, running_worker

TOKEN = "a-token-of-prometheus"


@dataclass
class World:
    """The running processes."""

    servers: EmbeddedServers
    server: Server
    worker: Worker
    prometheus: Prometheus
    recorded: list[str]
    client: httpx.Client
    operator: dict[str, str]
    stack: ExitStack
    told: Told | None
    """The receivers that Alertmanager notified, with the alerts; None if it is not installed."""

    def sql(self, *statements: str, **values: object) -> None:
        """Run statements as only the machine's owner can: without triggers."""
        url = on_server(self.servers.endpoints.superuser_url, "carteira")
        with psycopg.connect(url) as connection:
            connection.execute("SET session_replication_role = replica")
            for statement in statements:
                connection.execute(statement.encode(), values)

    def run_job(self, task: str, **more: object) -> None:
        args = {"timestamp": int(time.time())} if task != "kit:unknown" else {}
        self.sql(
            """INSERT INTO procrastinate_jobs (queue_name, task_name, args, lock, scheduled_at)
               VALUES ('default', %(task)s, %(args)s, %(lock)s, %(at)s)""",
            **{"task": task, "args": Jsonb(args), "lock": None, "at": None} | more,
        )

    def account(self, balance: int) -> str:
        """Open a benefit account."""
        name = f"m-{uuid4()}"
        body = {"account": name, "user_id": str(uuid4()), "balances": {"CASH": balance}}
        answer = self.client.post("/benefits/accounts", json=body, headers=self.operator)
        assert answer.status_code == 201, answer.text
        return name

    def buy(self, account: str, reais: str = "1.00") -> str:
        answer = self.client.post(AUTHORIZER, content=purchase(account, reais), headers=processor_headers())
        code: str = answer.json()["code"]
        return code


@contextmanager
def monitored(home: Path, modules: str, **more: object) -> Iterator[World]:
    """Run it with more settings until the end of the block."""
    with ExitStack() as stack:
        servers = stack.enter_context(EmbeddedServers(home / "embedded", aws=False))
        prepare(servers.endpoints)
        settings = {
            "database_url": servers.endpoints.database_url,
            "redis_url": servers.endpoints.redis_url,
            "carteira_modules": modules,
            "base_url_cashback": f"http://127.0.0.1:{free_port()}",
            "token_cashback": "none-listens-there",
            "metrics_token": TOKEN,
            "trusted_proxies": "127.0.0.1",
            "limit_top_ups": 100,
            "pending_hours": 720,
        } | more
        server = stack.enter_context(running_server(home, workers=1, **settings))
        (home / "worker").mkdir()
        worker = stack.enter_context(running_worker(home / "worker", **settings))
        port, recorded = stack.enter_context(recorded_metrics())
        ports = {"carteira": int(server.url.rpartition(":")[2]), "carteira-worker": worker.port, "recorded": port}
        (home / "prometheus").mkdir()
        alertmanager, told = stack.enter_context(running_alertmanager(home / "prometheus"))
        prometheus = stack.enter_context(
            running_prometheus(home / "prometheus", ports, token=TOKEN, alertmanager=alertmanager)
        )
        client = stack.enter_context(httpx.Client(base_url=server.url, timeout=60))
        key = tokens.load_or_create_key(home / "keys" / "access-token.pem")
        token = tokens.sign(key, subject=str(uuid4()), ttl_seconds=6000, claims={"claims": ["*"]})
        operator = {"Authorization": f"Bearer {token}"}
        yield World(
            servers, server, worker, prometheus, recorded, client, operator, stack.enter_context(ExitStack()), told
        )
