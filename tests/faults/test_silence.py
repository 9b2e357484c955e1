"""A worker whose PostgreSQL stands still takes its jobs from the one that leads now."""

import asyncio
from pathlib import Path

import pytest
from procrastinate import App, Blueprint

from carteira.kit.db import jobs, silence
from carteira.kit.db.address import DatabaseAddress
from carteira.worker import _work_off
from tests.support.app import settings_for
from tests.support.clusters import cluster, replica_of
from tests.support.databases import open_database

pytestmark = pytest.mark.integration
LIMIT_SECONDS = 60


async def defer(url: str) -> None:
    async with open_database(url, 1) as database, database.transaction() as tx:
        await jobs.defer(tx, "kit:mark")


async def test_a_worker_takes_jobs_from_the_new_leader_while_the_former_one_stands_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silence, "SIGN_OF_LIFE_SECONDS", 0.5)
    blueprint, done, stop = Blueprint(), asyncio.Event(), asyncio.Event()

    @blueprint.task(name="mark")
    async def mark() -> None:
        done.set()

    with cluster(tmp_path / "leader") as leader:
        app = App(connector=jobs.connector(DatabaseAddress.parse(leader.url("carteira")), most=1))
        async with app.open_async():
            await app.schema_manager.apply_schema_async()
        with replica_of(leader, tmp_path / "follower") as follower:
            hosts = f"127.0.0.1:{leader.server.port},127.0.0.1:{follower.server.port}"
            user = leader.url("carteira").rpartition("@")[0]
            url = f"{user}@{hosts}/carteira?target_session_attrs=read-write&connect_timeout=2"
            async with open_database(url, 2) as database:
                working = asyncio.create_task(_work_off(settings_for(tmp_path), {"kit": blueprint}, database, stop))
                await defer(leader.url("carteira"))
                async with asyncio.timeout(LIMIT_SECONDS):
                    await done.wait()
                done.clear()
                with leader.standing_still():
                    await asyncio.to_thread(follower.execute, "SELECT pg_promote()")
                    await defer(follower.url("carteira"))
                    async with asyncio.timeout(LIMIT_SECONDS):
                        await done.wait()
                stop.set()
                await working
