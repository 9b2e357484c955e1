"""Typing a stranger's CPF opens nothing that any module keeps under it: no read, no export, no erasure."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from carteira.embedded import Endpoints
from carteira.kit.values.clock import clock
from tests.support.app import RunningApp, running_app, settings_for
from tests.support.benefits import processor_headers, purchase
from tests.support.credit import BASE_A, PURPOSE, fill_bases
from tests.support.databases import NewDatabase
from tests.support.mail import body_of, code_in, mail_to
from tests.support.people import Person, new_cpf, register, sign_in


@pytest.fixture(scope="module")
async def app(
    new_database: NewDatabase, endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RunningApp]:
    """The application with every module, on its own database."""
    settings = settings_for(
        tmp_path_factory.mktemp("unproven"),
        database_url=new_database("unproven"),
        redis_url=endpoints.redis_url,
        aws_endpoint_url=endpoints.aws_endpoint_url,
        smtp_url=endpoints.smtp_url,
        credit_table="unproven",
    )
    async with running_app(settings) as running:
        yield running


@pytest.fixture
def operator(app: RunningApp) -> Person:
    """An operator of every module, who states the purpose of each look."""
    operator = app.operator()
    operator.headers |= PURPOSE
    return operator


async def spend(app: RunningApp, operator: Person, **whose: object) -> str:
    """Open an account that an employer tops up, and buy with its card; return the account's reference."""
    reference = f"u-{uuid4()}"
    body = {"account": reference, "balances": {"CASH": 10_000}, "contact": "rh@empresa.com.br", **whose}
    assert (await operator.post("/benefits/accounts", body)).status_code == 201
    bought = await app.client.post("/transactions/authorizer", content=purchase(reference), headers=processor_headers())
    assert bought.json() == {"code": "00"}
    return reference


async def file_of_a_stranger(app: RunningApp, operator: Person) -> tuple[str, str]:
    """Give a CPF a credit file that was looked at and an account with a purchase; return the CPF and the account."""
    cpf = new_cpf()
    await fill_bases(operator, cpf)
    assert (await operator.get(f"/credit/{cpf}/base-a")).status_code == 200
    reference = await spend(app, operator, cpf=cpf)
    granted = {"cpf": cpf, "valid_from": "2026-01"}
    assert (await operator.post("/cashback/auto-approvals", granted)).status_code == 201
    await app.work_off()
    return cpf, reference


def strangers_traces(reference: str) -> list[str]:
    """Return the texts that would reveal a stranger's file wherever they appeared."""
    return [str(BASE_A["name"]), "Banco Plantado", "Rua das Laranjeiras", "Gol 2015", reference, "LOJA DA MARIA"]


async def test_a_registrant_with_a_strangers_cpf_sees_exports_and_erases_nothing_of_theirs(
    app: RunningApp, operator: Person
) -> None:
    cpf, reference = await file_of_a_stranger(app, operator)
    intruder = await sign_in(await register(app, cpf=cpf))
    assert (await intruder.post("/resellers")).status_code == 201

    everything = await intruder.get("/users/me/data")
    assert everything.status_code == 200
    assert everything.json()["credit"] == {}
    assert everything.json()["benefits"] == {"accounts": []}
    lists = ["/transactions", "/transport-cards", "/purchases", "/cashback/months", "/documents", "/users/me/accesses"]
    answers = [everything, *[await intruder.get(path) for path in lists]]
    for answer in answers:
        assert answer.status_code == 200, answer.text
        assert [trace for trace in strangers_traces(reference) if trace in answer.text] == []
    refused = await intruder.get(f"/credit/{cpf}/accesses")
    assert (refused.status_code, refused.json()["code"]) == (403, "cpf_not_proven")
    assert refused.json()["ways"] == ["govbr", "operator"]
    for path in ("", "/base-a", "/base-b", "/base-c", "/score"):
        assert (await intruder.call("GET", f"/credit/{cpf}{path}", headers=PURPOSE)).status_code == 403
    for path in ("", "/statement"):
        assert (await intruder.get(f"/benefits/accounts/{reference}{path}")).status_code == 404
    simulated = await intruder.call("POST", "/transactions/simulate", content=purchase(reference))
    assert simulated.status_code == 404

    before = (await operator.get(f"/credit/{cpf}")).json()
    assert (await intruder.call("DELETE", f"/users/{intruder.id}")).status_code == 204
    after = (await operator.get(f"/credit/{cpf}")).json()
    assert (after["base_a"], after["base_b"]) == (before["base_a"], before["base_b"])
    assert after["base_c"]["financial_movement"] == before["base_c"]["financial_movement"] != []
    assert (await operator.get(f"/benefits/accounts/{reference}")).json()["balances"]["CASH"] == 9_000
    approvals = (await operator.get("/cashback/auto-approvals")).json()
    assert cpf in [approval["cpf"] for approval in approvals], "an operator's configuration"


