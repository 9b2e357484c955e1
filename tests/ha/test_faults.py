"""Each fault under load, repeatedly: nothing answered `00` is lost or doubled, and the system recovers by itself.

A request with another answer moved nothing. A request without an answer is repeated under its id, and has one effect.
"""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg
import pytest

from carteira.benefits.accounts import balances, find
from carteira.kit.db.engine import Database
from carteira.kit.db.outbox import Backlog
from carteira.kit.values.clock import clock
from carteira.ledger import chain
from tests.faults.test_authorizer import ACCOUNTS, START, assert_whole, in_the_books, open_accounts
from tests.ha.installation import Installation, Shoppers, note
from tests.support.faults import ROUNDS, assert_proven
from tests.support.patroni import Machine
from tests.support.waiting import until

PAUSE_SECONDS = int(os.environ.get("CARTEIRA_PAUSE_SECONDS", "10"))
PATIENCE_SECONDS = 5.0
JOBS_SECONDS = 120.0
"""For so long workers may take no jobs: their queue's connections wait for a silent server, one after the other."""
ANSWER_SECONDS = 45.0
"""No answer takes longer: a commit in doubt is resolved, or given up, within 40 s."""

Heal = Callable[[], Awaitable[None]]

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240 + (120 + PAUSE_SECONDS) * ROUNDS)]


@dataclass(frozen=True)
class Fault:
    """A fault, and the longest time that purchases may stand still because of it.

    Attributes:
        strike: Makes it happen; returns what an operator does about it afterwards.
        most_seconds: The longest time without an approval that is accepted.
        least_seconds: For so long nothing may be approved: one machine alone would have it.
        is_felt: Whether some purchases are answered `07` meanwhile.
        clients_leave: Whether clients leave a server that does not answer for `PATIENCE_SECONDS`.
    """

    name: str
    strike: Callable[[Installation], Awaitable[Heal]]
    most_seconds: float
    least_seconds: float = 0.0
    is_felt: bool = False
    clients_leave: bool = False


async def nothing() -> None:
    """Do nothing: the system recovers by itself."""


def _leader(installation: Installation) -> Machine:
    leader = installation.trio.leader()
    assert leader is not None
    return leader


async def kill_the_leaders_postgresql(installation: Installation) -> Heal:
    leader = await asyncio.to_thread(_leader, installation)
    await asyncio.to_thread(leader.kill_postgres)
    return nothing


async def _kill(machine: Machine) -> Heal:
    await asyncio.to_thread(machine.kill)

    async def start() -> None:
        await asyncio.to_thread(machine.start)

    return start


async def kill_the_leaders_machine(installation: Installation) -> Heal:
    return await _kill(await asyncio.to_thread(_leader, installation))


async def freeze_the_leaders_machine(installation: Installation) -> Heal:
    """Freeze it for longer than its lease; it comes back and believes that it still leads."""
    leader = await asyncio.to_thread(_leader, installation)
    await asyncio.to_thread(leader.signal, signal.SIGSTOP)

    async def thaw() -> None:
        await asyncio.to_thread(leader.signal, signal.SIGCONT)

    return thaw


async def switch_over(installation: Installation) -> Heal:
    """Make another machine lead, as an operator does before work on the leader."""
    leader = await asyncio.to_thread(_leader, installation)
    url = f"http://{leader.address}:{leader.ports.api}/switchover"
    async with httpx.AsyncClient(timeout=60) as client:
        answer = await client.post(url, json={"leader": leader.name})
    assert answer.status_code == 200, answer.text
    return nothing


async def kill_the_synchronous_replica(installation: Installation) -> Heal:
    replicas = await asyncio.to_thread(installation.trio.replicas)
    return await _kill(replicas[0])


async def lose_both_replicas(installation: Installation) -> Heal:
    """Kill both machines that follow, and with them etcd's majority; an operator starts one after a while."""
    first, second = await asyncio.to_thread(installation.trio.replicas)
    for machine in (first, second):
        await asyncio.to_thread(machine.kill)
    await asyncio.sleep(PAUSE_SECONDS)  # it is the fault
    await asyncio.to_thread(first.start)

    async def start() -> None:
        await asyncio.to_thread(second.start)

    return start


