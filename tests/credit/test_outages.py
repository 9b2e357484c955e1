"""Each base really stopped in turn: the profile answers in time, with the others, and names the missing one."""

import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import asyncpg
import pytest
from sqlalchemy import text

from carteira.embedded import EmbeddedServers
from carteira.identity.sessions import standing
from carteira.kit.db.errors import DatabaseDown
from tests.support.app import RunningApp, running_app, settings_for
from tests.support.console import desk_of
from tests.support.credit import BASE_B, PURPOSE, analyst_of, fill_bases
from tests.support.databases import prepare
from tests.support.people import PASSWORD, Person, new_cpf, new_person

BUDGET_SECONDS = 2.5
"""The largest budget (1 s), plus the delays of a busy machine."""


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServers]:
    fast = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "32MB"}
    with EmbeddedServers(tmp_path_factory.mktemp("outages"), postgres_settings=fast) as servers:
        prepare(servers.endpoints)
        yield servers


@pytest.fixture(scope="module")
async def app(servers: EmbeddedServers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningApp]:
    settings = settings_for(
        tmp_path_factory.mktemp("outages-home"),
        database_url=servers.endpoints.database_url,
        redis_url=servers.endpoints.redis_url,
        aws_endpoint_url=servers.endpoints.aws_endpoint_url,
        carteira_modules="credit",
    )
    async with running_app(settings) as app:
        yield app


@pytest.fixture(scope="module")
def analyst(app: RunningApp) -> Person:
    return analyst_of(app, "*")


async def sign_in_analyst(analyst: Person) -> tuple[str, Person]:
    """Register a person, give them the administrator's role, and sign them in; return their id, too."""
    body = new_person()
    person = (await analyst.client.post("/users/register", json=body)).json()
    assert (await analyst.call("PUT", f"/users/{person['id']}/role", json={"role_id": 2})).status_code == 200
    answer = await analyst.client.post("/auth/login", data={"username": body["email"], "password": PASSWORD})
    analyst.client.cookies.clear()
    return person["id"], replace(
        analyst, headers=PURPOSE | {"Authorization": f"Bearer {answer.json()['access_token']}"}
    )


OUTAGES = [("base_a", "postgres"), ("base_b", "aws"), ("base_c", "redis")]


@pytest.mark.integration
@pytest.mark.parametrize(("base", "server"), OUTAGES)
async def test_a_base_that_is_down_is_named_and_the_others_answer(
    servers: EmbeddedServers, analyst: Person, base: str, server: str
) -> None:
    cpf = new_cpf()
    await fill_bases(analyst, cpf)
    event = {"type": "movement", "direction": "in", "amount": 77}
    assert (await analyst.call("POST", f"/credit/{cpf}/base-c/events", json=event)).status_code == 201
    whole = (await analyst.call("GET", f"/credit/{cpf}")).json()
    assert whole["unavailable"] == []
    getattr(servers, server).kill()
    try:
        for _ in range(2):
            began = time.monotonic()
            answer = await analyst.call("GET", f"/credit/{cpf}")
            seconds = time.monotonic() - began
            part = answer.json()
            assert (answer.status_code, part["unavailable"]) == (200, [base])
            assert seconds < BUDGET_SECONDS
            assert part[base] is None
            for other, _ in OUTAGES:
                assert other == base or part[other] is not None
        direct = await analyst.call("GET", f"/credit/{cpf}/{base.replace('_', '-')}")
        assert direct.status_code == 503
        assert "retry-after" in direct.headers
    finally:
        getattr(servers, server).start()
    back = (await analyst.call("GET", f"/credit/{cpf}")).json()
    assert back["unavailable"] == []
    for part in (back, whole):
        del part["base_c"]["last_bureau_query"]  # each look-up is one
    assert back == whole


@pytest.mark.integration
async def test_the_desk_distinguishes_a_base_that_is_down_from_one_without_data(
    servers: EmbeddedServers, app: RunningApp
) -> None:
    async with desk_of(app, "analista de crédito") as browser:
        home = "/console/credito"
        form, asked = await browser.get(home), {"cpf": new_cpf(), "purpose": "credit_analysis"}
        whole = await browser.follow(await browser.send(form, home, None, **asked))
        assert (whole.text.count("Sem dados deste CPF."), whole.text.count("Indisponível agora.")) == (2, 0)
        servers.aws.kill()
        try:
            part = await browser.follow(await browser.send(form, home, None, **asked))
        finally:
            servers.aws.start()
        assert "A base B não respondeu agora" in part.text
        assert "Base B: renda e bens Indisponível agora." in part.text
        assert (part.text.count("Sem dados deste CPF."), part.text.count("Indisponível agora.")) == (1, 1)


