import asyncio
from uuid import uuid4

import httpx
import pytest

from tests.support.app import RunningApp
from tests.support.benefits import AUTHORIZER, FOOD, benefit_balances, open_benefit_account, purchase
from tests.support.people import Person

Headers = dict[str, str]


async def test_only_owners_see_their_data(
    client: httpx.AsyncClient, operator: Person, processor: Headers, app: RunningApp
) -> None:
    person = uuid4()
    account = await open_benefit_account(operator, user_id=person, FOOD=2500)
    await client.post(AUTHORIZER, content=purchase(account, "10.00", FOOD), headers=processor)
    mine, other = app.person(user_id=person), app.person()
    listed = (await mine.call("GET", "/transactions")).json()["items"]
    assert [item["account"] for item in listed] == [account]
    assert "R$ 10,00 aprovada em Alimentação" in listed[0]["explanation"]
    paths = [
        f"/benefits/accounts/{account}",
        f"/benefits/accounts/{account}/statement",
        f"/transactions?account={account}",
        f"/transactions/{listed[0]['id']}",
    ]
    for path in paths:
        assert (await mine.call("GET", path)).status_code == 200
        assert (await other.call("GET", path)).status_code == 404
        assert (await client.get(path)).status_code == 401
    assert (await other.call("POST", "/transactions/simulate", content=purchase(account))).status_code == 404
    assert (await other.call("GET", "/transactions")).json()["items"] == []
    for method, path in [
        ("POST", f"/transactions/{listed[0]['id']}/reversal"),
        ("POST", f"/transactions/{listed[0]['id']}/refund"),
        ("POST", f"/benefits/accounts/{account}/credits"),
        ("POST", "/benefits/credits"),
        ("PUT", "/benefits/merchants/X"),
        ("PUT", "/benefits/categories/X"),
    ]:
        response = await mine.call(method, path, json={"category": "FOOD", "amount": 1, "mccs": [], "regime": "free"})
        assert response.status_code in {403, 422}, (path, response.status_code)
        assert (await benefit_balances(operator, account))["FOOD"] == 1500


async def test_the_statement_pages_and_carries_the_balance(
    client: httpx.AsyncClient, operator: Person, processor: Headers
) -> None:
    account = await open_benefit_account(operator, CASH=10_000)
    for _ in range(7):
        await client.post(AUTHORIZER, content=purchase(account, "1.00"), headers=processor)
    seen, cursor = [], ""
    while True:
        page = (await operator.call("GET", f"/benefits/accounts/{account}/statement?limit=3{cursor}")).json()
        seen += page["items"]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert [line["balance_after"] for line in seen] == [*range(9300, 10_000, 100), 10_000]
    assert [line["amount"] for line in seen] == [-100] * 7 + [10_000]
    assert seen[0]["description"] == "LOJA DA MARIA   SAO PAULO BR"
    rubbish = await operator.call("GET", f"/benefits/accounts/{account}/statement?cursor=rubbish")
    assert rubbish.status_code == 422


async def test_readers_of_benefits_see_the_actor_of_an_entry(
    app: RunningApp, client: httpx.AsyncClient, operator: Person, processor: Headers
) -> None:
    mine = app.person()
    account = await open_benefit_account(operator, user_id=mine.id, CASH=10_000)
    await client.post(AUTHORIZER, content=purchase(account, "1.00"), headers=processor)
    actors = [
        [line["actor"] for line in (await who.get(f"/benefits/accounts/{account}/statement")).json()["items"]]
        for who in (operator, mine)
    ]
    by_operator = {"kind": "person", "id": str(operator.id)}
    assert actors == [[{"kind": "processor", "id": "authorizer"}, by_operator], [None, None]]


async def test_simulating_moves_nothing_and_says_why(operator: Person) -> None:
    account = await open_benefit_account(operator, FOOD=600, CASH=300)
    response = await operator.call("POST", "/transactions/simulate", content=purchase(account, "10.00", FOOD))
    assert response.json() == {
        "code": "51",
        "category_tried": "FOOD",
        "category_used": None,
        "explanation": "Compra de R$ 10,00 recusada por saldo: o tipo de estabelecimento (MCC 5411) é da categoria "
        "Alimentação; faltaram R$ 4,00 em Alimentação, e o saldo livre também não cobria o valor.",
    }
    malformed = await operator.call("POST", "/transactions/simulate", content=purchase(account, "0", FOOD))
    assert malformed.json()["code"] == "07"
    assert (await operator.call("GET", f"/transactions?account={account}")).json()["items"] == []
    assert (await benefit_balances(operator, account))["FOOD"] == 600


