"""Charges are paid, notified twice and out of order, while server and worker are killed: each counts once."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import text

from carteira import ledger
from carteira.embedded import free_port
from carteira.kit.db.engine import Database
from carteira.kit.security import tokens
from carteira.payments.provider import connected
from tests.support.databases import NewDatabase
from tests.support.faults import ROUNDS
from tests.support.pix import StandIn, standing_in
from tests.support.server import Server, running_server, wait_until_ready
from tests.support.waiting import until
from tests.support.worker import Worker

CHARGES = 1_000 if ROUNDS > 1 else 20
KILLS = ROUNDS
AMOUNT = 137
A_PERSON = 20
"""The most charges that one person may have open."""
AT_ONCE = 8
SECONDS = 240 * max(1, ROUNDS // 3)

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60 + SECONDS)]


@pytest.fixture
def stand_in(tmp_path: Path) -> Iterator[StandIn]:
    with standing_in(tmp_path / "pix") as there:
        yield there


@dataclass
class Installation:
    """A server and a worker, as an operator runs them; both may be killed at any time."""

    server: Server
    settings: dict[str, object]
    worker: Worker = field(init=False)

    def __post_init__(self) -> None:
        self.worker = self._start_worker()

    def _start_worker(self) -> Worker:
        return Worker(self.server.home, **self.settings)

    def kill(self) -> None:
        """Kill both, and start them again."""
        for process in (self.server.process, self.worker.process):
            process.send_signal(signal.SIGKILL)
            process.wait()
        self.server.restart()
        self.worker = self._start_worker()
        wait_until_ready(self.server)


@asynccontextmanager
async def installed(home: Path, url: str, redis_url: str, stand_in: StandIn) -> AsyncIterator[Installation]:
    port, shown = free_port(), stand_in.certificates.listener
    settings = stand_in.settings(
        database_url=url,
        redis_url=redis_url,
        carteira_modules="payments,transit",
        recharge_without_payment="false",
        pix_webhook_port=port,
        pix_webhook_url=f"https://127.0.0.1:{port}",
        pix_webhook_certificate_file=shown.certificate,
        pix_webhook_key_file=shown.key,
        pix_webhook_authority_file=stand_in.certificates.authority,
    )
    with running_server(home, workers=1, **settings) as server:
        running = Installation(server, settings)
        try:
            async with connected(stand_in.config(), None) as provider:
                await provider.register_webhook(f"https://127.0.0.1:{port}")
            yield running
        finally:
            running.worker.process.kill()
            running.worker.process.wait()


@dataclass
class Crowd:
    """People who create and pay charges as fast as they can, and repeat a request that got no answer."""

    installation: Installation
    stand_in: StandIn
    paid: int = 0
    owed: dict[UUID, int] = field(default_factory=dict)

    def headers(self, person: UUID) -> dict[str, str]:
        key = tokens.load_or_create_key(self.installation.server.home / "keys" / "access-token.pem")
        token = tokens.sign(key, subject=str(person), ttl_seconds=3_600, claims={"claims": []})
        return {"Authorization": f"Bearer {token}"}

    async def ask(self, http: httpx.AsyncClient, method: str, path: str, **more: object) -> dict[str, object]:
        """Repeat a request until it is answered."""
        while True:
            try:
                answer = await http.request(method, path, **more)  # type: ignore[arg-type] # httpx's own
            except httpx.TransportError:
                await asyncio.sleep(0.05)
                continue
            if answer.status_code < 500:
                assert answer.is_success, answer.text
                told: dict[str, object] = answer.json()
                return told
            await asyncio.sleep(0.05)

    async def pay_all(self, person: UUID, count: int, turns: asyncio.Semaphore) -> None:
        """Create and pay a person's charges."""
        async with (
            turns,
            httpx.AsyncClient(
                base_url=self.installation.server.url, headers=self.headers(person), timeout=20, trust_env=False
            ) as http,
        ):
            cards = await self.ask(http, "GET", "/transport-cards")
            number = cards["items"][0]["card_number"]  # type: ignore[index] # a list of cards
            self.owed[person] = count * AMOUNT
            for place in range(count):
                headers = {"Idempotency-Key": f"{person}-{place}"}
                body = {"purpose": "transport_recharge", "amount": AMOUNT, "card_number": number}
                charge = await self.ask(http, "POST", "/payments/charges", json=body, headers=headers)
                while charge["state"] != "active":
                    await asyncio.sleep(0.05)
                    charge = await self.ask(http, "GET", f"/payments/charges/{charge['id']}")
                await asyncio.to_thread(self.stand_in.pay, UUID(str(charge["id"])).hex)
                self.paid += 1

    async def kill_meanwhile(self) -> None:
        """Kill server and worker again and again, spread evenly over the payments."""
        for number in range(KILLS):
            due = CHARGES * (number + 1) // (KILLS + 1)
            await until(lambda due=due: self.paid >= due, "payments go on", SECONDS)  # type: ignore[misc] # of this round
            await asyncio.to_thread(self.installation.kill)


_OUTCOME = text("""
    SELECT count(*), count(DISTINCT e2eid), coalesce(sum(credited), 0), count(*) FILTER (WHERE reason IS NOT NULL)
    FROM payments_received
""")
_BALANCES = text("""
    SELECT card.user_id, sum(account.balance) FROM transport_cards card
    JOIN ledger_accounts account ON account.id = card.account_id GROUP BY 1
""")


async def test_each_payment_counts_once_despite_kills(
    tmp_path: Path, new_database: NewDatabase, redis_url: str, stand_in: StandIn
) -> None:
    url = new_database("payments_killed")
    stand_in.behave(tells="doubled_and_shuffled")
    async with asyncio.timeout(SECONDS), installed(tmp_path, url, redis_url, stand_in) as running:
        crowd, turns = Crowd(running, stand_in), asyncio.Semaphore(AT_ONCE)
        counts = [min(A_PERSON, CHARGES - begin) for begin in range(0, CHARGES, A_PERSON)]
        async with asyncio.TaskGroup() as group:
            group.create_task(crowd.kill_meanwhile())
            for count in counts:
                group.create_task(crowd.pay_all(uuid4(), count, turns))
        database = Database(url, pool_size=2)
        try:
            await _until_all_are_in(database)
            await _check(database, crowd)
        finally:
            await database.close()


async def _until_all_are_in(database: Database) -> None:
    """Wait until all payments are known; the worker's polling finds those that no call announced."""
    while True:
        async with database.transaction() as tx:
            if (await tx.execute(_OUTCOME)).one()[0] >= CHARGES:
                return
        await asyncio.sleep(0.1)


async def _check(database: Database, crowd: Crowd) -> None:
    async with database.transaction() as tx:
        assert (await ledger.reconcile(tx)).differences == []
    async with database.transaction() as tx:
        assert tuple((await tx.execute(_OUTCOME)).one()) == (CHARGES, CHARGES, CHARGES * AMOUNT, 0)
        assert {row[0]: int(row[1]) for row in await tx.execute(_BALANCES)} == crowd.owed
        assert await tx.scalar(text("SELECT count(*) FROM payments_charges WHERE state <> 'paid'")) == 0
        there = -(await ledger.account(tx, ledger.system_account("payments.provider"))).balance
    told = crowd.stand_in.account()
    assert (told["balance"], told["payments"]) == (there, CHARGES)