@pytest.mark.integration
async def test_a_look_that_cannot_be_kept_is_shown_at_once(servers: EmbeddedServers, app: RunningApp) -> None:
    async with desk_of(app, "analista de crédito") as browser:
        home = "/console/credito"
        form, asked = await browser.get(home), {"cpf": new_cpf(), "purpose": "credit_analysis"}
        kept = (await browser.send(form, home, None, **asked)).answer.headers["location"]
        servers.redis.kill()
        try:
            shown = await browser.send(form, home, None, **asked)
            gone = await browser.get(kept)
        finally:
            servers.redis.start()
        assert (shown.status, "recarregar é outra consulta" in shown.text) == (200, True)
        assert (gone.status, "Consulte de novo." in gone.text) == (404, True)


@pytest.mark.integration
async def test_a_read_of_base_a_does_not_need_redis(servers: EmbeddedServers, analyst: Person) -> None:
    cpf = new_cpf()
    await fill_bases(analyst, cpf)
    servers.redis.kill()
    try:
        for path in ("base-a", "base-b", "score"):
            assert (await analyst.call("GET", f"/credit/{cpf}/{path}")).status_code == 200
    finally:
        servers.redis.start()


@pytest.mark.integration
@pytest.mark.parametrize(("base", "server"), OUTAGES[1:])
async def test_a_base_that_hangs_is_given_up_on_within_its_budget(
    servers: EmbeddedServers, analyst: Person, base: str, server: str
) -> None:
    cpf = new_cpf()
    await fill_bases(analyst, cpf)
    pid: int = getattr(servers, server).pid
    os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        answer = await analyst.call("GET", f"/credit/{cpf}")
        assert (answer.status_code, answer.json()["unavailable"]) == (200, [base])
        assert time.monotonic() - began < BUDGET_SECONDS
    finally:
        os.kill(pid, signal.SIGCONT)
    assert (await analyst.call("GET", f"/credit/{cpf}")).json()["unavailable"] == []


@pytest.mark.integration
async def test_an_access_log_that_is_held_up_shows_nothing_of_base_a(servers: EmbeddedServers, analyst: Person) -> None:
    cpf = new_cpf()
    await fill_bases(analyst, cpf)
    holder = await asyncpg.connect(servers.endpoints.owner_url)
    async with holder.transaction():
        await holder.execute("SELECT FROM credit_access_head FOR UPDATE")
        part = (await analyst.call("GET", f"/credit/{cpf}")).json()
        assert (part["unavailable"], part["base_a"]) == (["base_a"], None)
    await holder.close()
    assert (await analyst.call("GET", f"/credit/{cpf}")).json()["unavailable"] == []


@pytest.mark.integration
async def test_a_record_that_was_tampered_with_does_not_take_the_others_along(
    servers: EmbeddedServers, analyst: Person
) -> None:
    cpf = new_cpf()
    await fill_bases(analyst, cpf)
    owner = await asyncpg.connect(servers.endpoints.owner_url)
    await owner.execute("UPDATE credit_records SET name = address")
    await owner.close()
    part = (await analyst.call("GET", f"/credit/{cpf}")).json()
    assert (part["unavailable"], part["base_b"] is not None) == (["base_a"], True)
    direct = await analyst.call("GET", f"/credit/{cpf}/base-a")
    assert (direct.status_code, direct.json()["code"]) == (500, "record_unreadable")


@pytest.fixture
def _longer_than_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every cached standing older than the cache's ordinary life; tests/faults really waits instead."""
    monkeypatch.setattr(standing, "CACHE_SECONDS", 0.0)


@pytest.mark.integration
@pytest.mark.usefixtures("_longer_than_the_cache")
async def test_signed_in_people_continue_without_base_a(servers: EmbeddedServers, analyst: Person) -> None:
    cpf, (_, analyst) = new_cpf(), await sign_in_analyst(analyst)
    await fill_bases(analyst, cpf)
    assert (await analyst.call("GET", f"/credit/{cpf}")).json()["unavailable"] == []
    servers.postgres.kill()
    try:
        for _ in range(3):
            began = time.monotonic()
            answer = await analyst.call("GET", f"/credit/{cpf}")
            assert time.monotonic() - began < BUDGET_SECONDS
            part = answer.json()
            assert (answer.status_code, part["unavailable"], part["base_a"]) == (200, ["base_a"], None)
            assert part["base_b"]["birth_date"] == BASE_B["birth_date"]
            assert part["base_c"]["last_bureau_query"] is not None
        for path, status in (("base-a", 503), ("base-b", 200), ("base-c", 200), ("score", 200), ("accesses", 503)):
            assert (await analyst.call("GET", f"/credit/{cpf}/{path}")).status_code == status, path
    finally:
        servers.postgres.start()
    assert (await analyst.call("GET", f"/credit/{cpf}")).json()["unavailable"] == []


