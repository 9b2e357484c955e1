"""Every alert fires when its cause occurs, in the documented layout: Prometheus, a server, a worker.

The rules are those of `deploy/monitoring/`, with shortened times. All faults are real except one: a request that leaves
no row in the audit would be an error in the code, so the test increments its counter.
"""

import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import psycopg
import pytest

from carteira.kit.values.ids import first_uuid7, uuid7
from tests.support.benefits import AUTHORIZER, purchase
from tests.support.databases import on_server
from tests.support.monitored import World, monitored
from tests.support.partitions import drop_months, month
from tests.support.people import new_cpf, new_person, random_address
from tests.support.prometheus import (
    MONITORING,
    is_installed,
)
from tests.support.waiting import wait_until

RULES = (MONITORING / "alerts.yml").read_text()
pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(180),
    pytest.mark.skipif(not is_installed(), reason="NO PROMETHEUS: no alert was seen to fire (`make proxies`)"),
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with monitored(tmp_path_factory.mktemp("alerts"), "benefits,resellers,webhooks") as world:
        yield world


Act = Callable[[], object]
"""Continues a fault while the test waits for the alert."""


def done() -> None:
    """Do nothing more: the cause has already happened."""


def slow_purchases(world: World) -> Act:
    account = world.account(1_000_000)
    assert world.buy(account) == "00"
    url = on_server(world.servers.endpoints.superuser_url, "carteira")
    held = """SELECT 1 FROM ledger_accounts JOIN benefits_accounts ON holder_id = benefits_accounts.id
              WHERE reference = %s FOR UPDATE OF ledger_accounts"""

    def ask() -> None:
        with psycopg.connect(url) as connection, ThreadPoolExecutor(4) as pool:
            connection.execute(held, [account])
            answers = list(pool.map(world.buy, [account] * 4))
        assert answers == ["07"] * 4, "the account stays locked for longer than a request waits"

    return ask


def without_token(world: World) -> Act:
    def ask() -> None:
        for _ in range(10):
            assert world.client.post(AUTHORIZER, content=purchase("123")).json() == {"code": "07"}

    return ask


def poor_purchases(world: World) -> Act:
    account = world.account(1)
    return lambda: [world.buy(account, "50.00") for _ in range(3)]


def cashback_asked(world: World) -> Act:
    query = {"cpf": new_cpf()}
    return lambda: world.client.get("/cashback/accumulated", params=query, headers=world.operator)


def undecided_month(world: World) -> Act:
    person = new_person()
    reseller = {name: person[name] for name in ("full_name", "cpf", "email", "password")}
    assert world.client.post("/resellers", json=reseller).status_code == 201
    bought = {"code": "NF-1", "amount": 1000, "date": "2024-03-10", "cpf": person["cpf"]}
    assert world.client.post("/purchases", json=bought, headers=world.operator).status_code == 201
    return done


def old_operation(world: World) -> Act:
    top_up = {"account": world.account(0), "category": "CASH", "amount": 5000}
    path = f"/benefits/accounts/{top_up.pop('account')}/credits"
    answer = world.client.post(path, json=top_up, headers=world.operator | {"Idempotency-Key": str(uuid4())})
    assert answer.status_code == 202, answer.text
    world.sql("UPDATE pending_operations SET created_at = now() - interval '25 hours'")
    return done


def many_events(world: World) -> Act:
    """Hold a follower's place in another session while events arrive, to the end."""
    url = on_server(world.servers.endpoints.superuser_url, "carteira")
    connection = psycopg.connect(url)
    world.stack.callback(connection.close)
    connection.execute("SELECT 1 FROM event_followers WHERE name = 'notices' FOR UPDATE")
    insert_events(world, *(uuid7() for _ in range(1001)))
    return done


def old_event(world: World) -> Act:
    insert_events(world, first_uuid7(time.time() - 1200))
    return done


def insert_events(world: World, *ids: UUID) -> None:
    url = on_server(world.servers.endpoints.superuser_url, "carteira")
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.executemany("INSERT INTO events (id, topic, payload) VALUES (%s, 'test', '{}')", [(id_,) for id_ in ids])


def late_job(world: World) -> Act:
    """Make a job wait for another with the same lock, under a worker whose heartbeat is an hour ahead."""
    world.sql(
        "INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() + interval '1 hour')",
        """INSERT INTO procrastinate_jobs (queue_name, task_name, status, lock, worker_id)
           SELECT 'default', 'kit:long', 'doing', 'held', max(id) FROM procrastinate_workers""",
    )
    world.run_job("ledger:roll_up", lock="held", at=datetime.now(UTC) - timedelta(minutes=10))
    return done


