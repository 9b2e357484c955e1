"""A database that must not be served from is reported: by readiness, by the gate, and before a start."""

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import psycopg
import pytest
from psycopg import sql
from sqlalchemy import text

from carteira import database_state, schema
from carteira.database_state import watched
from carteira.embedded import SERVICE, Endpoints, free_port
from carteira.kit.db.address import DatabaseAddress
from carteira.kit.db.engine import open_database
from carteira.kit.db.errors import DatabaseDown
from carteira.kit.db.pooling import sessions_are_shared
from carteira.kit.web.health import NotReady
from carteira.schema import Fit
from tests.support.commands import run_command
from tests.support.databases import NewDatabase, as_owner, as_service, on_server
from tests.support.people import PASSWORD, new_person
from tests.support.pgbouncer import running_pgbouncer
from tests.support.server import clean_environment, running_server
from tests.support.waiting import until, wait_until

pytestmark = pytest.mark.integration


@pytest.fixture
def empty(endpoints: Endpoints) -> Iterator[str]:
    """A database without the migrations."""
    with psycopg.connect(endpoints.superuser_url, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS test_state_empty WITH (FORCE)")
        connection.execute("CREATE DATABASE test_state_empty OWNER carteira")
        yield on_server(endpoints.database_url, "test_state_empty")
        connection.execute("DROP DATABASE IF EXISTS test_state_empty WITH (FORCE)")


def at_revision(owner: str, revision: str, said: str | None) -> None:
    """Make a database say that another release migrated it."""
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute("UPDATE alembic_version SET version_num = %s", (revision,))
        connection.execute(sql.SQL("COMMENT ON TABLE alembic_version IS {}").format(sql.Literal(said)))


async def reason_of(url: str, *, may_own: bool = True) -> str | None:
    """Check a database; the gate gives the same reason, and lets no request through."""
    async with open_database(url) as database, watched(database, may_own=may_own) as watch:
        with suppress(NotReady):
            assert await watch.ready() is True
            assert database.gate.reason is None
            return None
        for way in (database.transaction(), database.lean_transaction(), database.lean_statements()):
            with pytest.raises(DatabaseDown, match=re.escape(str(database.gate.reason))):
                await way.__aenter__()
        return database.gate.reason


async def test_a_database_that_is_well(new_database: NewDatabase, endpoints: Endpoints) -> None:
    assert await reason_of(as_service(endpoints, new_database("state_well")), may_own=False) is None


async def test_a_database_that_does_not_exist(endpoints: Endpoints) -> None:
    assert await reason_of(on_server(endpoints.database_url, "nowhere")) == "o banco de dados não existe"


async def test_a_wrong_password(endpoints: Endpoints) -> None:
    port = DatabaseAddress.parse(endpoints.database_url).hosts[0].port
    said = await reason_of(f"postgresql://carteira_app:errada@127.0.0.1:{port}/carteira")
    assert said == "o PostgreSQL recusou a senha de DATABASE_URL"


async def test_nobody_answers() -> None:
    assert await reason_of(f"postgresql://carteira@127.0.0.1:{free_port()}/carteira") == database_state.UNREACHABLE


async def test_a_database_that_nobody_migrated(empty: str) -> None:
    assert await reason_of(empty) == database_state.NOT_MIGRATED


async def test_a_database_of_an_earlier_release(new_database: NewDatabase, endpoints: Endpoints) -> None:
    url = as_service(endpoints, new_database("state_old"))
    at_revision(as_owner(endpoints, url), "0033", None)
    assert await reason_of(url) == database_state.NOT_MIGRATED


async def test_a_database_that_is_too_new(new_database: NewDatabase, endpoints: Endpoints) -> None:
    url = as_service(endpoints, new_database("state_new"))
    for said in (None, "serves servers since 9998"):
        at_revision(as_owner(endpoints, url), "9999", said)
        assert await reason_of(url) == database_state.TOO_NEW.format(revision="9999")


async def test_a_newer_database_that_still_serves_this_release(new_database: NewDatabase, endpoints: Endpoints) -> None:
    url = as_service(endpoints, new_database("state_newer"))
    at_revision(as_owner(endpoints, url), "9999", f"serves servers since {schema.SERVES_SINCE}")
    async with open_database(url) as database, watched(database, may_own=False) as watch:
        assert await watch.ready() == database_state.NEWER.format(revision="9999")


def test_migrating_stores_the_oldest_served_revision(new_database: NewDatabase, endpoints: Endpoints) -> None:
    owner = as_owner(endpoints, new_database("state_says"))
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute("COMMENT ON TABLE alembic_version IS NULL")
        schema.migrate(owner)
        (said,) = connection.execute("SELECT obj_description('alembic_version'::regclass)").fetchone() or ("",)
    assert said == schema.SERVES + schema.SERVES_SINCE
    assert schema.fit_of("9999", said) is Fit.NEWER


async def test_a_role_without_rights(new_database: NewDatabase, endpoints: Endpoints) -> None:
    url = as_service(endpoints, new_database("state_rights"))
    with psycopg.connect(as_owner(endpoints, url), autocommit=True) as connection:
        connection.execute("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM carteira_app")
    assert await reason_of(url) == database_state.NO_RIGHTS


async def test_a_role_that_owns_the_tables(new_database: NewDatabase, endpoints: Endpoints) -> None:
    owner = as_owner(endpoints, new_database("state_owner"))
    assert "audit_chain, audit_log" in str(await reason_of(owner, may_own=False))
    assert await reason_of(owner, may_own=True) is None


async def test_an_excessive_right(new_database: NewDatabase, endpoints: Endpoints) -> None:
    url = as_service(endpoints, new_database("state_excess"))
    with psycopg.connect(as_owner(endpoints, url), autocommit=True) as connection:
        connection.execute("GRANT DELETE ON ledger_postings TO PUBLIC")
    assert "(ledger_postings)" in str(await reason_of(url, may_own=False))


async def test_the_gate_opens_once_the_database_is_migrated(empty: str, endpoints: Endpoints) -> None:
    async with open_database(empty) as database, watched(database, may_own=False):
        assert database.gate.reason == database_state.NOT_MIGRATED
        await asyncio.to_thread(schema.migrate, as_owner(endpoints, empty))
        await until(lambda: database.gate.reason == database_state.NO_RIGHTS, "the watch sees the tables")
        await asyncio.to_thread(schema.grant, as_owner(endpoints, empty), SERVICE)
        await until(lambda: database.gate.reason is None, "the gate opens")
        async with database.transaction() as tx:
            assert await tx.scalar(text("SELECT count(*) FROM users")) == 0


async def test_concurrent_checks_run_one_after_the_other(new_database: NewDatabase, endpoints: Endpoints) -> None:
    own = as_service(endpoints, new_database("state_turns"))
    async with open_database(own) as database, watched(database, may_own=False) as watch:
        assert await asyncio.gather(*(watch.ready() for _ in range(20))) == [True] * 20


def test_a_server_waits_for_the_migration_and_says_so(empty: str, endpoints: Endpoints, tmp_path: Path) -> None:
    port = free_port()
    env = clean_environment(
        tmp_path, port=port, database_url=empty, redis_url=endpoints.redis_url, carteira_modules="none"
    )
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen([sys.executable, "-m", "carteira", "serve"], env=env, cwd=tmp_path)
    try:
        wait_for(url)
        ready = httpx.get(url + "/health/ready")
        assert (ready.status_code, ready.json()["checks"]["database"]) == (503, False)
        assert ready.json()["reasons"] == {"database": database_state.NOT_MIGRATED}
        refused = httpx.post(url + "/auth/login", data={"username": "153.509.460-56", "password": "x"})
        assert (refused.status_code, refused.json()["code"]) == (503, "database_down")
    finally:
        process.terminate()
        process.wait()


def wait_for(url: str, path: str = "/health") -> None:
    def answers() -> bool:
        try:
            return httpx.get(url + path).status_code == 200
        except httpx.TransportError:
            return False

    wait_until(answers, "the server answers", 60)


def start(home: Path, word: str, **settings: object) -> subprocess.CompletedProcess[str]:
    return run_command(home, {"port": free_port(), "worker_port": 0} | settings, word)


@pytest.mark.parametrize("command", ["serve", "worker", "migrate"])
def test_a_pooler_that_shares_sessions_is_refused(endpoints: Endpoints, tmp_path: Path, command: str) -> None:
    with running_pgbouncer(endpoints.database_url, {"pool_mode": "transaction"}) as bouncer:
        done = start(tmp_path, command, database_url=bouncer.url("127.0.0.1"))
    assert (done.returncode, done.stderr.strip()) == (1, f"Erro: {database_state.POOLED}.")


@pytest.mark.parametrize(
    ("mode", "settings"),
    [
        ("transaction", {}),
        ("transaction", {"server_round_robin": 1, "min_pool_size": 3}),
        ("transaction", {"default_pool_size": 1}),
        ("statement", {}),
    ],
    ids=str,
)
async def test_every_way_of_sharing_is_found(endpoints: Endpoints, mode: str, settings: dict[str, int]) -> None:
    with running_pgbouncer(endpoints.database_url, {"pool_mode": mode, **settings}) as bouncer:
        assert await sessions_are_shared(DatabaseAddress.parse(bouncer.url("127.0.0.1")))
        assert await reason_of(bouncer.url("127.0.0.1")) == database_state.POOLED


@pytest.mark.parametrize("settings", [{}, {"server_round_robin": 1}, {"default_pool_size": 1}], ids=str)
async def test_own_sessions_are_distinguished(endpoints: Endpoints, settings: dict[str, int]) -> None:
    with running_pgbouncer(endpoints.database_url, {"pool_mode": "session", **settings}) as bouncer:
        assert not await sessions_are_shared(DatabaseAddress.parse(bouncer.url("127.0.0.1")))


def test_behind_a_pooler_of_sessions_everything_goes_on(
    new_database: NewDatabase, endpoints: Endpoints, tmp_path: Path
) -> None:
    url = as_service(endpoints, new_database("state_pooled"))
    with running_pgbouncer(url, {"pool_mode": "session", "default_pool_size": 50}) as bouncer:
        pooled = bouncer.url("127.0.0.1")
        with running_server(tmp_path, workers=1, database_url=pooled, redis_url=endpoints.redis_url) as server:
            person = new_person()
            assert httpx.post(server.url + "/users/register", json=person).status_code == 201
            login = {"username": person["cpf"], "password": PASSWORD}
            signed_in = httpx.post(server.url + "/auth/login", data=login)
            assert signed_in.status_code == 200
            token = {"Authorization": f"Bearer {signed_in.json()['access_token']}"}
            for _ in range(12):
                assert httpx.get(server.url + "/users/me", headers=token).status_code == 200
            env = {**server.env, "WORKER_PORT": str(free_port())}
            worker = subprocess.Popen([sys.executable, "-m", "carteira", "worker"], env=env, cwd=tmp_path)
            try:
                wait_for(f"http://127.0.0.1:{env['WORKER_PORT']}", "/health/ready")
            finally:
                worker.terminate()
            assert worker.wait(30) == 0


def test_behind_a_pooler_of_sessions_it_is_migrated(
    new_database: NewDatabase, endpoints: Endpoints, tmp_path: Path
) -> None:
    url = as_service(endpoints, new_database("state_pooled_owner"))
    with running_pgbouncer(as_owner(endpoints, url), {"pool_mode": "session"}) as bouncer:
        owner = bouncer.url("127.0.0.1")
        done = start(tmp_path, "migrate", database_url=url, migration_database_url=owner)
        assert (done.returncode, done.stderr.strip()) == (0, "Banco de dados em dia.")