async def test_a_refused_purchase_is_recorded_with_its_reason(
    client: httpx.AsyncClient, operator: Person, processor: Headers
) -> None:
    account = await open_benefit_account(operator, FOOD=600)
    await client.post(AUTHORIZER, content=purchase(account, "10.00", FOOD), headers=processor)
    await client.post(AUTHORIZER, content=purchase(account, "10.001", FOOD), headers=processor)
    items = (await operator.call("GET", f"/transactions?account={account}")).json()["items"]
    assert [item["code"] for item in items] == ["07", "51"]
    assert "duas casas decimais" in items[0]["explanation"]
    only = (await operator.call("GET", f"/transactions?account={account}&code=51")).json()["items"]
    assert [item["code"] for item in only] == ["51"]


async def test_reversal_and_refunds_never_give_back_more_than_was_paid(
    client: httpx.AsyncClient, operator: Person, processor: Headers
) -> None:
    account = await open_benefit_account(operator, CASH=5000)
    for _ in range(2):
        await client.post(AUTHORIZER, content=purchase(account, "20.00"), headers=processor)
    await client.post(AUTHORIZER, content=purchase(account, "20.00"), headers=processor)
    declined, first, second = (
        item["id"] for item in (await operator.call("GET", f"/transactions?account={account}")).json()["items"]
    )
    assert (await operator.call("POST", f"/transactions/{declined}/reversal")).status_code == 409
    assert (await operator.call("POST", f"/transactions/{uuid4()}/reversal")).status_code == 404
    results = await asyncio.gather(
        *(operator.call("POST", f"/transactions/{first}/refund", json={"amount": 900}) for _ in range(6))
    )
    assert sorted(result.status_code for result in results) == [201, 201, 409, 409, 409, 409]
    assert (await operator.call("POST", f"/transactions/{first}/reversal")).status_code == 409
    assert (await operator.call("POST", f"/transactions/{first}/refund")).json()["amount"] == 200
    reversal = await operator.call("POST", f"/transactions/{second}/reversal")
    assert reversal.status_code == 201
    assert (await operator.call("POST", f"/transactions/{second}/refund")).status_code == 409
    for given_back in (first, second, reversal.json()["id"]):
        assert (await operator.call("POST", f"/ledger/entries/{given_back}/reversal")).status_code == 409
    assert (await benefit_balances(operator, account))["CASH"] == 5000


async def test_a_purchase_reversed_in_the_ledger_is_not_given_back_again(
    client: httpx.AsyncClient, operator: Person, processor: Headers
) -> None:
    account = await open_benefit_account(operator, CASH=5000)
    await client.post(AUTHORIZER, content=purchase(account, "20.00"), headers=processor)
    [bought] = (await operator.call("GET", f"/transactions?account={account}")).json()["items"]
    assert (await operator.call("POST", f"/ledger/entries/{bought['id']}/reversal")).status_code == 201
    for way in ("reversal", "refund"):
        assert (await operator.call("POST", f"/transactions/{bought['id']}/{way}")).status_code == 409
    assert (await benefit_balances(operator, account))["CASH"] == 5000


async def test_opening_an_account(operator: Person) -> None:
    reference = f"t-{uuid4()}"
    body = {"account": reference, "cpf": "529.982.247-25", "contact": "maria@exemplo.com.br", "balances": {"FOOD": 1}}
    headers = {"Idempotency-Key": str(uuid4())}
    opened = await operator.call("POST", "/benefits/accounts", json=body, headers=headers)
    assert (opened.status_code, opened.json()["balances"]["FOOD"]) == (201, 1)
    again = await operator.call("POST", "/benefits/accounts", json=body, headers=headers)
    assert (again.status_code, again.headers["idempotency-replayed"]) == (201, "true")
    assert (await operator.call("POST", "/benefits/accounts", json=body)).status_code == 409
    for wrong in (
        {"cpf": "111.111.111-11"},
        {"user_id": str(uuid4())},
        {"account": "a b"},
        {"contact": "nobody"},
        {"balances": {"FOOD": -1}},
        {"balances": {"FOOD": 1.5}},
        {"balances": {"WINE": 1}},
        {"extra": 1},
    ):
        other = body | {"account": f"t-{uuid4()}"} | wrong
        response = await operator.call("POST", "/benefits/accounts", json=other)
        assert response.status_code == 422, wrong
        assert response.json()["errors"], wrong