@pytest.mark.integration
@pytest.mark.usefixtures("_longer_than_the_cache")
async def test_a_session_ended_just_before_the_outage_sees_nothing(servers: EmbeddedServers, analyst: Person) -> None:
    cpf, (_, analyst) = new_cpf(), await sign_in_analyst(analyst)
    assert (await analyst.call("GET", f"/credit/{cpf}/base-b")).status_code == 404
    assert (await analyst.call("DELETE", "/auth/sessions")).status_code == 204
    servers.postgres.kill()
    try:
        assert (await analyst.call("GET", f"/credit/{cpf}/base-b")).status_code == 503
    finally:
        servers.postgres.start()
    assert (await analyst.call("GET", f"/credit/{cpf}/base-b")).status_code == 401


@pytest.mark.integration
@pytest.mark.usefixtures("_longer_than_the_cache")
async def test_a_redis_restarted_during_the_outage_admits_no_cached_session(
    servers: EmbeddedServers, analyst: Person
) -> None:
    cpf, (_, analyst) = new_cpf(), await sign_in_analyst(analyst)
    assert (await analyst.call("GET", f"/credit/{cpf}/base-b")).status_code == 404
    servers.postgres.kill()
    try:
        assert (await analyst.call("GET", f"/credit/{cpf}/base-b")).status_code == 404
        servers.redis.kill()
        servers.redis.start()
        assert (await analyst.call("GET", f"/credit/{cpf}/base-b")).status_code == 503
    finally:
        servers.postgres.start()
    assert (await analyst.call("GET", f"/credit/{cpf}/base-b")).status_code == 404


@pytest.mark.integration
async def test_looks_while_postgresql_is_away_wait_in_private_files_and_are_delivered_once(
    servers: EmbeddedServers, app: RunningApp, analyst: Person
) -> None:
    cpf = new_cpf()
    await fill_bases(analyst, cpf)
    user_id, signed_in = await sign_in_analyst(analyst)
    assert (await signed_in.call("GET", f"/credit/{cpf}/base-b")).status_code == 200
    folder = app.settings.carteira_home / "audit"
    before = {*folder.glob("*.json")}
    trail = app.api.state.audit_trail
    servers.postgres.kill()
    try:
        for path in ("/base-b", "/base-c", ""):
            assert (await signed_in.call("GET", f"/credit/{cpf}{path}")).status_code == 200, path
        files = sorted({*folder.glob("*.json")} - before)
        assert len(files) == 3
        assert folder.stat().st_mode & 0o077 == 0
        assert all(file.stat().st_mode & 0o077 == 0 and cpf not in file.read_text() for file in files)
        with pytest.raises(DatabaseDown):
            await trail.deliver()
        folder.chmod(0o500)
        if os.geteuid() == 0:  # modes do not stop root
            folder.rename(folder.with_name("elsewhere"))
            folder.write_text("in the way")
        refused = await signed_in.call("GET", f"/credit/{cpf}/base-b")
        assert (refused.status_code, refused.json()["code"]) == (503, "audit_down")
        if os.geteuid() == 0:
            folder.unlink()
            folder.with_name("elsewhere").rename(folder)
        folder.chmod(0o700)
    finally:
        servers.postgres.start()
    again = files[0].read_bytes()
    await app.database.ping()
    while list(folder.glob("*.json")):  # the server delivers, too
        await trail.deliver()
    files[0].write_bytes(again)  # as if the machine had stopped before the file was removed
    await trail.deliver()
    async with app.database.transaction() as tx:
        query = text("SELECT action, session_id IS NOT NULL FROM audit_log WHERE actor_id = :id AND look ORDER BY id")
        rows = (await tx.execute(query, {"id": user_id})).all()
    assert [tuple(row) for row in rows] == [
        ("credit_base_b_read", True),
        ("credit_base_b_read", True),
        ("credit_base_c_read", True),
        ("credit_profile_read", True),
    ]
