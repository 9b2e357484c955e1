"""Claiming an account: the code goes to the employer's contact, and only that code links the account to a person."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from carteira.embedded import Endpoints
from carteira.kit.security import codes
from carteira.kit.values.clock import clock
from tests.support.app import RunningApp, running_app, settings_for
from tests.support.databases import NewDatabase
from tests.support.mail import body_of, code_in, mail_to, parts_of
from tests.support.people import Person, new_cpf, new_person, register

WRONG = "00000000"
INVITATIONS = "/benefits/accounts/invitations"


@pytest.fixture(scope="module")
def claims_url(new_database: NewDatabase) -> str:
    return new_database("claims")


@pytest.fixture
async def app(claims_url: str, endpoints: Endpoints, tmp_path: Path) -> AsyncIterator[RunningApp]:
    settings = settings_for(tmp_path, database_url=claims_url, smtp_url=endpoints.smtp_url, carteira_modules="benefits")
    async with running_app(settings) as app:
        yield app


async def open_account(app: RunningApp, cpf: str, contact: str | None) -> str:
    reference = f"c-x{uuid4().hex}"  # no separate group of eight digits, which would look like a code
    body = {"account": reference, "cpf": cpf, "contact": contact, "balances": {"FOOD": 700, "CASH": 50}}
    answer = await app.operator().post("/benefits/accounts", body)
    assert answer.status_code == 201, answer.text
    return reference


def address() -> str:
    return f"rh.{uuid4().hex[:12]}@empresa.com.br"


async def sent_code(app: RunningApp, endpoints: Endpoints, contact: str) -> str:
    await app.work_off()
    text, html = parts_of(mail_to(endpoints.maildir, contact)[-1])
    code = code_in(text, 8)
    assert code in html
    return code


async def test_the_code_of_the_contact_makes_the_account_and_its_money_mine(
    app: RunningApp, endpoints: Endpoints
) -> None:
    person = await register(app)
    cpf = person.cpf
    contact = address()
    account = await open_account(app, cpf, contact)
    path = f"/benefits/accounts/{account}"
    assert (await person.get(path)).status_code == 404
    asked = await person.post(f"{path}/claim")
    assert (asked.status_code, asked.content) == (202, b"")
    code = await sent_code(app, endpoints, contact)
    assert (await person.post(f"{path}/claim/confirm", {"code": WRONG})).json()["code"] == "wrong_claim_code"
    confirmed = await person.post(f"{path}/claim/confirm", {"code": code})
    assert confirmed.status_code == 200, confirmed.text
    assert confirmed.json() | {"employer_id": ""} == {
        "account": account,
        "employer_id": "",
        "balances": {"FOOD": 700, "MEAL": 0, "CASH": 50},
    }
    assert (await person.get(path)).status_code == 200
    async with app.database.transaction() as tx:
        owners = await tx.scalars(
            text(
                "SELECT DISTINCT owner_id FROM ledger_accounts JOIN benefits_accounts b ON b.id = holder_id "
                "WHERE b.reference = :account"
            ),
            {"account": account},
        )
        assert list(owners) == [person.id]
        audited = await tx.scalars(
            text("SELECT action FROM audit_log WHERE actor_id = :id AND action LIKE 'benefit%' ORDER BY id"),
            {"id": person.id},
        )
        assert list(audited) == ["benefit_claim_asked", "benefit_claimed"]
    for more in ("claim", "claim/confirm"):
        again = await person.post(f"{path}/{more}", {"code": code} if more != "claim" else None)
        assert (again.status_code, again.json()["code"]) == (409, "already_claimed")


async def test_accounts_of_others_are_not_there(app: RunningApp, endpoints: Endpoints) -> None:
    owner = await register(app)
    cpf = owner.cpf
    stranger = await register(app)
    contact = address()
    account = await open_account(app, cpf, contact)
    await owner.post(f"/benefits/accounts/{account}/claim")
    code = await sent_code(app, endpoints, contact)
    unknown = f"c-{uuid4()}"
    nobody = app.person()  # a token without a person
    for who in (stranger, nobody):
        for reference in (account, unknown):
            answers = [
                await who.post(f"/benefits/accounts/{reference}/claim"),
                await who.post(f"/benefits/accounts/{reference}/claim/confirm", {"code": code}),
            ]
            assert [(a.status_code, a.json()["code"]) for a in answers] == [(404, "benefit_account_not_found")] * 2
    assert (await owner.post(f"/benefits/accounts/{account}/claim/confirm", {"code": code})).status_code == 200
    assert (await stranger.post(f"/benefits/accounts/{account}/claim")).status_code == 404


async def test_an_account_without_a_contact_is_reported(app: RunningApp) -> None:
    person = await register(app)
    cpf = person.cpf
    account = await open_account(app, cpf, None)
    answer = await person.post(f"/benefits/accounts/{account}/claim")
    assert (answer.status_code, answer.json()["code"]) == (409, "no_contact")


async def test_a_phone_gets_an_sms(app: RunningApp) -> None:
    person = await register(app)
    cpf = person.cpf
    account = await open_account(app, cpf, "11912345670")
    await person.post(f"/benefits/accounts/{account}/claim")
    await app.work_off()
    sent = [sms.read_text() for sms in (app.settings.carteira_home / "sms").iterdir()]
    (words,) = [text for text in sent if text.startswith("Para: 11912345670\n") and "código" in text]
    assert len(words.partition("\n")[2].strip()) <= 160
    code = code_in(words.partition("\n")[2], 8)
    assert (await person.post(f"/benefits/accounts/{account}/claim/confirm", {"code": code})).status_code == 200


async def test_a_code_ends_after_ten_minutes_five_tries_or_a_newer_one(app: RunningApp, endpoints: Endpoints) -> None:
    person = await register(app)
    cpf = person.cpf
    contact = address()
    account = await open_account(app, cpf, contact)
    claim = f"/benefits/accounts/{account}/claim"

    async def confirm(code: str) -> int:
        return (await person.post(f"{claim}/confirm", {"code": code})).status_code

    assert await confirm(WRONG) == 422  # none was requested
    await person.post(claim)
    assert await confirm(WRONG) == 422  # none was sent
    late = await sent_code(app, endpoints, contact)
    clock.set(clock.now() + codes.TTL + timedelta(seconds=1))
    assert await confirm(late) == 422
    clock.run()
    await person.post(claim)
    tried = await sent_code(app, endpoints, contact)
    for _ in range(5):
        assert await confirm(f"{(int(tried) + 1) % 10**8:08}") == 422
    assert await confirm(tried) == 422
    await person.post(claim)
    newest = await sent_code(app, endpoints, contact)
    assert await confirm(newest) == 200


async def test_rubbish_is_no_code(app: RunningApp) -> None:
    person = await register(app)
    cpf = person.cpf
    account = await open_account(app, cpf, address())
    bodies: list[object] = [
        {"code": 12345678},
        {"code": "1234567"},
        {"code": "١٢٣٤٥٦٧٨"},
        {"code": "12345678", "x": 1},
        [],
    ]
    for body in bodies:
        answer = await person.post(f"/benefits/accounts/{account}/claim/confirm", body)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")


async def test_codes_and_guesses_are_limited(app: RunningApp) -> None:
    person = await register(app)
    cpf = person.cpf
    account = await open_account(app, cpf, address())
    asked = [(await person.post(f"/benefits/accounts/{account}/claim")).status_code for _ in range(6)]
    assert asked == [202] * 5 + [429]
    guesses = [await person.post(f"/benefits/accounts/{account}/claim/confirm", {"code": WRONG}) for _ in range(11)]
    assert [guess.status_code for guess in guesses] == [422] * 10 + [429]
    assert int(guesses[-1].headers["retry-after"]) > 0


async def test_of_many_concurrent_confirmations_one_gets_the_account(app: RunningApp, endpoints: Endpoints) -> None:
    owner = await register(app)
    cpf = owner.cpf
    thief = await register(app)
    contact = address()
    account = await open_account(app, cpf, contact)
    await owner.post(f"/benefits/accounts/{account}/claim")
    code = await sent_code(app, endpoints, contact)

    async def confirm(who: Person) -> tuple[UUID, int]:
        answer = await who.post(f"/benefits/accounts/{account}/claim/confirm", {"code": code})
        return who.id, answer.status_code

    answers = await asyncio.gather(*(confirm(who) for _ in range(4) for who in (thief, owner)))
    assert sorted(answers) == sorted([(owner.id, 200), *[(owner.id, 409)] * 3, *[(thief.id, 404)] * 4])
    async with app.database.transaction() as tx:
        rows = await tx.execute(
            text(
                "SELECT DISTINCT account.user_id, purse.owner_id, code.account_id FROM benefits_accounts account "
                "JOIN ledger_accounts purse ON purse.holder_id = account.id "
                "LEFT JOIN benefits_claim_codes code ON code.account_id = account.id "
                "WHERE account.reference = :account"
            ),
            {"account": account},
        )
        assert rows.all() == [(owner.id, owner.id, None)]


async def test_a_job_whose_account_was_claimed_meanwhile_sends_nothing(app: RunningApp, endpoints: Endpoints) -> None:
    person = await register(app)
    cpf = person.cpf
    contact = address()
    account = await open_account(app, cpf, contact)
    await person.post(f"/benefits/accounts/{account}/claim")
    async with app.database.transaction() as tx:
        await tx.execute(
            text("UPDATE benefits_accounts SET user_id = :id WHERE reference = :account"),
            {"id": person.id, "account": account},
        )
    await app.work_off()
    assert mail_to(endpoints.maildir, contact) == []


async def proven(app: RunningApp) -> Person:
    """A person whose CPF an operator has proven."""
    person = await register(app)
    answer = await app.person("identity:prove").post(
        f"/users/{person.id}/cpf-proof", {"cpf": person.cpf, "paper": "cin"}
    )
    assert answer.status_code == 200, answer.text
    return person


async def test_a_proven_cpf_shows_waiting_accounts_and_needs_no_code(app: RunningApp) -> None:
    person, declared = await proven(app), await register(app)
    account, other = await open_account(app, person.cpf, None), await open_account(app, declared.cpf, address())
    listed = (await person.get("/benefits/waiting-accounts")).json()["items"]
    assert [item["account"] for item in listed] == [account]
    taken = await person.post(f"/benefits/accounts/{account}/claim/confirm", {})
    assert (taken.status_code, taken.json()["account"]) == (200, account)
    assert (await person.get("/benefits/waiting-accounts")).json()["items"] == []
    assert (await person.post(f"/benefits/accounts/{other}/claim/confirm", {})).status_code == 404


async def test_a_typed_cpf_shows_nothing_and_needs_the_code(app: RunningApp) -> None:
    person = await register(app)
    account = await open_account(app, person.cpf, address())
    for answer in (
        await person.get("/benefits/waiting-accounts"),
        await person.post(f"/benefits/accounts/{account}/claim/confirm", {}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, "cpf_not_proven")
        assert account not in answer.text


async def invited(app: RunningApp, endpoints: Endpoints, account: str, contact: str) -> str:
    """Invite a person to an account; return the token that its contact received."""
    asked = await app.person("benefits:write").post(f"/benefits/accounts/{account}/invite")
    assert (asked.status_code, asked.content) == (202, b""), asked.text
    await app.work_off()
    assert endpoints.maildir is not None
    words = body_of(mail_to(endpoints.maildir, contact)[-1], "plain").split()
    link = next(word for word in words if "/app/beneficios/convite?convite=" in word)
    return link.partition("=")[2]


async def test_an_invitation_gives_the_account_to_a_person_without_a_cpf(app: RunningApp, endpoints: Endpoints) -> None:
    squatter, contact = await register(app), address()
    account = await open_account(app, squatter.cpf, contact)
    token = await invited(app, endpoints, account, contact)
    reader = app.person("benefits:read")
    (listed,) = (await reader.post("/benefits/accounts/search", {"account": account})).json()["items"]
    assert (listed["invitation"]["state"], listed["invitation"]["sent_at"] is None) == ("sent", False)
    body = {name: value for name, value in new_person().items() if name != "cpf"}
    registered = await app.client.post("/users/register", json=body)
    assert (registered.status_code, registered.json()["cpf_state"]) == (201, "none")
    person = app.person(user_id=UUID(registered.json()["id"]))
    taken = await person.post("/benefits/invitations/accept", {"token": token})
    assert (taken.status_code, taken.json()["account"]) == (200, account), taken.text
    assert (await person.get(f"/benefits/accounts/{account}")).status_code == 200
    assert (await person.get("/users/me")).json()["cpf_state"] == "none", "the account's, and nothing else's"
    for who in (person, squatter):
        again = await who.post("/benefits/invitations/accept", {"token": token})
        assert (again.status_code, again.json()["code"]) == (404, "benefit_invitation_over")
    (listed,) = (await reader.post("/benefits/accounts/search", {"account": account})).json()["items"]
    assert (listed["user_id"], listed["invitation"]) == (str(person.id), None)
    claimed = await app.person("benefits:write").post(f"/benefits/accounts/{account}/invite")
    assert (claimed.status_code, claimed.json()["code"]) == (409, "already_claimed")


async def test_an_invitation_is_for_the_cpf_of_the_account_and_the_newest_counts(
    app: RunningApp, endpoints: Endpoints
) -> None:
    person, stranger, contact = await register(app), await register(app), address()
    account = await open_account(app, person.cpf, contact)
    former = await invited(app, endpoints, account, contact)
    token = await invited(app, endpoints, account, contact)
    refused = await stranger.post("/benefits/invitations/accept", {"token": token})
    assert (refused.status_code, refused.json()["code"]) == (409, "cpf_differs")
    for wrong in (former, "x" * 43):
        answer = await person.post("/benefits/invitations/accept", {"token": wrong})
        assert (answer.status_code, answer.json()["code"]) == (404, "benefit_invitation_over")
    clock.advance(timedelta(days=7))
    late = await person.post("/benefits/invitations/accept", {"token": token})
    assert (late.status_code, late.json()["code"]) == (404, "benefit_invitation_over")


async def test_several_are_invited_at_once_and_one_failure_stops_no_other(app: RunningApp) -> None:
    accounts = [await open_account(app, new_cpf(), address()) for _ in range(2)]
    silent = await open_account(app, new_cpf(), None)
    asked = {"accounts": [accounts[0], silent, accounts[1], "n-nowhere", accounts[0]]}
    assert (await app.person("benefits:read").post(INVITATIONS, asked)).status_code == 403
    told = (await app.person("benefits:write").post(INVITATIONS, asked)).json()
    assert (told["sent"], told["failed"]) == (2, 2)
    assert [(one["line"], one["account"], one["error"]) for one in told["results"]] == [
        (1, accounts[0], None),
        (2, silent, "no_contact"),
        (3, accounts[1], None),
        (4, "n-nowhere", "benefit_account_not_found"),
    ]
    for _ in range(10):
        again = (await app.person("benefits:write").post(INVITATIONS, {"accounts": accounts[:1]})).json()
        if again["failed"]:
            break
    assert again["results"][0]["error"] == "too_many_requests", "of each account as of one alone"
    many = {"accounts": [f"n-{number}" for number in range(101)]}
    assert (await app.person("benefits:write").post(INVITATIONS, many)).status_code == 422


async def test_an_invitation_wants_the_claim_and_a_contact(app: RunningApp) -> None:
    person = await register(app)
    account = await open_account(app, person.cpf, None)
    assert (await person.post(f"/benefits/accounts/{account}/invite")).status_code == 403
    operator = app.person("benefits:write")
    answer = await operator.post(f"/benefits/accounts/{account}/invite")
    assert (answer.status_code, answer.json()["code"]) == (409, "no_contact")
    assert (await operator.post(f"/benefits/accounts/c-{uuid4()}/invite")).status_code == 404


async def test_of_many_with_one_invitation_one_gets_the_account(app: RunningApp, endpoints: Endpoints) -> None:
    contact = address()
    account = await open_account(app, (await register(app)).cpf, contact)
    token = await invited(app, endpoints, account, contact)
    people = []
    for _ in range(4):
        body = {name: value for name, value in new_person().items() if name != "cpf"}
        made = await app.client.post("/users/register", json=body)
        people.append(app.person(user_id=UUID(made.json()["id"])))
    answers = await asyncio.gather(*(who.post("/benefits/invitations/accept", {"token": token}) for who in people))
    assert sorted(answer.status_code for answer in answers) == [200, 404, 404, 404]
