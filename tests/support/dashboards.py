"""Dashboards' queries and selectors, a product in which a little of everything happens, and what Prometheus then lacks.

A query's fallback to 0 would hide a label or value that is misspelt. So each query is asked without its fallback, and
each selector by itself, with each alternative of its regular expressions.
"""

import math
import re
import socket
from collections.abc import Callable, Collection
from dataclasses import dataclass
from urllib.parse import urlsplit
from uuid import uuid4

import httpx

from carteira.benefits.authorizer.answers import Reason
from tests.support import files
from tests.support.benefits import AUTHORIZER, purchase
from tests.support.documents import FIELDS
from tests.support.machines import FORM, TOKEN
from tests.support.people import new_cpf, new_person
from tests.support.prometheus import Prometheus
from tests.support.waiting import wait_until
from tools.dashboards import DASHBOARDS

QUERIES = sorted({query for dashboard in DASHBOARDS for panel in dashboard.panels for query, _ in panel.queries})
NOT_COUNTED = {
    "carteira_errors_total",  # nothing fails
    "carteira_messages_left_out_total",  # only in staging
    "carteira_work_turned_away_total",  # no load is shed
}
"""Metrics that have no series until an event of their kind happens; another test checks their labels' names."""
FAULTS = {f'reason="{reason}"' for reason in Reason}
"""Reasons that only a fault would count."""
JOBS = ("ledger:reconcile", "ledger:verify", "identity:verify_audit", "payments:poll", "payments:reconcile")
_FALLBACK = re.compile(r" or (on\(\) )?vector\(0\)")
_SELECTOR = re.compile(r"\b(carteira[\w:]+|up)\b(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'(\w+)(=~|=)"([^"]*)"')


@dataclass(frozen=True)
class Scene:
    """A running product, with the tokens of an operator and of the processor, and its payment provider's pages."""

    client: httpx.Client
    operator: dict[str, str]
    processor: dict[str, str]
    provider: str
    run_job: Callable[[str], None]


def selectors(query: str) -> set[str]:
    """Return a query's selectors, one for each alternative of a regular expression."""
    found = set()
    for metric, matchers in _SELECTOR.findall(query):
        made = [""]
        for label, operator, value in _MATCHER.findall(matchers):
            values = value.split("|") if operator == "=~" else [value]
            sign = "=~" if operator == "=~" and re.search(r"[.*+]", value) else "="
            made = [f'{before},{label}{sign}"{one}"' for before in made for one in values]
        found |= {f"{metric}{{{one[1:]}}}" if one else metric for one in made}
    return found


def proofs(not_counted: Collection[str] = ()) -> list[str]:
    """Return the expressions that must have data: queries without fallback, and selectors, unless not counted."""
    unseen = {*NOT_COUNTED, *FAULTS, *not_counted}

    def is_unseen(text: str) -> bool:
        return any(one in text for one in unseen)

    found = set()
    for query in QUERIES:
        parts = selectors(query)
        found |= {one for one in parts if not is_unseen(one)}
        found.add(query if any(is_unseen(one) for one in parts) else _FALLBACK.sub("", query))
    return sorted(found)


def has_data(prometheus: Prometheus, expression: str, window: str = "60s") -> bool:
    asked = expression.replace("$__rate_interval", window)
    return any(math.isfinite(float(one["value"][1])) for one in prometheus.ask("query", query=asked)["result"])


def happen(scene: Scene) -> None:
    """Do a little of everything that a dashboard shows, and run the jobs that check it."""
    person = sign_up(scene)
    buy(scene)
    travel_and_pay(scene, person)
    ask_and_send(scene, person)
    operate(scene, person)
    sell(scene)
    for job in JOBS:
        scene.run_job(job)


def sign_up(scene: Scene) -> dict[str, str]:
    """Register a person, with what goes wrong at the door; return their headers."""
    client, body = scene.client, new_person()
    assert client.post("/users/register", json=body).status_code == 201
    assert client.post("/users/register", json=body).status_code == 409
    login = {"username": body["cpf"], "password": body["password"]}
    own = {"Authorization": f"Bearer {client.post('/auth/login', data=login).json()['access_token']}"}
    assert client.post("/auth/login", data=login | {"password": "Errada7amarela"}).status_code == 401
    client.post("/password-recovery", json={"cpf": body["cpf"]})
    client.post("/password-recovery/verify", json={"cpf": body["cpf"], "code": "00000000"})
    assert client.get("/audit", headers=own).status_code == 403
    assert client.post("/users/register", json={}).status_code == 422
    guessed = {"username": new_cpf(), "password": "Errada7amarela"}
    wait_until(lambda: client.post("/auth/login", data=guessed).status_code == 429, "too many sign-ins")
    return own


def buy(scene: Scene) -> None:
    client, account = scene.client, f"d-{uuid4()}"
    opened = {"account": account, "user_id": str(uuid4()), "balances": {"CASH": 10_000}}
    assert client.post("/benefits/accounts", json=opened, headers=scene.operator).status_code == 201
    codes = []
    for name, reais in ((account, "1.00"), (account, "500.00"), ("nobody", "1.00")):
        answer = client.post(AUTHORIZER, content=purchase(name, reais), headers=scene.processor)
        codes.append(answer.json()["code"])
    assert codes == ["00", "51", "07"]
    reference = str(uuid4())
    client.post(AUTHORIZER, content=purchase(account, id=reference), headers=scene.processor)
    for path in ("query", "reversal"):
        body = {"id": reference} | ({"reversalId": str(uuid4())} if path == "reversal" else {})
        client.post(f"{AUTHORIZER}/{path}", json=body, headers=scene.processor)
    path, key = f"/benefits/accounts/{account}/credits", {"Idempotency-Key": str(uuid4())}
    above = client.post(path, json={"category": "CASH", "amount": 5000}, headers=scene.operator | key)
    assert above.is_success, above.text


def travel_and_pay(scene: Scene, own: dict[str, str]) -> None:
    """Recharge a card, and pay two charges by Pix: one of them wrongly, which is returned."""
    client = scene.client
    card = client.post("/transport-cards", json={}, headers=own).json()["card_number"]
    moved = client.post(f"/transport-cards/{card}/recharge", json={"amount": 500}, headers=own)
    assert moved.status_code == 200, moved.text
    for wrong in ({}, {"amount": 1}):
        paid = {"txid": charge(scene, own, card)} | wrong
        httpx.post(f"{scene.provider}/sandbox/payments", json=paid, timeout=20).raise_for_status()


def charge(scene: Scene, own: dict[str, str], card: str) -> str:
    """Make a charge that recharges a card; return its id at the provider."""
    body = {"purpose": "transport_recharge", "amount": 500, "card_number": card}
    made = scene.client.post("/payments/charges", json=body, headers=own).json()
    path = f"/payments/charges/{made['id']}"
    wait_until(lambda: scene.client.get(path, headers=own).json()["state"] == "active", "a charge")
    txid: str = made["id"].replace("-", "")
    return txid


def ask_and_send(scene: Scene, own: dict[str, str]) -> None:
    """Send a document, and one that is none; ask the assistant; speak no HTTP."""
    client = scene.client
    for sent in (files.pdf(2_000), b"nothing that is known"):
        client.post("/documents", data=FIELDS, files={"file": ("a.pdf", sent, "application/pdf")}, headers=own)
    client.post("/chatbot/start", headers=own)
    asked = {"message": "como faço para trocar a minha senha?"}
    wait_until(  # its first answer waits for its model
        lambda: client.post("/chatbot/chat", json=asked, headers=own).status_code == 200, "the assistant answers", 180
    )
    address = urlsplit(str(client.base_url))
    with socket.create_connection((address.hostname, address.port), timeout=10) as raw:
        raw.sendall(b"no http at all\r\n\r\n")
        raw.recv(1024)


def operate(scene: Scene, own: dict[str, str]) -> None:
    """Register a machine, which asks for a token; prove a person's CPF."""
    client = scene.client
    machine = client.post("/clients", json={"name": "ERP"}, headers=scene.operator)
    assert machine.status_code == 201, machine.text
    proof = (machine.json()["id"], machine.json()["client_secret"])
    assert client.post(TOKEN, data=FORM, auth=proof).status_code == 200
    me = client.get("/users/me", headers=own).json()
    seen = {"cpf": me["cpf"], "paper": "cnh"}
    answer = client.post(f"/users/{me['id']}/cpf-proof", json=seen, headers=scene.operator)
    assert answer.is_success, answer.text


def sell(scene: Scene) -> None:
    client, person = scene.client, new_person()
    reseller = {name: person[name] for name in ("full_name", "cpf", "email", "password")}
    client.post("/resellers", json=reseller)
    sold = {"code": f"NF-{uuid4()}", "amount": 1000, "date": "2024-03-10", "cpf": person["cpf"]}
    assert client.post("/purchases", json=sold, headers=scene.operator).status_code == 201