async def test_an_intruders_acts_do_not_enter_the_strangers_file(app: RunningApp, operator: Person) -> None:
    cpf, _ = await file_of_a_stranger(app, operator)
    before = (await operator.get(f"/credit/{cpf}/base-c")).json()
    intruder = await sign_in(await register(app, cpf=cpf))
    (card,) = (await intruder.get("/transport-cards")).json()["items"]
    recharged = await intruder.post(f"/transport-cards/{card['card_number']}/recharge", {"amount": 500})
    assert recharged.status_code == 200
    await spend(app, operator, user_id=str(intruder.id))
    await app.work_off()
    assert (await operator.get(f"/credit/{cpf}/base-c")).json() == before


async def test_the_code_at_an_employers_contact_gives_the_account_and_none_of_the_credit_file(
    app: RunningApp, operator: Person, endpoints: Endpoints
) -> None:
    cpf, other = await file_of_a_stranger(app, operator)
    intruder = await sign_in(await register(app, cpf=cpf))
    reference = await spend(app, operator, cpf=cpf, contact=intruder.email)  # an employer that they chose themselves
    assert (await intruder.post(f"/benefits/accounts/{reference}/claim")).status_code == 202
    await app.work_off()
    assert endpoints.maildir is not None
    code = code_in(body_of(mail_to(endpoints.maildir, intruder.email)[-1], "plain"), 8)
    claimed = await intruder.post(f"/benefits/accounts/{reference}/claim/confirm", {"code": code})
    assert claimed.status_code == 200, claimed.text

    assert (await intruder.get(f"/benefits/accounts/{reference}")).status_code == 200
    assert (await intruder.get(f"/benefits/accounts/{other}")).status_code == 404
    assert (await intruder.get("/users/me/data")).json()["credit"] == {}
    assert (await intruder.get(f"/credit/{cpf}/accesses")).json()["code"] == "cpf_not_proven"
    assert (await intruder.get("/users/me")).json()["cpf_state"] == "declared"


async def test_proof_opens_the_file_and_the_export_is_a_look(app: RunningApp, operator: Person) -> None:
    cpf, _ = await file_of_a_stranger(app, operator)
    squatter = await sign_in(await register(app, cpf=cpf))
    assert (await squatter.post("/resellers")).status_code == 201
    code = f"NF-{uuid4()}"
    bought = await squatter.post("/purchases", {"code": code, "amount": 100, "date": f"{clock.today()}", "cpf": cpf})
    assert bought.status_code == 201, bought.text
    rightful = await sign_in(await register(app))
    proven = await operator.post(f"/users/{rightful.id}/cpf-proof", {"cpf": cpf, "paper": "cin"})
    assert proven.status_code == 200, proven.text

    credit = (await rightful.get("/users/me/data")).json()["credit"]
    assert credit["base_a"]["name"] == BASE_A["name"]
    assert credit["base_c"]["financial_movement"] != []
    looks = (await rightful.get(f"/credit/{cpf}/accesses")).json()["items"]
    assert (looks[0]["who"], looks[0]["purpose"]) == (str(rightful.id), "data_subject")
    # The account that lost the CPF keeps its own things, and gets nothing of the file.
    assert [item["code"] for item in (await squatter.get("/purchases")).json()["items"]] == [code]
    assert (await squatter.get("/users/me/data")).json()["credit"] == {}
    no_cpf = await squatter.post("/purchases", {"code": "x", "amount": 1, "date": f"{clock.today()}", "cpf": cpf})
    assert (no_cpf.status_code, no_cpf.json()["code"]) == (409, "no_cpf")
    assert (await rightful.post("/resellers")).status_code == 201, "the CPF is free for its owner"

    (card,) = (await rightful.get("/transport-cards")).json()["items"]
    await rightful.post(f"/transport-cards/{card['card_number']}/recharge", {"amount": 4_321})
    await app.work_off()
    assert "4321" in (await operator.get(f"/credit/{cpf}/base-c")).text

    assert (await squatter.call("DELETE", f"/users/{squatter.id}")).status_code in {204, 409}
    assert (await operator.get(f"/credit/{cpf}")).json()["base_a"] is not None