async def stop_both_replicas_postgresql(installation: Installation) -> Heal:
    """Kill PostgreSQL and Patroni of both machines that follow, so that etcd lets the leader lead on."""
    first, second = await asyncio.to_thread(installation.trio.replicas)
    for machine in (first, second):
        await asyncio.to_thread(machine.kill_patroni)
    await asyncio.sleep(PAUSE_SECONDS)  # it is the fault
    await asyncio.to_thread(first.start_patroni)

    async def start() -> None:
        await asyncio.to_thread(second.start_patroni)

    return start


async def kill_the_leader_of_etcd(installation: Installation) -> Heal:
    machine = await asyncio.to_thread(installation.trio.etcd_leader)
    await asyncio.to_thread(machine.kill_etcd)

    async def start() -> None:
        await asyncio.to_thread(machine.start_etcd)

    return start


async def kill_the_master_of_redis(installation: Installation) -> Heal:
    redises = installation.redises
    master = await asyncio.to_thread(redises.master)
    assert master is not None
    await asyncio.to_thread(redises.kill, master)
    await installation.until_ready()  # readiness depends on Redis, so the other server answers

    async def start() -> None:
        await asyncio.to_thread(redises.start_again, master)

    return start


async def pause_a_server(installation: Installation) -> Heal:
    server = installation.servers[0]
    stopped = [server.process.pid, *server.workers()]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(PAUSE_SECONDS)  # the pause is the fault
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    return nothing


async def fill_the_leaders_log(installation: Installation) -> Heal:
    leader = await asyncio.to_thread(_leader, installation)
    await asyncio.to_thread(_fill, leader.folder / "wal" / "filler")
    await asyncio.to_thread(_use_up_segments, installation, leader)

    async def empty() -> None:
        (leader.folder / "wal" / "filler").unlink()

    return empty


async def fill_the_leaders_data(installation: Installation) -> Heal:
    """Fill the disk of the data; an operator makes room after a while."""
    leader = await asyncio.to_thread(_leader, installation)
    filler = leader.folder / "disk" / "filler"
    try:
        await asyncio.to_thread(_fill, filler)
        await asyncio.sleep(PAUSE_SECONDS)  # the pause is the fault
    finally:
        filler.unlink()
    return nothing


def _fill(file: Path) -> None:
    with suppress(OSError), file.open("wb", buffering=0) as filler:
        while filler.write(bytes(1024 * 1024)):
            continue


def _use_up_segments(installation: Installation, leader: Machine) -> None:
    """Make PostgreSQL use up the log files that exist, until it needs a new one."""
    url = installation.trio.url("postgres", "postgres", connect_timeout="2")
    with suppress(psycopg.Error), psycopg.connect(url, autocommit=True) as connection:
        for _ in range(100):
            connection.execute("SELECT pg_logical_emit_message(false, 'test', ''), pg_switch_wal()")
            if not leader.postgres_pids():
                return


FAULTS = [
    Fault("PostgreSQL's leader dies, its Patroni lives", kill_the_leaders_postgresql, 10, is_felt=True),
    Fault("the leader's whole machine dies", kill_the_leaders_machine, 25, is_felt=True),
    Fault("the leader's machine stands still, and comes back", freeze_the_leaders_machine, 30, is_felt=True),
    Fault("the synchronous replica's machine dies", kill_the_synchronous_replica, 10),
    Fault("both replicas' machines die", lose_both_replicas, PAUSE_SECONDS + 45, PAUSE_SECONDS - 2),
    Fault(
        "PostgreSQL and Patroni of both replicas die, etcd lives",
        stop_both_replicas_postgresql,
        PAUSE_SECONDS + 45,
        PAUSE_SECONDS - 2,
    ),
    Fault("etcd's leader dies", kill_the_leader_of_etcd, 10),
    Fault("Redis's master dies", kill_the_master_of_redis, 10),
    Fault("a server is paused and goes on", pause_a_server, 10, clients_leave=True),
    Fault("the disk of the leader's log is full", fill_the_leaders_log, 25, is_felt=True),
    Fault("the disk of the leader's data is full for a while", fill_the_leaders_data, PAUSE_SECONDS + 10, is_felt=True),
    Fault("an operator switches over", switch_over, 10, is_felt=True),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.strike.__name__)