@pytest.mark.parametrize("amount", [0, -1, 1.5, "100", True, None, 10**12 + 1, 10**30])
async def test_a_credit_takes_strict_centavos(operator: Person, amount: object) -> None:
    account = await open_benefit_account(operator, CASH=5)
    body = {"category": "CASH", "amount": amount}
    response = await operator.call("POST", f"/benefits/accounts/{account}/credits", json=body)
    assert response.status_code == 422
    assert (await benefit_balances(operator, account))["CASH"] == 5


async def test_a_credit_with_a_key_is_made_once(operator: Person) -> None:
    account = await open_benefit_account(operator)
    path, headers = f"/benefits/accounts/{account}/credits", {"Idempotency-Key": str(uuid4())}
    body = {"category": "MEAL", "amount": 700}
    results = await asyncio.gather(*(operator.call("POST", path, json=body, headers=headers) for _ in range(10)))
    assert {result.status_code for result in results} == {201}
    assert len({result.json()["entry_id"] for result in results}) == 1
    assert (await benefit_balances(operator, account))["MEAL"] == 700
    reused = await operator.call("POST", path, json=body | {"amount": 701}, headers=headers)
    assert (reused.status_code, reused.json()["code"]) == (422, "idempotency_key_reused")


async def test_bulk_credits_return_each_lines_result(operator: Person) -> None:
    one, two = await open_benefit_account(operator), await open_benefit_account(operator)
    rows = ["account;category;amount", f"{one};FOOD;100", f"{one};FOOD;50"]
    rows += [f"{two};WINE;1", "nobody;FOOD;1", f"{two};CASH;1,5", ""]
    lines = "\r\n".join(rows)
    csv = {"Content-Type": "text/csv; charset=utf-8"}
    atomic = await operator.call("POST", "/benefits/credits?atomic=true", content=lines, headers=csv)
    assert (atomic.status_code, atomic.json()["code"]) == (422, "bulk_rejected")
    assert [result["status"] for result in atomic.json()["results"]] == ["not_credited"] * 2 + ["failed"] * 3
    assert (await benefit_balances(operator, one))["FOOD"] == 0
    result = (await operator.call("POST", "/benefits/credits", content="\ufeff" + lines, headers=csv)).json()
    assert (result["credited"], result["failed"], result["amount"]) == (2, 3, 150)
    assert [line.get("code") for line in result["results"]] == [
        None,
        None,
        "unknown_category",
        "benefit_account_not_found",
        "invalid_input",
    ]
    assert (await benefit_balances(operator, one))["FOOD"] == 150
    as_json = [{"account": two, "category": "CASH", "amount": 9, "description": "Bônus"}]
    assert (await operator.call("POST", "/benefits/credits", json=as_json)).json()["credited"] == 1
    keyed = {"Idempotency-Key": str(uuid4())}
    huge = [{"account": two, "category": "CASH", "amount": 2**64}]
    for replayed in (None, "true"):  # more than 64 bits are JSON, and no amount
        response = await operator.call("POST", "/benefits/credits", json=huge, headers=keyed)
        assert (response.status_code, response.json()["results"][0]["code"]) == (200, "invalid_input")
        assert response.headers.get("Idempotency-Replayed") == replayed
    for content, kind, status in [
        ("{}", "application/json", 422),
        ("[", "application/json", 422),
        ("[]", "application/json", 422),
        ("a,b\n1,2\n", "text/csv", 422),
        ('"account;category;amount\n123;FOOD;100\n', "text/csv", 422),
        ("account,amount,category,amount\n123,1,FOOD,2\n", "text/csv", 422),
        ("account,category,amount\n", "text/csv", 422),
        (b"\xff\xfe", "text/csv", 422),
        ("x", "text/plain", 415),
    ]:
        response = await operator.call("POST", "/benefits/credits", content=content, headers={"Content-Type": kind})
        assert response.status_code == status, content


