"""Every query of every dashboard returns data from a real Prometheus that scrapes the running product."""

import math
import re
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from tests.support import files
from tests.support.benefits import AUTHORIZER, processor_headers, purchase
from tests.support.documents import FIELDS
from tests.support.monitored import World, monitored
from tests.support.people import new_person
from tests.support.prometheus import is_installed
from tests.support.waiting import wait_until
from tools.dashboards import DASHBOARDS

QUERIES = sorted({query for dashboard in DASHBOARDS for panel in dashboard.panels for query, _ in panel.queries})
NOT_COUNTED_HERE = {
    "carteira_client_tokens_total",  # no machine is measured
    "carteira_cpf_proofs_total",  # nor gov.br
    "carteira_errors_total",  # nothing fails
    "carteira_messages_left_out_total",  # only in staging
    "carteira_work_turned_away_total",  # no load is shed
}
"""Metrics that have no series until an event of their kind happens."""
pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(180),
    pytest.mark.skipif(not is_installed(), reason="NO PROMETHEUS: no dashboard was seen to have data (`make proxies`)"),
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    modules = "benefits,resellers,transit,documents,assistant"
    with monitored(tmp_path_factory.mktemp("dashboards"), modules) as world:
        for job in ("ledger:reconcile", "ledger:verify", "identity:verify_audit"):
            world.run_job(job)
        for _ in range(2):
            happen(world)
        yield world


def happen(world: World) -> None:
    """Do a little of everything that a dashboard shows."""
    client, account = world.client, world.account(10_000)
    answers = [world.buy(account), world.buy(account, "500.00"), world.buy("nobody")]
    assert answers == ["00", "51", "07"]
    bought = purchase(account, id=(reference := str(uuid4())))
    client.post(AUTHORIZER, content=bought, headers=processor_headers())
    for path in ("query", "reversal"):
        body = {"id": reference} | ({"reversalId": str(uuid4())} if path == "reversal" else {})
        client.post(f"{AUTHORIZER}/{path}", json=body, headers=processor_headers())
    body = new_person()
    assert client.post("/users/register", json=body).status_code == 201
    login = {"username": body["cpf"], "password": body["password"]}
    own = {"Authorization": f"Bearer {client.post('/auth/login', data=login).json()['access_token']}"}
    assert client.post("/auth/login", data=login | {"password": "Errada7amarela"}).status_code == 401
    client.post("/password-recovery", json={"cpf": body["cpf"]})
    client.post("/password-recovery/verify", json={"cpf": body["cpf"], "code": "00000000"})
    card = client.post("/transport-cards", json={}, headers=own).json()
    moved = client.post(f"/transport-cards/{card['card_number']}/recharge", json={"amount": 500}, headers=own)
    assert moved.status_code == 200, moved.text
    for sent in (files.pdf(2_000), b"nothing that is known"):
        client.post("/documents", data=FIELDS, files={"file": ("a.pdf", sent, "application/pdf")}, headers=own)
    client.post("/chatbot/start", headers=own)
    asked = client.post("/chatbot/chat", json={"message": "como faço para trocar a minha senha?"}, headers=own)
    assert asked.status_code == 200, asked.text
    path, key = f"/benefits/accounts/{account}/credits", {"Idempotency-Key": str(uuid4())}
    above = client.post(path, json={"category": "CASH", "amount": 5000}, headers=world.operator | key)
    assert above.status_code == 202, above.text
    person = new_person()
    reseller = {name: person[name] for name in ("full_name", "cpf", "email", "password")}
    client.post("/resellers", json=reseller)
    sold = {"code": f"NF-{uuid4()}", "amount": 1000, "date": "2024-03-10", "cpf": person["cpf"]}
    assert client.post("/purchases", json=sold, headers=world.operator).status_code == 201
    address = urlsplit(client.base_url.__str__())
    with socket.create_connection((address.hostname, address.port), timeout=10) as raw:
        raw.sendall(b"no http at all\r\n\r\n")
        raw.recv(1024)


def data_of(world: World, query: str) -> bool:
    asked = query.replace("$__rate_interval", "60s")
    return any(math.isfinite(float(one["value"][1])) for one in world.prometheus.ask("query", query=asked)["result"])


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_returns_data(world: World, query: str) -> None:
    wait_until(lambda: data_of(world, query), "there is data", 60)


def test_metrics_of_the_queries_exist(world: World) -> None:
    names = set(re.findall(r"\bcarteira_\w+", "\n".join(QUERIES)))
    wait_until(lambda: not missing(world, names), f"all are there: {missing(world, names)}", 60)


def missing(world: World, names: set[str]) -> set[str]:
    known = set(world.prometheus.ask("label/__name__/values"))
    return names - known - NOT_COUNTED_HERE
