"""A home out of the backup of a PostgreSQL whose configuration is another machine's."""

import asyncio
from pathlib import Path

import psycopg
import pytest

from carteira import schema
from carteira.app import backup_config
from carteira.backup import making
from carteira.backup.restoring import log_of
from carteira.cli.restoring import restore_home, running_home
from carteira.embedded.postgres import SERVICE
from carteira.kit.security.age import PrivateKey
from tests.support.app import settings_for
from tests.support.clusters import cluster

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


async def test_a_restored_home_waits_for_no_replica_and_admits_its_own_roles(tmp_path: Path) -> None:
    key = PrivateKey.make()
    with cluster(tmp_path / "cluster") as running:
        schema.migrate(running.server.owner_url)
        schema.grant(running.server.owner_url, SERVICE)
        settings = settings_for(
            tmp_path / "servers",
            carteira_modules="none",
            database_url=running.server.database_url,
            backup_url=(tmp_path / "place").as_uri(),
            backup_recipients=key.public,
            backup_database_url=running.server.backup_url,
            backup_form="physical",
        )
        running.execute("ALTER SYSTEM SET synchronous_standby_names = 'db2'")  # it is read at the next start
        (running.data / "pg_hba.conf").write_text("host all all 10.0.0.0/8 scram-sha-256\n")
        config = backup_config(settings)
        manifest = await making.make(config)
    log, home = await log_of(config.place, manifest), tmp_path / "home"

    def restore() -> object:
        arguments = (config, manifest, key, home, log)
        restore_home(*arguments, until=None, logical=False, progress_of=making.report_nothing)
        with running_home(settings, home) as there:
            assert there.database_url is not None
            with psycopg.connect(there.database_url.get_secret_value()) as connection:
                row = connection.execute("SHOW synchronous_standby_names").fetchone()
        return row

    assert await asyncio.to_thread(restore) == ("",)