def stalled_file(world: World) -> Act:
    world.sql(
        """INSERT INTO benefits_imports (id, employer_id, actor_kind, actor_id, invite, lines, created_at)
           VALUES (uuidv7(), uuidv7(), 'command', 'test', false, 1, now() - interval '2 hours')"""
    )
    return done


def undelivered_event(world: World) -> Act:
    world.sql(
        """INSERT INTO webhook_deliveries
             (endpoint_id, message_id, event, body, created_at, retry_until, next_attempt_at)
           SELECT uuidv7(), uuidv7(), 'test', '{}', now() - interval '2 hours', later, later
           FROM (SELECT now() + interval '1 day' AS later)"""
    )
    return done


def failed_job(world: World) -> Act:
    world.run_job("kit:unknown")
    return done


def guessed_codes(world: World) -> Act:
    cpf = new_cpf()
    asked = world.client.post("/password-recovery", json={"cpf": cpf})
    assert asked.status_code == 202, asked.text

    def guess() -> None:
        for _ in range(60):
            headers = {"X-Forwarded-For": random_address()}
            body = {"cpf": cpf, "code": "00000000"}
            answer = world.client.post("/password-recovery/verify", json=body, headers=headers)
            assert answer.status_code in {400, 401, 422, 429}, answer.text

    return guess


def wrong_balance(world: World) -> Act:
    world.account(500)
    world.sql("UPDATE ledger_accounts SET balance = balance + 1 WHERE balance = 500")
    world.run_job("ledger:reconcile")
    return done


def unchecked_ledger(world: World) -> Act:
    world.sql("UPDATE ledger_checks SET checked_at = now() - interval '27 hours'")
    return done


def not_wholly_checked_ledger(world: World) -> Act:
    world.sql("UPDATE ledger_checks SET checked_at = now(), whole_at = now() - interval '9 days'")
    return done


def altered_audit(world: World) -> Act:
    world.sql("UPDATE audit_checks SET whole_at = now() - interval '7 days'")
    world.sql("UPDATE audit_log SET action = 'altered' WHERE id = (SELECT min(id::text)::uuid FROM audit_log)")
    world.run_job("identity:verify_audit")
    return done


def unverified_audit(world: World) -> Act:
    world.sql("UPDATE audit_checks SET checked_at = now() - interval '49 hours'")
    return done


def not_wholly_verified_audit(world: World) -> Act:
    world.sql("UPDATE audit_checks SET checked_at = now(), whole_at = now() - interval '9 days'")
    return done


def missing_audit(world: World) -> Act:
    """Record what a server reports after the first such request: a series that did not exist before."""
    world.recorded.append('carteira_audit_missing_total{route="/benefits/accounts"} 1.0')
    return done


def old_backup(world: World) -> Act:
    now = time.time()
    world.recorded += ["carteira_backup_kept 1.0", f"carteira_backup_made_timestamp_seconds {now - 100_000}"]
    return done


def log_left_behind(world: World) -> Act:
    now = time.time()
    world.recorded += ["carteira_backup_log_kept 1.0", f"carteira_backup_log_timestamp_seconds {now - 2_000}"]
    return done


def lacking_months(world: World) -> Act:
    drop_months(on_server(world.servers.endpoints.owner_url, "carteira"), "events", month(2))
    return done


def another_list(world: World) -> Act:
    world.recorded.append('carteira_payments_unreconciled{kind="missing_there"} 1.0')
    return done


def unread_list(world: World) -> Act:
    world.recorded.append(f"carteira_payments_read_until_timestamp_seconds {time.time() - 2_000}")
    return done


def unplaced_payment(world: World) -> Act:
    world.recorded.append("carteira_payments_to_return 1.0")
    return done


def contested_payment(world: World) -> Act:
    world.recorded.append("carteira_payments_taken_back 1.0")
    return done


def postgresql_stops(world: World) -> Act:
    world.servers.postgres.stop()
    return lambda: world.buy("123")


def errors(world: World) -> Act:
    return lambda: world.client.get("/users", headers=world.operator).status_code == 503


def spooled_audit(world: World) -> Act:
    folder = world.server.home / "audit"
    folder.mkdir(exist_ok=True)
    (folder / f"{uuid4()}.json").write_text("[]")
    return done


def worker_stops(world: World) -> Act:
    world.worker.process.kill()
    return done


