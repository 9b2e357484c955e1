"""Employees come from HR's file, are invited, found, blocked and closed; scheduled top-ups run on their day."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from carteira.benefits import imports, scheduled
from carteira.kit.values.clock import clock
from tests.support.app import RunningApp
from tests.support.benefits import AUTHORIZER, FOOD, benefit_balances, open_benefit_account, purchase
from tests.support.people import Person, new_cpf

Headers = dict[str, str]
CSV = {"Content-Type": "text/csv"}


async def code_of(app: RunningApp, processor: Headers, account: str, reais: str = "1.00", mcc: str = FOOD) -> str:
    answer = await app.client.post(AUTHORIZER, content=purchase(account, reais, mcc), headers=processor)
    code: str = answer.json()["code"]
    return code


async def import_all(app: RunningApp, operator: Person, body: str | bytes, query: str = "") -> dict[str, Any]:
    """Send a file, run its job, and return the result."""
    begun = await operator.call("POST", f"/benefits/accounts/bulk{query}", content=body, headers=CSV)
    assert begun.status_code == 201, begun.text
    import_id = begun.json()["id"]
    while await imports.open_next(app.database, UUID(import_id)):
        pass
    ended: dict[str, Any] = (await operator.get(f"/benefits/accounts/imports/{import_id}")).json()
    return ended


async def search(operator: Person, **wanted: object) -> list[dict[str, Any]]:
    answer = await operator.post("/benefits/accounts/search", wanted)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def test_a_file_opens_accounts_invites_and_may_be_sent_again(app: RunningApp, operator: Person) -> None:
    cpfs = [new_cpf() for _ in range(3)]
    sheet = (
        "CPF;Nome;Contato;Valor Alimentação;valor MEAL;amount CASH;\r\n"
        f"{cpfs[0]};João Gonçalves;+55 (11) 98765-4321;1.234,50;;100;\r\n;;;;;;\r\n"
        f"{cpfs[1][:3]}.{cpfs[1][3:]};Maria;maria-{cpfs[1]}@exemplo.com.br;0;;;\r\n"
        "11111111111;Ninguém;;1;;;\r\n"
        f"{cpfs[2]};Ana;ana@;1;;;\r\n"
        f"{cpfs[0]};João de novo;;9;;;\r\n"
        f"{cpfs[2]};Ana;;10.50;;;\r\n"
    ).encode("cp1252")
    preview = (await operator.call("POST", "/benefits/accounts/bulk/preview", content=sheet, headers=CSV)).json()
    assert [(item["line"], item["status"], item["value"], item["column"]) for item in preview["results"]] == [
        (1, "ready", "R$ 1.235,50", None),
        (3, "ready", "R$ 0,00", None),
        (4, "failed", None, "CPF"),
        (5, "failed", None, "Contato"),
        (6, "exists", "R$ 0,00", None),
        (7, "failed", None, "Valor Alimentação"),
    ]
    assert (preview["ready"], preview["exists"], preview["failed"], preview["value"]) == (2, 1, 3, "R$ 1.235,50")
    told = [item["detail"] for item in preview["results"] if item["status"] == "failed"]
    assert told[1].startswith("Contato: ")
    assert told[2] == "Valor Alimentação: Escreva os centavos depois de uma vírgula: 10,50."
    assert await search(operator, cpf=cpfs[0]) == []
    done = await import_all(app, operator, sheet)
    assert (done["state"], done["opened"], done["exists"], done["failed"], done["waiting"]) == ("finished", 2, 1, 3, 0)
    lines = (await operator.get(f"/benefits/accounts/imports/{done['id']}/lines")).json()["items"]
    assert [(line["line"], line["status"]) for line in lines] == [
        (1, "opened"),
        (3, "opened"),
        (4, "failed"),
        (5, "failed"),
        (6, "exists"),
        (7, "failed"),
    ]
    (found,) = await search(operator, cpf=f"{cpfs[0][:9]}-{cpfs[0][9:]}")
    assert (found["name"], found["state"], found["user_id"]) == ("João Gonçalves", "active", None)
    assert found["balances"].items() >= {"CASH": 100, "FOOD": 123_450, "MEAL": 0}.items()
    assert found["cpf"].startswith("***.")
    again = await import_all(app, operator, sheet)
    assert (again["opened"], again["exists"], again["failed"]) == (0, 3, 3)
    assert (await benefit_balances(operator, found["account"]))["FOOD"] == 123_450


async def test_a_file_that_a_worker_left_goes_on_where_it_stood(
    app: RunningApp, operator: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "_LINES_A_TURN", 2)
    body = "cpf;valor FOOD\n" + "".join(f"{new_cpf()};1,00\n" for _ in range(5))
    begun = (await operator.call("POST", "/benefits/accounts/bulk", content=body, headers=CSV)).json()
    assert await imports.open_next(app.database, UUID(begun["id"]))
    half = (await operator.get(f"/benefits/accounts/imports/{begun['id']}")).json()
    assert (half["state"], half["opened"], half["waiting"]) == ("running", 2, 3)
    assert await imports.open_next(app.database, UUID(begun["id"]))
    assert not await imports.open_next(app.database, UUID(begun["id"]))
    assert not await imports.open_next(app.database, UUID(begun["id"])), "a second job finds nothing to do"
    done = (await operator.get(f"/benefits/accounts/imports/{begun['id']}")).json()
    assert (done["state"], done["opened"], done["waiting"]) == ("finished", 5, 0)


async def test_a_blocked_account_buys_nothing_from_the_next_purchase_on(
    app: RunningApp, operator: Person, processor: Headers
) -> None:
    account = await open_benefit_account(operator, FOOD=10_000)
    assert await code_of(app, processor, account) == "00"
    blocked = await operator.post(f"/benefits/accounts/{account}/block", {"reason": "lost_or_stolen"})
    assert (blocked.status_code, blocked.json()["state"]) == (200, "blocked")
    assert await code_of(app, processor, account) == "07"
    told = (await operator.get(f"/transactions?account={account}&code=07")).json()["items"][0]["explanation"]
    assert "bloqueada" in told
    credit = {"category": "FOOD", "amount": 100}
    assert (await operator.post(f"/benefits/accounts/{account}/credits", credit)).status_code == 201
    assert [item["account"] for item in await search(operator, state="blocked", account=account)] == [account]
    for _ in range(2):
        assert (await operator.post(f"/benefits/accounts/{account}/unblock")).json()["state"] == "active"
    assert await code_of(app, processor, account) == "00"


async def test_only_an_account_without_money_is_closed_and_nothing_comes_to_it_then(
    app: RunningApp, operator: Person, processor: Headers
) -> None:
    account = await open_benefit_account(operator, FOOD=100)
    refused = await operator.post(f"/benefits/accounts/{account}/close")
    assert (refused.status_code, refused.json()["code"]) == (409, "balance_left")
    assert await code_of(app, processor, account) == "00"
    assert (await operator.post(f"/benefits/accounts/{account}/close")).json()["state"] == "closed"
    body = {"category": "FOOD", "amount": 100}
    refused = await operator.post(f"/benefits/accounts/{account}/credits", body)
    assert (refused.status_code, refused.json()["code"]) == (409, "benefit_account_closed")
    bulk = (await operator.post("/benefits/credits", [{"account": account} | body])).json()
    assert bulk["results"][0]["code"] == "benefit_account_closed"
    refused = await operator.post(f"/benefits/accounts/{account}/block", {"reason": "holder_asked"})
    assert refused.json()["code"] == "benefit_account_closed"
    assert (await operator.post(f"/benefits/accounts/{account}/unblock")).json()["state"] == "active"


async def test_a_person_lists_their_accounts_and_operators_their_employers(app: RunningApp, operator: Person) -> None:
    person = app.person()
    account = await open_benefit_account(operator, user_id=person.id, MEAL=500)
    (mine,) = (await person.get("/benefits/accounts")).json()["items"]
    assert (mine["account"], mine["state"], mine["balances"]["MEAL"]) == (account, "active", 500)
    assert (await person.post("/benefits/accounts/search", {})).status_code == 403
    assert [item["account"] for item in await search(operator, user_id=str(person.id))] == [account]
    assert await search(operator, cpf=new_cpf()) == []
    wrong = await operator.post("/benefits/accounts/search", {"cpf": "1"})
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "cpf")


async def test_a_scheduled_top_up_is_made_once_even_after_days(app: RunningApp, operator: Person) -> None:
    account = await open_benefit_account(operator)
    day = clock.today() + timedelta(days=3)
    body = f"conta;categoria;valor\n{account};FOOD;10,50\nninguem-{uuid4()};FOOD;1\n"
    made = await operator.call("POST", f"/benefits/scheduled-credits?day={day}", content=body, headers=CSV)
    assert (made.status_code, made.json()["state"], made.json()["value"]) == (201, "waiting", "R$ 10,50"), made.text
    other = await operator.call("POST", f"/benefits/scheduled-credits?day={day}", content=body, headers=CSV)
    path, cancelled = (f"/benefits/scheduled-credits/{answer.json()['id']}" for answer in (made, other))
    assert (await operator.call("DELETE", cancelled)).status_code == 204
    assert (await operator.call("DELETE", cancelled)).json()["code"] == "scheduled_over"

    async def everybody(*_: object) -> bool:
        return True

    await scheduled.carry_out_due(app.database, everybody)
    assert (await benefit_balances(operator, account))["FOOD"] == 0
    clock.set(clock.now() + timedelta(days=5))
    try:
        for _ in range(2):
            await scheduled.carry_out_due(app.database, everybody)
    finally:
        clock.run()
    assert (await benefit_balances(operator, account))["FOOD"] == 1_050
    done = (await operator.get(path)).json()
    assert (done["state"], done["outcome"]["credited"], done["outcome"]["failed"]) == ("done", 1, 1)
    assert (await operator.get(cancelled)).json()["state"] == "cancelled"
    for unfit in (clock.today(), clock.today() + timedelta(days=400)):
        refused = await operator.call("POST", f"/benefits/scheduled-credits?day={unfit}", content=body, headers=CSV)
        assert (refused.status_code, refused.json()["code"]) == (422, "scheduled_day_unfit")


async def test_a_schedule_of_a_maker_without_the_right_is_not_made(app: RunningApp, operator: Person) -> None:
    account = await open_benefit_account(operator)
    day = clock.today() + timedelta(days=1)
    body = [{"account": account, "category": "FOOD", "amount": 100}]
    made = await operator.call("POST", f"/benefits/scheduled-credits?day={day}", json=body)

    async def nobody(*_: object) -> bool:
        return False

    clock.set(clock.now() + timedelta(days=1))
    try:
        await scheduled.carry_out_due(app.database, nobody)
    finally:
        clock.run()
    failed = (await operator.get(f"/benefits/scheduled-credits/{made.json()['id']}")).json()
    assert (failed["state"], failed["code"]) == ("failed", "maker_gone")
    assert (await benefit_balances(operator, account))["FOOD"] == 0
