"""A worker under kill -9 at each point of a job: the job has its effect once, whoever resumes it.

For each kind of job, and for each of its points in turn: something is to be done, a worker dies at that point, another
resumes the work, and the test checks the effect.
"""

import asyncio
import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest
from sqlalchemy import text

from carteira import ledger
from carteira.embedded import Endpoints
from carteira.kit.db import jobs
from carteira.kit.security import audit_chain
from carteira.kit.values.clock import clock
from carteira.settings import Settings
from tests.support import files
from tests.support.app import RunningApp, jobs_app, running_app, settings_for
from tests.support.benefits import open_benefit_account
from tests.support.databases import NewDatabase
from tests.support.documents import upload
from tests.support.horizon import pass_horizon
from tests.support.ledger import open_system_accounts, open_wallet
from tests.support.mail import body_of, code_in, mail_to
from tests.support.people import new_cpf, register
from tests.support.resellers import approved_purchase, new_reseller
from tests.support.server import clean_environment

MOST_POINTS = 200
LEAST_KILLS = 100
kills: dict[str, int] = {}
pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

Check = Callable[[], Awaitable[None]]


class Doomed:
    """Workers that die at a chosen point, and those that resume their work."""

    def __init__(self, app: RunningApp, endpoints: Endpoints, process: asyncio.subprocess.Process) -> None:
        self.app = app
        self.endpoints = endpoints
        self._process = process

    async def work(self, fatal: int = 0, *followers: str) -> bool:
        """Work off what there is, and return whether the worker died."""
        await pass_horizon(self.app.database)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(" ".join([str(fatal), *followers]).encode() + b"\n")
        code = int(await self._process.stdout.readline())
        assert code in {0, -9}
        return code == -9

    async def rescue(self) -> None:
        """Do what another worker does once the dead one has been silent for long enough."""
        async with self.app.database.transaction() as tx:
            await tx.execute(text("UPDATE procrastinate_workers SET last_heartbeat = now() - interval '1 hour'"))
        async with jobs_app(self.app.settings.database(), {}).open_async() as queue:
            await jobs.rescue(queue)

    async def defer(self, task: str, **args: Any) -> None:  # noqa: ANN401 - any JSON
        async with self.app.database.transaction() as tx:
            await jobs.defer(tx, task, **args)

    async def count(self, query: str, **values: object) -> int:
        async with self.app.database.transaction() as tx:
            return int((await tx.execute(text(query), values)).scalar_one())

    def letters(self, address: str, subject: str) -> list[str]:
        """Return the ids of the e-mails that an address received."""
        mails = mail_to(self.endpoints.maildir, address)
        return [str(mail["Message-ID"]) for mail in mails if mail["Subject"] == subject]