async def test_categories_and_merchants_are_checked(operator: Person) -> None:
    put = operator.call
    assert (await put("PUT", "/benefits/categories/FOOD", json={"mccs": ["5411"], "regime": "free"})).status_code == 409
    taken = await put("PUT", "/benefits/categories/CULTURE", json={"mccs": ["5812"], "regime": "free"})
    assert (taken.status_code, taken.json()["code"]) == (409, "mcc_taken")
    assert (await put("PUT", "/benefits/categories/lower", json={"mccs": [], "regime": "free"})).status_code == 422
    assert (await put("PUT", "/benefits/categories/X", json={"mccs": ["54"], "regime": "free"})).status_code == 422
    assert (await put("GET", "/benefits/categories/NONE")).status_code == 404
    assert (await put("GET", "/benefits/merchants/NONE")).status_code == 404
    assert (await put("PUT", "/benefits/merchants", json={"mcc": "5812"})).status_code == 422
    assert (await put("PUT", "/benefits/merchants/A", json={"name": "B", "mcc": "5812"})).status_code == 422
    name = f"PAG*Jose/{uuid4()}"
    assert (await put("PUT", f"/benefits/merchants/{name}", json={"mcc": "5812"})).status_code == 200
    assert (await put("GET", f"/benefits/merchants/{name.upper()}")).json() == {"name": name, "mcc": "5812"}


async def test_a_merchant_whose_name_no_receipt_could_show_is_refused(operator: Person) -> None:
    for name in ("%7F", "%20", "a%00b", "x" * 257):
        response = await operator.call("PUT", f"/benefits/merchants/{name}", json={"mcc": "5411"})
        assert (response.status_code, response.json()["code"]) == (422, "invalid_input"), name


async def test_a_spreadsheet_of_top_ups_is_previewed_in_reais_and_credited_as_it_is(operator: Person) -> None:
    first, second = await open_benefit_account(operator), await open_benefit_account(operator)
    sheet = (
        f"sep=;\r\nConta;Categoria;Valor;Descrição;\r\n{first};Alimentação;R$ 1.234,50;Promoção;\r\n;;;;\r\n"
        f"{second};FOOD;0,5;;\r\n{first};FOOD;12.34;;\r\n{first};FOOD;1;;a mais\r\nnobody-{first};FOOD;1;;\r\n"
    ).encode("cp1252")
    for kind in ("text/csv; charset=windows-1252", "application/vnd.ms-excel"):
        headers = {"Content-Type": kind}
        preview = (await operator.call("POST", "/benefits/credits/preview", content=sheet, headers=headers)).json()
        assert (preview["ready"], preview["failed"], preview["value"]) == (2, 3, "R$ 1.235,00")
        assert [(item["line"], item["status"], item["value"], item["column"]) for item in preview["results"]] == [
            (1, "ready", "R$ 1.234,50", None),
            (3, "ready", "R$ 0,50", None),
            (4, "failed", None, "Valor"),
            (5, "failed", None, "5"),
            (6, "failed", None, None),
        ]
    assert await benefit_balances(operator, first) == {"CASH": 0, "FOOD": 0, "MEAL": 0}
    done = (
        await operator.call("POST", "/benefits/credits", content=sheet, headers={"Content-Type": "text/csv"})
    ).json()
    assert (done["credited"], done["failed"], done["amount"]) == (2, 3, 123_500)
    assert done["results"][2]["detail"] == "Valor: Escreva os centavos depois de uma vírgula: 12,34."
    assert (await benefit_balances(operator, first))["FOOD"] == 123_450
    both = b"account,category,amount,valor\n1,FOOD,1,1\n"
    refused = await operator.call("POST", "/benefits/credits", content=both, headers={"Content-Type": "text/csv"})
    assert refused.json()["errors"] == [
        {"field": "body", "message": "As colunas amount e valor dizem a mesma coisa: deixe só uma."}
    ]
