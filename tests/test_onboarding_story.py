"""From HR's file to a reversed purchase: one story through benefits, processor and webhooks.

The client generated from `/openapi.json` reads the same statement in `tests/house/test_clients.py`.
"""

import os
import re
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from carteira.embedded import Endpoints
from carteira.kit.values.clock import clock
from carteira.kit.values.money import format_brl
from tests.support.app import RunningApp, running_app, settings_for
from tests.support.benefits import AUTHORIZER, FOOD, processor_headers, purchase
from tests.support.databases import NewDatabase
from tests.support.machines import new_acting
from tests.support.mail import body_of, mail_to
from tests.support.people import new_cpf, register, sign_in
from tests.support.receiver import receiving
from tests.support.webhooks import KEEPS, add_hook

PEOPLE = int(os.environ.get("CARTEIRA_STORY_PEOPLE", "200"))
"""A thousand take half a minute: `CARTEIRA_STORY_PEOPLE=1000 make test T=tests/test_onboarding_story.py`."""
CSV = {"Content-Type": "text/csv"}
CLAIMED, DECIDED, RETURNED = "benefits.account_claimed", "benefits.transaction_decided", "benefits.transaction_returned"


@pytest.fixture
async def app(
    new_database: NewDatabase, endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RunningApp]:
    settings = settings_for(
        tmp_path_factory.mktemp("story"),
        database_url=new_database("onboarding_story"),
        redis_url=endpoints.redis_url,
        smtp_url=endpoints.smtp_url,
        carteira_modules="benefits,webhooks",
        limit_opening_balances=1_000_000,
    )
    async with running_app(settings) as running:
        yield running


def file_of(cpfs: list[str], address: str) -> bytes:
    """Return the file as Excel in Brazil saves it; the first person has an address, and two lines are wrong."""
    rows = [f"{cpf};João Gonçalves {number};;1.234,50" for number, cpf in enumerate(cpfs)]
    rows[0] = f"{cpfs[0]};Conceição Araújo;{address};1.234,50"
    rows[10:10] = ["11111111111;Ninguém;;1,00"]
    rows[20:20] = [f"{new_cpf()};Não Sabe;;mil reais"]
    return "\r\n".join(["CPF;Nome;Contato;Valor Alimentação", *rows, ""]).encode("cp1252")


async def test_from_the_file_of_hr_to_a_purchase_that_is_undone(app: RunningApp, endpoints: Endpoints) -> None:
    administrator, maker, checker = app.operator(), app.person("benefits:read", "benefits:write"), app.operator()
    employer = {"cnpj": "11.222.333/0001-81", "name": "Padaria Central Ltda."}
    employer_id = (await administrator.post("/benefits/employers", employer)).json()["id"]
    cpfs, address = [new_cpf() for _ in range(PEOPLE)], f"conceicao.{new_cpf()}@exemplo.com.br"
    sheet, query = file_of(cpfs, address), f"?employer_id={employer_id}"

    preview = await maker.call("POST", f"/benefits/accounts/bulk/preview{query}", content=sheet, headers=CSV)
    assert (preview.json()["ready"], preview.json()["value"]) == (PEOPLE, format_brl(PEOPLE * 123_450)), preview.text
    wrong = [one for one in preview.json()["results"] if one["status"] == "failed"]
    assert [(one["line"], one["column"]) for one in wrong] == [(11, "CPF"), (21, "Valor Alimentação")]
    waits = await maker.call("POST", f"/benefits/accounts/bulk{query}", content=sheet, headers=CSV)
    assert waits.status_code == 202, waits.text
    approved = await checker.post(f"/pending/{waits.json()['pending']['id']}/approve")
    assert approved.status_code == 200, approved.text
    await app.work_off()
    done = (await maker.get(f"/benefits/accounts/imports/{approved.json()['outcome']['id']}")).json()
    assert (done["state"], done["opened"], done["failed"]) == ("finished", PEOPLE, 2)

    erp = await new_acting(administrator, "benefits:read", *KEEPS)
    assert (await administrator.call("PUT", f"/benefits/employers/{employer_id}/members/{erp.id}")).status_code == 200
    async with receiving() as receiver:
        hook = await add_hook(erp, receiver.url, CLAIMED, DECIDED, RETURNED)
        [letter] = mail_to(endpoints.maildir, address)
        found = re.search(r"convite=([\w-]+)", body_of(letter, "plain"))
        assert found
        person = await sign_in(await register(app, cpf=cpfs[0]))
        claimed = await person.post("/benefits/invitations/accept", {"token": found[1]})
        assert claimed.status_code == 200, claimed.text
        account = claimed.json()["account"]

        bought = purchase(account, "34.50", FOOD, id="nsu-1")
        await app.client.post(AUTHORIZER, content=bought, headers=processor_headers())  # and its answer is lost
        for path, code in (("query", "00"), ("reversal", "00"), ("reversal", "00")):
            asked = await app.client.post(f"{AUTHORIZER}/{path}", json={"id": "nsu-1"}, headers=processor_headers())
            assert asked.json() == {"code": code}
        await app.work_off()
        told = {str(one.verified(hook.secret)["type"]): one.content["data"] for one in receiver.requests}
    assert set(told) == {CLAIMED, DECIDED, RETURNED}
    assert told[RETURNED]["reference"] == told[DECIDED]["reference"] == "nsu-1"  # type: ignore[index] # JSON

    month = {"from": (clock.today() - timedelta(days=30)).isoformat(), "to": clock.today().isoformat()}
    lines = (await person.get(f"/benefits/accounts/{account}/statement", **month)).json()["items"]
    assert [(line["amount"], line["balance_after"]) for line in lines] == [
        (3_450, 123_450),
        (-3_450, 120_000),
        (123_450, 123_450),
    ]
