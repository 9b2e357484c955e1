"""A disaster: a backup, traffic, an erasure, every store lost, and a restore into another folder."""

import asyncio
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx
import psycopg
import pytest
from sqlalchemy import text

from carteira import ledger
from carteira.app import backup_config
from carteira.backup import keys, making, place
from carteira.backup.place import Manifest
from carteira.backup.wal import Archiver
from carteira.embedded import SERVICE, EmbeddedServers, Endpoints
from carteira.embedded.postgres import OWNER, SUPERUSER
from carteira.kit.security.age import PrivateKey
from carteira.schema import grant, migrate
from carteira.settings import Settings
from tests.support import files
from tests.support.app import RunningApp, running_app, settings_for
from tests.support.benefits import AUTHORIZER, FOOD, open_benefit_account, processor_headers, purchase
from tests.support.by_hand import started_by_hand
from tests.support.credit import analyst_of, fill_bases
from tests.support.documents import download, upload
from tests.support.people import Person, register
from tests.support.server import clean_environment, running_server
from tests.support.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]
ARCHIVED_EACH_SECONDS = 1


@dataclass
class Disaster:
    """The files that remain after a disaster, which takes the stores."""

    place: Path
    journal: Path
    key: Path
    keys: Path
    recipient: str

    def environment(self, home: Path) -> dict[str, str]:
        return clean_environment(
            home,
            backup_url=self.place.as_uri(),
            backup_recipients=self.recipient,
            erasure_journal_url=self.journal.as_uri(),
        )

    def run(
        self, home: Path, *arguments: str, environment: dict[str, str] | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command as an operator does."""
        return subprocess.run(
            [sys.executable, "-m", "carteira", *arguments],
            env=self.environment(home) | (environment or {}),
            cwd=home.parent,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )


@contextmanager
def installation(home: Path, disaster: Disaster) -> Iterator[tuple[EmbeddedServers, Settings]]:
    """Run a home's servers; return the settings of a product on them."""
    with EmbeddedServers(home) as servers:
        ends = servers.endpoints
        migrate(ends.owner_url)
        grant(ends.owner_url, SERVICE)
        yield (
            servers,
            settings_for(
                home,
                database_url=ends.database_url,
                redis_url=ends.redis_url,
                aws_endpoint_url=ends.aws_endpoint_url,
                backup_url=disaster.place.as_uri(),
                backup_database_url=ends.backup_url,
                backup_recipients=disaster.recipient,
                backup_wal_seconds=ARCHIVED_EACH_SECONDS,
                erasure_journal_url=disaster.journal.as_uri(),
            ),
        )


@asynccontextmanager
async def archiving(app: RunningApp) -> AsyncIterator[None]:
    """Copy the log as the worker does until the end of the block, by when all of it is copied."""
    stop = asyncio.Event()
    task = asyncio.create_task(Archiver(backup_config(app.settings), app.database).run(stop))
    try:
        yield
    finally:
        stop.set()
        await task


@dataclass
class Facts:
    """The facts that the server had acknowledged."""

    person: Person
    account: str
    documents: list[str]
    balance: int
    erased: Person
    manifest: Manifest
    head: str


PDF = files.pdf(300_000)


async def buy(app: RunningApp, account: str, times: int) -> None:
    for _ in range(times):
        answer = await app.client.post(AUTHORIZER, content=purchase(account, "1.00", FOOD), headers=processor_headers())
        assert answer.json()["code"] == "00"


async def live_through_it(app: RunningApp, disaster: Disaster) -> Facts:
    """Make people, documents, purchases and an erasure, some before the backup and some after."""
    person, erased = await register(app), await register(app)
    account = await open_benefit_account(app.operator(), user_id=person.id, FOOD=10_000)
    first = await upload(person, PDF)
    await upload(erased, PDF)
    await fill_bases(analyst_of(app, "*"), person.cpf)
    await buy(app, account, 5)
    config = backup_config(app.settings)
    async with archiving(app):
        manifest = await making.make(config)
        await buy(app, account, 20)
        second = await upload(person, PDF)
        assert (await erased.call("DELETE", f"/users/{erased.id}")).status_code == 204
        await app.work_off()
        copied = disaster.place / "objects"
        wanted = first.json()["id"], second.json()["id"]
        await until(lambda: len(list(copied.glob("*/0000"))) >= len(wanted) + 1, "the new document is copied")
        async with app.database.transaction() as tx:
            async for result in ledger.verify(tx):
                head = f"{result.height}:{result.head.hex()}"
    disaster.keys.write_bytes(keys.pack(app.settings, config.recipients))
    return Facts(person, account, list(wanted), 7_500, erased, manifest, head)


async def see_it_all(app: RunningApp, facts: Facts) -> None:
    """Assert that nothing acknowledged is lost, and that the erased person stays erased."""
    shown = await app.operator().get(f"/benefits/accounts/{facts.account}")
    assert shown.json()["balances"]["FOOD"] == facts.balance
    person = Person(app.client, facts.person.id, app.bearer(user_id=facts.person.id), facts.person.cpf)
    for document_id in facts.documents:
        assert (await download(person, document_id)).content == PDF
    async with app.database.transaction() as tx:
        row = await tx.execute(text("SELECT cpf, email FROM users WHERE id = :id"), {"id": facts.erased.id})
        assert row.one() == (None, None)
    base_b = await analyst_of(app, "*").call("GET", f"/credit/{facts.person.cpf}/base-b")
    assert base_b.json()["birth_date"] == "1985-04-12"
    await buy(app, facts.account, 1)


def see_the_rest_come_back(run: Callable[..., str], home: Path, identity: str) -> None:
    """Lose a document, beside one that no row names; assert that both are there in the end."""
    lost, *_ = sorted((home / "documents").glob("*/0000"))
    strange = home / "documents" / uuid4().hex / "0000"
    strange.parent.mkdir()
    shutil.move(lost, strange)
    again = ("restore", "stores", identity, "--again", "--intents=leave", "--yes")
    assert "Tudo confere." in run(*again)
    assert (lost.exists(), strange.exists()) == (True, True)


def see_it_serve(disaster: Disaster, folder: Path, ends: Endpoints, account: str) -> None:
    """Restore onto an operator's own servers, as `restore.md` says, and buy; assert that the books balance."""
    home, identity = folder / "server", f"--identity={disaster.key}"
    home.mkdir(parents=True)
    redis = ends.redis_url.removesuffix("/0") + "/1"
    stores = {"AWS_ENDPOINT_URL": ends.aws_endpoint_url, "CREDIT_TABLE": "by-hand", "REDIS_URL": redis}

    def run(*arguments: str) -> str:
        done = disaster.run(home, *arguments, environment=stores)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    keys = run("restore", "keys", str(disaster.keys), identity)
    assert f"{home}/keys/identity.key" in keys
    run("restore", "postgresql", str(folder / "data"), identity, "--yes")
    with started_by_hand(folder) as url:
        stores |= {"DATABASE_URL": url, "MIGRATION_DATABASE_URL": url.replace(SERVICE, OWNER)}
        run("migrate")
        assert "Tudo confere." in run("restore", "stores", identity, "--intents=leave", "--yes")
        settings = {name.lower(): value for name, value in stores.items()}
        with running_server(home, workers=1, **settings) as server:  # it answers /health/ready
            body = purchase(account, "1.00", FOOD)
            answer = httpx.post(server.url + AUTHORIZER, content=body, headers=processor_headers())
            assert answer.json() == {"code": "00"}
        run("ledger", "reconcile")
        run("ledger", "verify")
        see_the_rest_come_back(run, home, identity)

        with psycopg.connect(url.replace(SERVICE, SUPERUSER), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE of_dump OWNER {OWNER}".encode())
        stores |= {name: stores[name].removesuffix("carteira") + "of_dump" for name in stores if "DATABASE" in name}
        run("restore", "dump", identity, "--yes")
        run("migrate")
        run("ledger", "reconcile")


async def test_after_the_loss_of_every_store_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    key = PrivateKey.make()
    disaster = Disaster(
        tmp_path / "place", tmp_path / "journal", tmp_path / "backup.key", tmp_path / "keys.age", key.public
    )
    disaster.key.write_text(key.text())
    home, other = tmp_path / "home", tmp_path / "other"
    with installation(home, disaster) as (servers, settings):
        async with running_app(settings) as app:
            facts = await live_through_it(app, disaster)
        servers.postgres.kill()
    shutil.rmtree(home)

    identity = f"--identity={disaster.key}"
    wrong = tmp_path / "wrong.key"
    wrong.write_text(PrivateKey.make().text())
    refused = await asyncio.to_thread(
        disaster.run,
        other,
        "restore",
        "home",
        str(tmp_path / "wrong"),
        f"--identity={wrong}",
        f"--keys={disaster.keys}",
    )
    assert (refused.returncode, "não abre com esta chave privada" in refused.stderr) == (1, True), refused.stderr

    arguments = ("restore", "home", str(other), identity, f"--keys={disaster.keys}", "--intents=leave", "--yes")
    restored = await asyncio.to_thread(disaster.run, other, *arguments)
    assert restored.returncode == 0, restored.stdout + restored.stderr
    assert f"cabeça {facts.head}" in restored.stdout
    assert "Tudo confere." in restored.stdout
    assert "0 pessoa(s) apagada(s) de novo, 1 já não estava(m) lá." in restored.stdout
    with installation(other, disaster) as (servers, settings):
        async with running_app(settings) as app:
            await see_it_all(app, facts)
        await asyncio.to_thread(see_it_serve, disaster, tmp_path / "by-hand", servers.endpoints, facts.account)
        over = await asyncio.to_thread(disaster.run, other, *arguments)
        assert (over.returncode, "não está vazia" in over.stderr) == (1, True), over.stderr

    drill = await asyncio.to_thread(disaster.run, other, "drill", identity, "--form=logical")
    assert drill.returncode == 0, drill.stdout + drill.stderr
    assert "1 pessoa(s) apagada(s) de novo, 0 já não estava(m) lá." in drill.stdout
    assert (await place.manifest_of(backup_config(settings).place, None)).id == facts.manifest.id
