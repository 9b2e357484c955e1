import time
from uuid import uuid4

import httpx
import pytest
from joserfc.jwk import OctKey

from carteira.settings.production import DEVELOPMENT_JWT_SECRET
from tests.support.app import RunningApp
from tests.support.benefits import (
    AUTHORIZER,
    FOOD,
    MEAL,
    OTHER,
    benefit_balances,
    open_benefit_account,
    processor_token,
    purchase,
)
from tests.support.people import Person

Headers = dict[str, str]


async def authorize(client: httpx.AsyncClient, headers: Headers, body: bytes, query: str = "") -> str:
    response = await client.post(AUTHORIZER + query, content=body, headers=headers)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    content: dict[str, str] = response.json()
    assert set(content) == {"code"}
    return content["code"]


@pytest.mark.parametrize(
    ("mcc", "spent"),
    [(FOOD, "FOOD"), ("5412", "FOOD"), (MEAL, "MEAL"), ("5812", "MEAL"), (OTHER, "CASH"), ("0000", "CASH")],
)
async def test_the_category_of_the_mcc_pays(
    client: httpx.AsyncClient, operator: Person, processor: Headers, mcc: str, spent: str
) -> None:
    account = await open_benefit_account(operator, FOOD=1000, MEAL=1000, CASH=1000)
    assert await authorize(client, processor, purchase(account, "10.00", mcc)) == "00"
    assert await benefit_balances(operator, account) == {"FOOD": 1000, "MEAL": 1000, "CASH": 1000} | {spent: 0}


async def test_cash_pays_the_whole_amount_or_nobody_does(
    client: httpx.AsyncClient, operator: Person, processor: Headers
) -> None:
    account = await open_benefit_account(operator, FOOD=600, MEAL=0, CASH=1000)
    assert await authorize(client, processor, purchase(account, "10.01", FOOD)) == "51"
    assert await authorize(client, processor, purchase(account, "10.00", FOOD), "?fallback=false") == "51"
    assert await benefit_balances(operator, account) == {"FOOD": 600, "MEAL": 0, "CASH": 1000}
    assert await authorize(client, processor, purchase(account, "10.00", FOOD), "?fallback=true") == "00"
    assert await benefit_balances(operator, account) == {"FOOD": 600, "MEAL": 0, "CASH": 0}


async def test_the_merchants_name_overrides_the_mcc(
    client: httpx.AsyncClient, operator: Person, processor: Headers
) -> None:
    account = await open_benefit_account(operator, FOOD=1000, MEAL=1000, CASH=1000)
    name = f"UBER EATS {uuid4()}        SAO PAULO BR"
    response = await operator.call("PUT", "/benefits/merchants", json={"name": name, "mcc": "5812"})
    assert response.status_code == 200
    spaced = "  " + name.lower().replace(" ", "   ") + " "
    assert await authorize(client, processor, purchase(account, "10.00", FOOD, merchant=spaced)) == "00"
    assert await benefit_balances(operator, account) == {"FOOD": 1000, "MEAL": 0, "CASH": 1000}
    assert (await operator.call("DELETE", f"/benefits/merchants/{name}")).status_code == 204
    assert await authorize(client, processor, purchase(account, "10.00", FOOD, merchant=name)) == "00"
    assert await benefit_balances(operator, account) == {"FOOD": 0, "MEAL": 0, "CASH": 1000}


async def test_a_category_configured_later_is_used_at_once(
    client: httpx.AsyncClient, operator: Person, processor: Headers
) -> None:
    account = await open_benefit_account(operator, CASH=1000)
    assert await authorize(client, processor, purchase(account, "1.00", "4111")) == "00"
    put = await operator.call("PUT", "/benefits/categories/MOBILITY", json={"mccs": ["4111"], "regime": "free"})
    assert put.status_code == 200, put.text
    credit = {"category": "MOBILITY", "amount": 500}
    assert (await operator.call("POST", f"/benefits/accounts/{account}/credits", json=credit)).status_code == 201
    assert await authorize(client, processor, purchase(account, "5.00", "4111")) == "00"
    balances = await benefit_balances(operator, account)
    assert (balances["MOBILITY"], balances["CASH"]) == (0, 900)


