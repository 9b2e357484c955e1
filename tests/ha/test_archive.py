"""The log goes on across failovers: what was acknowledged comes back from the backup, at the end and at an instant.

Three empty machines begin again from what was restored.
"""

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from carteira.app import backup_config
from carteira.backup import making
from carteira.backup.restoring import LOG_FOLDER
from carteira.embedded import SERVICE
from carteira.embedded.postgres import SUPERUSER
from carteira.key_rings import rings_on
from carteira.kit.db.engine import Database
from carteira.kit.security.age import PrivateKey
from carteira.kit.values.clock import clock
from carteira.settings import Settings
from tests.faults.test_authorizer import assert_whole, open_accounts
from tests.ha.installation import Installation, Shoppers, note
from tests.support.app import settings_for
from tests.support.by_hand import started_by_hand
from tests.support.faults import Journal, assert_proven
from tests.support.patroni import Machine, Trio, running_trio
from tests.support.server import clean_environment
from tests.support.waiting import until
from tests.support.worker import running_worker

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]
COMMAND_SECONDS = 200


@pytest.fixture
def settings(installation: Installation, tmp_path: Path) -> Settings:
    """Return the settings of the worker that keeps backups; its home has the keys."""
    key = PrivateKey.make()
    (tmp_path / "backup.key").write_text(key.text())
    settings = settings_for(
        tmp_path / "home",
        carteira_modules="benefits",
        database_url=installation.trio.service_url,
        redis_url=installation.redises.url,
        backup_url=(tmp_path / "place").as_uri(),
        backup_recipients=key.public,
        backup_database_url=installation.trio.backup_url,
        backup_wal_seconds=1,
        erasure_journal_url=(tmp_path / "journal").as_uri(),
    )
    for ring in rings_on(settings):
        ring.make(ring.path(settings))
    return settings