def server_stops(world: World) -> Act:
    world.server.process.terminate()
    return done


def as_before(_world: World) -> Act:
    return done


FRESH = {"LedgerNeverChecked": as_before, "AuditNeverVerified": as_before}
"""The state before the first night."""
CAUSES: dict[str, Callable[[World], Act]] = {
    "AuthorizerLatencyBurnsFast": slow_purchases,
    "AuthorizerLatencyBurnsSlowly": slow_purchases,
    "ProcessorNotAuthenticated": without_token,
    "DeclinesUnusual": poor_purchases,
    "CashbackServiceDown": cashback_asked,
    "MonthOverdue": undecided_month,
    "PendingOperationOld": old_operation,
    "FollowerBehind": many_events,
    "FollowerStuck": old_event,
    "JobsLate": late_job,
    "BulkOverdue": stalled_file,
    "WebhooksLate": undelivered_event,
    "JobsFailed": failed_job,
    "CodesGuessed": guessed_codes,
    "LedgerWrong": wrong_balance,
    "LedgerNotChecked": unchecked_ledger,
    "LedgerNotCheckedWhole": not_wholly_checked_ledger,
    "AuditTampered": altered_audit,
    "AuditNotVerified": unverified_audit,
    "AuditNotVerifiedWhole": not_wholly_verified_audit,
    "AuditMissing": missing_audit,
    "BackupOld": old_backup,
    "LogNotArchived": log_left_behind,
    "PartitionsLacking": lacking_months,
    "PaymentsNotReconciled": another_list,
    "PaymentsNotRead": unread_list,
    "PaymentsToReturn": unplaced_payment,
    "PaymentsTakenBack": contested_payment,
    # PostgreSQL is down from here on
    "AvailabilityBurnsFast": postgresql_stops,
    "AvailabilityBurnsSlowly": errors,
    "AuditSpooled": spooled_audit,
    "WorkerDown": worker_stops,
    "CarteiraDown": server_stops,
}
"""The alerts in an order in which their causes do not disturb each other."""
BURNING = {alert for alert in CAUSES if "Burns" in alert}
"""Both alerts of a pair fire at once where days are seconds, and count what the earlier causes did."""


def fires(world: World, alert: str, go_on: Act) -> bool:
    go_on()
    return alert in world.prometheus.firing()


@pytest.mark.parametrize("alert", FRESH)
def test_an_alert_fires_that_nothing_was_proven_yet(world: World, alert: str) -> None:
    wait_until(lambda: fires(world, alert, done), f"{alert} fires", 60)


def test_none_fires_while_all_is_well(world: World) -> None:
    for job in ("ledger:reconcile", "ledger:verify", "identity:verify_audit"):
        world.run_job(job)
    account = world.account(1_000_000)

    def is_well() -> bool:
        assert world.buy(account) == "00"
        measured = world.prometheus.value("count(rate(carteira_authorizations_total[5s])) + min(up)")
        return measured == 2 and not world.prometheus.firing()

    wait_until(is_well, "everything is measured and nothing fires", 60)
    names = {alert["labels"]["alertname"] for alert in world.prometheus.ask("alerts")["alerts"]}
    assert not names


@pytest.mark.parametrize("alert", CAUSES)
def test_each_alert_fires_on_its_event(world: World, alert: str) -> None:
    assert alert not in world.prometheus.firing() or alert in BURNING
    go_on = CAUSES[alert](world)
    wait_until(lambda: fires(world, alert, go_on), f"{alert} fires", 90)


def test_every_rule_is_made_to_fire() -> None:
    rules = re.findall(r"- alert: (\w+)", RULES)
    assert sorted(rules) == sorted({**FRESH, **CAUSES})
    assert len(rules) == len(set(rules))


def test_firing_alerts_reach_their_receivers(world: World) -> None:
    if world.told is None:
        pytest.skip("NO ALERTMANAGER: nobody was told of an alert (`make proxies`)")
    severities = dict(re.findall(r"- alert: (\w+)\n(?:.*\n)*?\s+labels: \{severity: (\w+)\}", RULES))
    assert severities.keys() == {**FRESH, **CAUSES}.keys()
    told = world.told
    wait_until(lambda: {"AvailabilityBurnsFast", "WorkerDown", "CarteiraDown"} <= told["page"], "who is on call knows")
    wait_until(lambda: {"JobsFailed", "PendingOperationOld"} <= told["ticket"], "the tracker has them")
    for receiver, alerts in told.items():
        assert {severities[alert] for alert in alerts} == {receiver}
