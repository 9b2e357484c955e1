"""A real server with PostgreSQL stopped for longer than standings are cached: known sessions continue to read."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from carteira.embedded import EmbeddedServers
from carteira.identity.sessions.standing import CACHE_SECONDS
from carteira.kit.security import tokens
from tests.support.credit import BASE_A, BASE_B, PURPOSE
from tests.support.databases import prepare
from tests.support.people import PASSWORD, new_cpf, new_person
from tests.support.server import Server, running_server

ADMINISTRATOR = 2
BUDGET_SECONDS = 2.5

pytestmark = pytest.mark.integration


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[EmbeddedServers]:
    with EmbeddedServers(tmp_path / "embedded") as running:
        prepare(running.endpoints)
        yield running


@pytest.fixture
def server(servers: EmbeddedServers, tmp_path: Path) -> Iterator[Server]:
    endpoints = servers.endpoints
    with running_server(
        tmp_path,
        workers=1,
        database_url=endpoints.database_url,
        redis_url=endpoints.redis_url,
        aws_endpoint_url=endpoints.aws_endpoint_url,
        carteira_modules="credit",
    ) as running:
        yield running


@pytest.fixture
def http(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=30, headers=PURPOSE) as client:
        yield client


def sign_in(http: httpx.Client, operator: dict[str, str]) -> dict[str, str]:
    """Return the headers of a new signed-in person who may see credit profiles."""
    body = new_person()
    person = http.post("/users/register", json=body).json()
    given = http.put(f"/users/{person['id']}/role", json={"role_id": ADMINISTRATOR}, headers=operator)
    assert given.status_code == 200
    answer = http.post("/auth/login", data={"username": body["email"], "password": PASSWORD})
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def test_signed_in_people_see_bases_b_and_c_during_an_outage(
    servers: EmbeddedServers, server: Server, http: httpx.Client
) -> None:
    key = tokens.load_or_create_key(server.home / "keys" / "access-token.pem")
    token = tokens.sign(key, subject=str(uuid4()), ttl_seconds=600, claims={"claims": ["*"]})
    operator = {"Authorization": f"Bearer {token}"}
    cpf = new_cpf()
    for base, content in (("base-a", BASE_A), ("base-b", BASE_B)):
        assert http.put(f"/credit/{cpf}/{base}", json=content, headers=operator).status_code == 201
    analyst, leaver = sign_in(http, operator), sign_in(http, operator)
    whole = http.get(f"/credit/{cpf}", headers=analyst).json()
    assert (whole["unavailable"], whole["base_a"]["name"]) == ([], BASE_A["name"])
    assert http.get(f"/credit/{cpf}", headers=leaver).status_code == 200
    assert http.delete("/auth/sessions", headers=leaver).status_code == 204
    servers.postgres.stop()
    asked, until = 1, time.monotonic() + CACHE_SECONDS + 2
    while (began := time.monotonic()) < until:
        answer = http.get(f"/credit/{cpf}", headers=analyst)
        assert time.monotonic() - began < BUDGET_SECONDS
        asked += 1
        part = answer.json()
        assert (answer.status_code, part["unavailable"], part["base_a"]) == (200, ["base_a"], None)
        assert part["base_b"] == whole["base_b"]
        assert http.get(f"/credit/{cpf}", headers=leaver).status_code == 503
    assert http.get("/users/me", headers=analyst).status_code == 503
    [count] = re.findall(r"^carteira_stale_standings_total (\S+)$", http.get("/metrics").text, re.MULTILINE)
    assert 1 < float(count) < asked, "the first five seconds are the ordinary cache's"
    servers.postgres.start()
    assert http.get(f"/credit/{cpf}", headers=analyst).json()["base_a"] == whole["base_a"]
    assert http.get(f"/credit/{cpf}", headers=leaver).status_code == 401
    log = server.log.read_text()
    assert log.count("database unavailable, cached standings used") == 1
    assert log.count("database available, standings read again") == 1