@pytest.fixture
def archiving(settings: Settings, installation: Installation) -> Iterator[None]:
    """Run a worker that copies the log until the end of the test."""
    with running_worker(settings.carteira_home, **process_settings(settings), worker_host="127.0.27.7"):
        yield
    with psycopg.connect(installation.trio.url("postgres"), autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active_pid > 0")


def process_settings(settings: Settings) -> dict[str, object]:
    """Return the settings that a process of the installation gets by its environment."""
    assert settings.database_url is not None
    assert settings.redis_url is not None
    assert settings.backup_database_url is not None
    return {
        "carteira_modules": "benefits",
        "log_level": "info",
        "database_url": settings.database_url.get_secret_value(),
        "redis_url": settings.redis_url.get_secret_value(),
        "backup_url": settings.backup_url,
        "backup_recipients": settings.backup_recipients,
        "backup_database_url": settings.backup_database_url.get_secret_value(),
        "backup_wal_seconds": settings.backup_wal_seconds,
        "erasure_journal_url": settings.erasure_journal_url,
    }


def run(settings: Settings, *arguments: str) -> str:
    """Run a command as an operator does."""
    done = subprocess.run(
        [sys.executable, "-m", "carteira", *arguments],
        env=clean_environment(settings.carteira_home, **process_settings(settings)),
        cwd=settings.carteira_home,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


async def buy(installation: Installation, accounts: list[str]) -> Shoppers:
    """Buy for a while; return the shoppers once every request is answered."""
    shoppers = Shoppers(installation, accounts)
    async with shoppers.at_work():
        await shoppers.more_approved()
    assert not shoppers.journal.unanswered
    return shoppers


async def buy_through_a_failover(installation: Installation, accounts: list[str]) -> tuple[Shoppers, Machine]:
    """Buy while the leader's machine dies and another one takes over; return the shoppers and the dead machine."""
    shoppers = Shoppers(installation, accounts)
    async with shoppers.at_work():
        await shoppers.more_approved()
        dead = await asyncio.to_thread(installation.trio.leader)
        assert dead is not None
        await asyncio.to_thread(dead.kill)
        await installation.until_ready()
        await shoppers.more_approved()
    assert not shoppers.journal.unanswered
    return shoppers, dead


async def until_copied(trio: Trio, settings: Settings) -> str:
    """End a segment of the log, wait until the backup's place has it, and return its name."""

    def switch() -> str:
        with psycopg.connect(trio.url("postgres", "postgres"), autocommit=True) as connection:
            row = connection.execute("SELECT pg_walfile_name(pg_switch_wal())").fetchone()
        assert row is not None
        return str(row[0])

    segment = await asyncio.to_thread(switch)
    place = backup_config(settings).place.folder
    assert place is not None
    log = settings.carteira_home / "worker.log"
    try:
        await until(lambda: bool([*place.glob(f"wal/*/{segment}")]), f"{segment} is copied", 90)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{[*place.glob('wal/*/*')]}\n{log.read_text()[-4000:]}") from None
    return segment


async def restored(settings: Settings, folder: Path, *more: str) -> None:
    await asyncio.to_thread(folder.mkdir)
    where = ("restore", "postgresql", str(folder / "data"), f"--identity={settings.carteira_home.parent}/backup.key")
    await asyncio.to_thread(run, settings, *where, "--yes", *more)


async def see(url: str, accounts: list[str], bought: list[Shoppers]) -> None:
    """Assert that a restored database has exactly the approved purchases, and that its books are right."""
    books, together = Database(url, pool_size=2), Journal()
    for shoppers in bought:
        together.requests |= shoppers.journal.requests
        together.answers |= shoppers.journal.answers
    await assert_whole(books, accounts, together)
    await assert_proven(books)
    await books.close()


@pytest.mark.usefixtures("archiving")
async def test_acknowledged_purchases_around_failovers_are_restored(
    installation: Installation, settings: Settings, tmp_path: Path
) -> None:
    trio, books = installation.trio, Database(installation.trio.service_url, pool_size=2)
    accounts = await open_accounts(books)
    manifest = await making.make(backup_config(settings))
    before, dead = await buy_through_a_failover(installation, accounts)
    instant = clock.now().replace(microsecond=0) + timedelta(seconds=1)
    await until(lambda: clock.now() > instant, "the second is over")
    shoppers = [before, await buy(installation, accounts)]
    await asyncio.to_thread(dead.start)
    await asyncio.to_thread(trio.wait_until_whole)
    after, dead = await buy_through_a_failover(installation, accounts)
    shoppers.append(after)
    await asyncio.to_thread(dead.start)
    await asyncio.to_thread(trio.wait_until_whole)
    last = await until_copied(trio, settings)
    await books.close()
    assert manifest.first_wal is not None
    assert int(last[:8], 16) == int(manifest.first_wal[:8], 16) + 2, "it ends on the second timeline since"
    assert "inteiro" in await asyncio.to_thread(run, settings, "backup", "verify")

    await restored(settings, tmp_path / "instant", f"--until={instant:%Y-%m-%dT%H:%M:%S}")
    with started_by_hand(tmp_path / "instant", synchronous_standby_names="") as url:
        await see(url, accounts, [before])
    await restored(settings, tmp_path / "end")
    with started_by_hand(tmp_path / "end", synchronous_standby_names="") as url:
        await see(url, accounts, shoppers)
        with psycopg.connect(url.replace(SERVICE, SUPERUSER), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM RESET restore_command")
    await asyncio.to_thread(shutil.rmtree, tmp_path / "end" / "data" / LOG_FOLDER)
    with running_trio(tmp_path / "again", tmp_path / "end" / "data") as again:
        await see(again.service_url, accounts, shoppers)
    drill = await asyncio.to_thread(run, settings, "drill", f"--identity={tmp_path}/backup.key")
    assert "Tudo confere." in drill
    note(
        fault="two failovers, the restores from the archive, and three machines that begin again",
        asked=sum(len(one.journal.requests) for one in shoppers),
        approved=sum(len(one.approved_at) for one in shoppers),
    )