async def test_the_same_transaction_id_gets_its_first_answer_again(
    client: httpx.AsyncClient, operator: Person, processor: Headers
) -> None:
    account = await open_benefit_account(operator, CASH=1500)
    first, second = f"tx-{uuid4()}", f"tx-{uuid4()}"
    assert await authorize(client, processor, purchase(account, "10.00", id=first)) == "00"
    assert await authorize(client, processor, purchase(account, "10.00", id=second)) == "51"
    credit = {"category": "CASH", "amount": 10_000}
    await operator.call("POST", f"/benefits/accounts/{account}/credits", json=credit)
    assert await authorize(client, processor, purchase(account, "10.0", id=first)) == "00"
    assert await authorize(client, processor, purchase(account, "10.00", id=second)) == "51"
    assert (await benefit_balances(operator, account))["CASH"] == 10_500
    for changed in (
        purchase(account, "10.01", id=first),
        purchase(account, "10.00", FOOD, id=first),
        purchase(account, "10.00", id=first, merchant="OUTRA LOJA"),
        purchase(await open_benefit_account(operator, CASH=5000), "10.00", id=first),
    ):
        assert await authorize(client, processor, changed) == "07"
    assert await authorize(client, processor, purchase(account, "10.00", id=first), "?fallback=false") == "07"
    assert (await benefit_balances(operator, account))["CASH"] == 10_500


BAD_BODIES = [
    b"",
    b"null",
    b"[]",
    b'"x"',
    b"{",
    b"not json",
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"account":' * 1000,
    b'{"account":"A"}' + b" " * 2_000_000,
    purchase("ACCOUNT", "NaN"),
    purchase("ACCOUNT", "Infinity"),
    purchase("ACCOUNT", "1e400"),
    purchase("ACCOUNT", "1e-3"),
    purchase("ACCOUNT", "10.001"),
    purchase("ACCOUNT", "0"),
    purchase("ACCOUNT", "0.00"),
    purchase("ACCOUNT", "-1.00"),
    purchase("ACCOUNT", '"10.00"'),
    purchase("ACCOUNT", "true"),
    purchase("ACCOUNT", "null"),
    purchase("ACCOUNT", "[1]"),
    purchase("ACCOUNT", "99999999999999999999"),
    purchase("ACCOUNT", '1.00, "totalAmount": 2.00'),
    purchase("ACCOUNT", mcc="541"),
    purchase("ACCOUNT", mcc="54111"),
    purchase("ACCOUNT", mcc="54a1"),
    purchase("ACCOUNT", mcc="٥٤١١"),
    purchase("ACCOUNT", merchant=""),
    purchase("ACCOUNT", merchant="   "),
    purchase("ACCOUNT", merchant="A\x00B"),
    purchase("ACCOUNT", merchant="\ud800"),
    purchase("ACCOUNT", merchant=None),
    purchase("ACCOUNT", merchant=7),
    purchase("ACCOUNT", id=None),
    purchase("ACCOUNT", id=7),
    purchase("ACCOUNT", id=""),
    purchase("ACCOUNT", id="x" * 65),
    purchase("A" * 65),
    purchase("a/b"),
    purchase(""),
    purchase("nobody-has-this"),
    b'{"account":123,"totalAmount":1.00,"mcc":"5411","merchant":"X"}',
    b'{"totalAmount":1.00,"mcc":"5411","merchant":"X"}',
    b'{"account":"ACCOUNT","mcc":"5411","merchant":"X"}',
    b'{"account":"ACCOUNT","totalAmount":1.00,"merchant":"X"}',
    b'{"account":"ACCOUNT","totalAmount":1.00,"mcc":"5411"}',
    b'{"account":"ACCOUNT","totalAmount":1.00,"mcc":5411,"merchant":"X"}',
]