async def test_nothing_acknowledged_is_lost_or_doubled(installation: Installation, fault: Fault) -> None:
    if fault.strike in {fill_the_leaders_log, fill_the_leaders_data} and os.geteuid() != 0:
        pytest.skip("NO DISK WAS FILLED: only root mounts a small one")
    books = Database(installation.trio.service_url, pool_size=2)
    accounts = await open_accounts(books)
    shoppers = Shoppers(installation, accounts)
    shoppers.patience_seconds = PATIENCE_SECONDS if fault.clients_leave else None
    seconds = []
    async with shoppers.at_work():
        for _ in range(ROUNDS):
            await shoppers.more_approved()
            seconds.append(await one_round(installation, books, shoppers, fault))
    await installation.until_ready()
    codes, asked = shoppers.codes(), len(shoppers.journal.requests)
    await settle(books, accounts, shoppers)
    await assert_proven(books)
    await assert_worked(books, len(installation.workers))
    await books.close()
    note(
        fault=fault.name,
        rounds=len(seconds),
        asked=asked,
        approved=len(shoppers.approved_at),
        seconds=[round(one, 1) for one in seconds],
        slowest_answer=round(shoppers.slowest, 1),
        refused=codes["07"],
    )
    assert shoppers.slowest <= ANSWER_SECONDS, "an answer took too long"
    assert codes.keys() <= {"00", "07"}
    assert not fault.is_felt or codes["07"] > 0, "no client noticed the fault"


async def one_round(installation: Installation, books: Database, shoppers: Shoppers, fault: Fault) -> float:
    """Cause a fault and repair it; return the longest time without an approval, or without Redis."""
    struck = time.perf_counter()
    heal = await fault.strike(installation)
    took = time.perf_counter() - struck
    await shoppers.more_approved()
    gap = max(shoppers.longest_gap(struck), took if fault.strike is kill_the_master_of_redis else 0.0)
    logs = "\n".join(machine.log() for machine in installation.trio.machines.values())
    assert fault.least_seconds <= gap <= fault.most_seconds, f"{gap} s\n{logs}"
    if fault.strike is freeze_the_leaders_machine:  # it stands still for as long as they need without it
        await assert_jobs_are_taken(books, len(installation.workers))
    await heal()
    await asyncio.to_thread(installation.trio.wait_until_whole)
    await until(installation.redises.is_ready, "Redis has a replica again", 90)
    return gap


async def settle(books: Database, accounts: list[str], shoppers: Shoppers) -> None:
    """Assert that the ledger agrees with the answers, and that repeated unanswered requests have one effect."""
    journal = shoppers.journal
    await assert_whole(books, accounts, journal)
    moved = set(await in_the_books(books, accounts))
    left_open = journal.unanswered & moved
    shoppers.patience_seconds = None
    await shoppers.repeat_unanswered()
    assert {journal.answers[key] for key in left_open} <= {"00"}
    await assert_whole(books, accounts, journal)
    left = 0
    async with books.transaction() as tx:
        for account in accounts:
            left += (await balances(tx, (await find(tx, account)).id))["CASH"]
    assert left == ACCOUNTS * START - 100 * len(journal.approved)


async def assert_worked(books: Database, workers: int) -> None:
    """Assert that the workers go on: what was written is sealed, and each takes jobs from both queues."""
    backlog = Backlog([chain.follower])
    async with asyncio.timeout(60):
        while any(lag.rows for lag in (await backlog.lags(books.reads)).values()):
            continue
    await assert_jobs_are_taken(books, workers)


async def assert_jobs_are_taken(books: Database, workers: int) -> None:
    """Assert that each worker takes jobs from both queues, at the latest a while from now."""
    alive = "SELECT count(*) FROM procrastinate_workers WHERE last_heartbeat > $1"
    since = clock.now()
    async with asyncio.timeout(JOBS_SECONDS):
        while (await books.reads.fetch(alive, [since]))[0][0] < 2 * workers:  # noqa: ASYNC110 - no event announces a heartbeat
            await asyncio.sleep(0.1)