@pytest.fixture(scope="module")
def settings(
    new_database: NewDatabase, endpoints: Endpoints, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Settings:
    return settings_for(
        tmp_path_factory.mktemp("doomed"),
        database_url=new_database("doomed"),
        redis_url=redis_url,
        smtp_url=endpoints.smtp_url,
        carteira_modules="benefits,documents,resellers",
        limit_top_ups=100,
    )


@pytest.fixture
async def doomed(settings: Settings, endpoints: Endpoints, redis_url: str) -> AsyncIterator[Doomed]:
    values = {
        "database_url": settings.database(),
        "redis_url": redis_url,
        "smtp_url": endpoints.smtp_url,
        "carteira_modules": settings.carteira_modules,
        "users_export_days": 3,
    }
    log = settings.carteira_home / "doomed.log"
    root = str(Path(__file__).parents[2])
    env = clean_environment(settings.carteira_home)
    async with running_app(settings) as app:
        with log.open("ab") as errors:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.support.doomed_worker", str(settings.carteira_home)),
                orjson.dumps(values).decode(),
                env=env | {"PYTHONPATH": f"{root}/src:{root}"},
                cwd=root,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        doomed = Doomed(app, endpoints, process)
        await doomed.work()
        yield doomed
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


Kind = Callable[[Doomed], Awaitable[Check]]
"""Defers work, and returns a check of whether it was done."""


async def news(doomed: Doomed) -> Check:
    """An e-mail: a recipient who gets it twice recognises it by its id."""
    person = await register(doomed.app)
    await doomed.defer("identity:tell_password_changed", user_id=str(person.id))

    async def check() -> None:
        letters = doomed.letters(person.email, "Sua senha foi alterada")
        assert letters
        assert len(set(letters)) == 1

    return check


async def code(doomed: Doomed) -> Check:
    """A code: only the newest one counts."""
    person = await register(doomed.app)
    client = doomed.app.client
    assert (await client.post("/password-recovery", json={"cpf": person.cpf})).status_code == 202

    async def check() -> None:
        letters = [mail for mail in mail_to(doomed.endpoints.maildir, person.email) if "código" in str(mail["Subject"])]
        body = {"cpf": person.cpf, "code": code_in(body_of(letters[-1], "plain"), 8)}
        answer = await client.post("/password-recovery/verify", json=body)
        assert answer.status_code == 200, answer.text

    return check


_EARLIER = iter([date(2019 - number // 6, 11 - number % 6 * 2, 1) for number in range(90)])
"""Months to close, each before those already closed: the job closes all from the oldest purchase on."""


async def month(doomed: Doomed) -> Check:
    """Closing a month: one credit, one event."""
    reseller, closing = await new_reseller(doomed.app), next(_EARLIER)
    await approved_purchase(doomed.app, reseller, 50_000, closing)
    await doomed.defer("resellers:close_due_months", timestamp=0)

    async def check() -> None:
        assert await reseller.balance() == 5_000
        query = (
            "SELECT count(*) FROM events WHERE topic = 'resellers.cashback_credited' AND payload ->> 'user_id' = :id"
        )
        assert await doomed.count(query, id=str(reseller.id)) == 1

    return check


async def hold(doomed: Doomed) -> Check:
    """A hold whose time has passed: released once."""
    async with doomed.app.database.transaction() as tx:
        await open_system_accounts(tx)
        wallet = await open_wallet(tx, 100)
        held = await ledger.hold(tx, wallet, 70, ttl=timedelta(microseconds=1))
    await doomed.defer("ledger:expire_holds", timestamp=0)

    async def check() -> None:
        async with doomed.app.database.transaction() as tx:
            view = await ledger.account(tx, wallet)
        assert (view.balance, view.held) == (100, 0)
        query = "SELECT count(*) FROM ledger_holds WHERE id = :id AND status = 'expired'"
        assert await doomed.count(query, id=held) == 1

    return check


async def accounts_file(doomed: Doomed) -> Check:
    """A file of accounts: each line is opened and credited once, whichever worker does it."""
    operator, cpf = doomed.app.operator(), new_cpf()
    begun = await operator.call(
        "POST", "/benefits/accounts/bulk", content=f"cpf;amount FOOD\n{cpf};70\n", headers={"Content-Type": "text/csv"}
    )
    assert begun.status_code == 201, begun.text

    async def check() -> None:
        done = (await operator.get(f"/benefits/accounts/imports/{begun.json()['id']}")).json()
        assert (done["state"], done["opened"]) == ("finished", 1)
        (account,) = (await operator.post("/benefits/accounts/search", {"cpf": cpf})).json()["items"]
        assert account["balances"]["FOOD"] == 70

    return check


async def reminder(doomed: Doomed) -> Check:
    """A document that expires: its owner is told once, by job, event and e-mail."""
    person = await register(doomed.app)
    soon = (clock.today() + timedelta(days=5)).isoformat()
    document = (await upload(person, files.pdf(), expires_on=soon)).json()["id"]
    await doomed.defer("documents:remind_expiring", timestamp=0)

    async def check() -> None:
        query = "SELECT count(*) FROM events WHERE topic = 'documents.expiring' AND payload ->> 'document_id' = :id"
        assert await doomed.count(query, id=document) == 1
        mails = [
            mail["Message-ID"]
            for mail in mail_to(doomed.endpoints.maildir, person.email)
            if "vencer" in str(mail["Subject"])
        ]
        assert len(set(mails)) == 1

    return check


async def bytes_removed(doomed: Doomed) -> Check:
    """A deleted document: its sealed bytes are removed, once backups need them no longer."""
    stored = doomed.app.settings.carteira_home / "documents"
    before = sorted(stored.rglob("*"))
    person = await register(doomed.app)
    document = (await upload(person, files.pdf(600_000))).json()["id"]
    answer = await doomed.app.client.delete(f"/documents/{document}", headers=person.headers)
    assert answer.status_code == 204
    async with doomed.app.database.transaction() as tx:
        await tx.execute(text("UPDATE procrastinate_jobs SET scheduled_at = now() WHERE status = 'todo'"))

    async def check() -> None:
        assert [path for path in sorted(stored.rglob("*")) if path.is_file() and path not in before] == []

    return check


async def export(doomed: Doomed) -> Check:
    """The daily export: one whole file."""
    folder = doomed.app.settings.carteira_home / "exports"
    for old in folder.glob("*"):
        old.unlink()
    await doomed.defer("identity:export_users", timestamp=0)

    async def check() -> None:
        (file,) = folder.iterdir()
        with zipfile.ZipFile(file) as book:
            assert book.testzip() is None

    return check


async def proofs(doomed: Doomed) -> Check:
    """The proofs: made, and stored."""
    began = clock.now()
    for task in ("ledger:reconcile", "ledger:verify", "identity:verify_audit"):
        await doomed.defer(task, timestamp=0)

    async def check() -> None:
        query = "SELECT count(*) FROM ledger_checks WHERE checked_at > :began AND findings = 0"
        assert await doomed.count(query, began=began) == 2
        query = "SELECT count(*) FROM audit_checks WHERE checked_at > :began AND findings = 0"
        assert await doomed.count(query, began=began) == 1

    return check


async def expiry(doomed: Doomed) -> Check:
    """An operation that nobody approved: it expires once, and nothing moves."""
    operator = doomed.app.operator()
    account = await open_benefit_account(operator, CASH=0)
    order = {"category": "CASH", "amount": 5_000}
    asked = await operator.post(f"/benefits/accounts/{account}/credits", order, key=str(uuid4()))
    assert asked.status_code == 202, asked.text
    operation = asked.json()["pending"]["id"]
    async with doomed.app.database.transaction() as tx:
        await tx.execute(
            text("UPDATE pending_operations SET expires_at = now() - interval '1 minute' WHERE id = :id"),
            {"id": operation},
        )
    await doomed.defer("kit:expire_pending", timestamp=0)

    async def check() -> None:
        assert (await operator.get(f"/pending/{operation}")).json()["status"] == "expired"
        view = (await operator.get(f"/benefits/accounts/{account}")).json()
        assert view["balances"]["CASH"] == 0

    return check


async def chains(doomed: Doomed) -> Check:
    """The chains: new rows of ledger and audit are sealed once, in order."""
    async with doomed.app.database.transaction() as tx:
        await open_system_accounts(tx)
        await open_wallet(tx, 100)
    await register(doomed.app)

    async def check() -> None:
        async with doomed.app.database.transaction() as tx:
            async for result in ledger.verify(tx):
                assert (result.findings, result.tail) == ([], 0)
            async for audited in audit_chain.verify(tx):
                assert (audited.findings, audited.tail) == ([], 0)

    return check


FOLLOWERS: dict[Kind, tuple[str, ...]] = {reminder: ("notices",), chains: ("ledger.chain", "audit.chain")}
KINDS: list[Kind] = [chains, news, code, month, hold, reminder, bytes_removed, export, proofs, expiry, accounts_file]
STEPS: dict[Kind, int] = {accounts_file: 7}
"""For kinds with many points: the distance between those that are tested."""


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
async def test_a_job_is_done_once_at_whichever_point_its_worker_dies(doomed: Doomed, kind: Kind) -> None:
    for point in range(1, MOST_POINTS, STEPS.get(kind, 1)):
        check = await kind(doomed)
        followers = FOLLOWERS.get(kind, ())
        died = await doomed.work(point, *followers)
        if died:
            await doomed.rescue()
            assert not await doomed.work(0, *followers)
        query = "SELECT count(*) FROM procrastinate_jobs WHERE status <> 'todo' OR scheduled_at IS NULL"
        assert await doomed.count(query) == 0, f"point {point}: a job is left"
        try:
            await check()
        except AssertionError as failure:
            failure.add_note(f"killed at point {point}")
            raise
        if not died:
            kills[kind.__name__] = point - 1
            break
    assert kills[kind.__name__] >= 4
    async with doomed.app.database.transaction() as tx:
        assert (await ledger.reconcile(tx)).differences == []


def test_the_workers_were_killed_a_hundred_times() -> None:
    if len(kills) < len(KINDS):
        pytest.skip("only some kinds were tried")
    assert sum(kills.values()) >= LEAST_KILLS, kills