@pytest.mark.parametrize("body", BAD_BODIES, ids=lambda body: repr(body[:60]))
async def test_undecidable_requests_are_07(
    client: httpx.AsyncClient, operator: Person, processor: Headers, body: bytes
) -> None:
    account = await open_benefit_account(operator, FOOD=100_000, CASH=100_000)
    assert await authorize(client, processor, body.replace(b"ACCOUNT", account.encode())) == "07"
    assert await benefit_balances(operator, account) == {"FOOD": 100_000, "MEAL": 0, "CASH": 100_000} | {
        name: 0 for name in await benefit_balances(operator, account) if name not in {"FOOD", "CASH"}
    }


@pytest.mark.parametrize("query", ["?fallback=", "?fallback=1", "?fallback=yes", "?fallback=true&fallback=false"])
async def test_an_unreadable_fallback_is_07(
    client: httpx.AsyncClient, operator: Person, processor: Headers, query: str
) -> None:
    account = await open_benefit_account(operator, CASH=1000)
    assert await authorize(client, processor, purchase(account), query) == "07"
    assert await authorize(client, processor, purchase(account), "?other=1") == "00"


async def test_only_the_processors_token_is_taken(client: httpx.AsyncClient, operator: Person, app: RunningApp) -> None:
    account = await open_benefit_account(operator, CASH=1000)
    key, other = OctKey.import_key(DEVELOPMENT_JWT_SECRET), OctKey.import_key("another-secret-of-more-than-32-bytes!")
    unsigned = "eyJhbGciOiJub25lIn0.eyJleHAiOjQxMDI0NDQ4MDB9."
    bad = [
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Basic {processor_token(key)}",
        f"Bearer {unsigned}",
        f"Bearer {processor_token(other)}",
        f"Bearer {processor_token(key, exp=int(time.time()) - 1)}",
        f"Bearer {processor_token(key, exp='tomorrow')}",
        f"Bearer {processor_token(key, nbf=int(time.time()) + 100)}",
        f"Bearer {processor_token(key, aud='carteira')}",
        f"Bearer {processor_token(key)}x",
        f"Bearer {app.token('*')}",
        "Bearer a.b.c",
        "Bearer " + "x" * 5000,
    ]
    for value in bad:
        headers = {} if value is None else {"Authorization": value}
        assert await authorize(client, headers, purchase(account)) == "07", value
    assert (await benefit_balances(operator, account))["CASH"] == 1000
    no_expiry = processor_token(key, exp=None)
    assert await authorize(client, {"Authorization": f"Bearer {no_expiry}"}, purchase(account)) == "07"
    assert await authorize(client, {"Authorization": f"bearer {processor_token(key)}"}, purchase(account)) == "00"


async def test_a_token_stops_at_its_expiry_although_it_was_seen_before(
    client: httpx.AsyncClient, operator: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = await open_benefit_account(operator, CASH=5000)
    token = processor_token(OctKey.import_key(DEVELOPMENT_JWT_SECRET))
    headers = {"Authorization": f"Bearer {token}"}
    assert await authorize(client, headers, purchase(account)) == "00"
    now = time.time()
    monkeypatch.setattr("carteira.benefits.authorizer.asgi.time.time", lambda: now + 601)
    assert await authorize(client, headers, purchase(account)) == "07"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", AUTHORIZER),
        ("PUT", AUTHORIZER),
        ("DELETE", AUTHORIZER),
        ("POST", AUTHORIZER + "/"),
        ("POST", AUTHORIZER + "/x"),
        ("GET", AUTHORIZER + "/x/y"),
        ("OPTIONS", AUTHORIZER),
    ],
)
async def test_every_other_path_and_method_is_07(
    client: httpx.AsyncClient, processor: Headers, method: str, path: str
) -> None:
    response = await client.request(method, path, headers=processor)
    assert (response.status_code, response.json()) == (200, {"code": "07"})


async def test_people_and_processors_cannot_use_each_others_doors(
    client: httpx.AsyncClient, processor: Headers
) -> None:
    assert (await client.get("/transactions", headers=processor)).status_code == 401
    assert (await client.get("/benefits/categories", headers=processor)).status_code == 401
