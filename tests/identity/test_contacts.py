"""Contact points: who changes one, who is notified, which ones recover an account, and how a change is undone."""

import asyncio
import random
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from sqlalchemy import text

from carteira.embedded import Endpoints
from carteira.identity.models import User
from carteira.identity.users.queries import version_of_person
from carteira.kit.values.clock import clock
from tests.identity.test_passkeys import add as add_passkey
from tests.identity.test_passkeys import enter, options_of
from tests.support.app import RunningApp
from tests.support.authenticator import Authenticator
from tests.support.mail import body_of, mail_to
from tests.support.people import PASSWORD, Person, new_person, random_address, register, sign_in

PHONE = "21999990000"
WAIT = timedelta(hours=72)


async def change(person: Person, **changes: str | None) -> httpx.Response:
    return await person.call("PATCH", f"/users/{person.id}", json=changes)


async def contacts_of(app: RunningApp, person: Person) -> dict[tuple[str, str], Any]:
    answer = await app.client.get(f"/users/{person.id}", headers=app.bearer("users:read"))
    return {(item["kind"], item["value"]): item for item in answer.json()["contacts"]}


async def states_of(app: RunningApp, person: Person) -> dict[tuple[str, str], str]:
    return {key: item["state"] for key, item in (await contacts_of(app, person)).items()}


def sms_to(app: RunningApp, phone: str) -> list[str]:
    folder = app.settings.carteira_home / "sms"
    texts = [path.read_text() for path in sorted(folder.iterdir())] if folder.exists() else []
    return [sent for sent in texts if sent.startswith(f"Para: {phone}\n")]


def token_in(message: str, act: str) -> str:
    found = re.search(rf"http://\S+/auth/contacts/{act}\?token=\S+", message)
    assert found, message
    return parse_qs(urlsplit(found[0]).query)["token"][0]


async def act(app: RunningApp, what: str, token: str, *, accept: str = "*/*") -> httpx.Response:
    client = app.at(random_address())
    return await client.post(f"/auth/contacts/{what}", data={"token": token}, headers={"Accept": accept})


async def undo_link(app: RunningApp, endpoints: Endpoints, address: str) -> str:
    await app.work_off()
    return token_in(body_of(mail_to(endpoints.maildir, address)[-1], "plain"), "undo")


async def confirm_email(app: RunningApp, endpoints: Endpoints, address: str) -> None:
    await app.work_off()
    token = token_in(body_of(mail_to(endpoints.maildir, address)[-1], "plain"), "confirm")
    assert (await act(app, "confirm", token)).status_code == 200


async def addresses_of_codes(app: RunningApp, endpoints: Endpoints, name: str, *addresses: str) -> list[str]:
    """Request a code and return the addresses that received a new message."""
    await app.work_off()
    before = {address: len(mail_to(endpoints.maildir, address)) for address in addresses}
    client = app.at(random_address())
    assert (await client.post("/password-recovery", json={"email": name})).status_code == 202
    await app.work_off()
    return [address for address in addresses if len(mail_to(endpoints.maildir, address)) > before[address]]


@pytest.mark.parametrize("changes", [{"phone": PHONE}, {"phone": None}, {"email": "novo@exemplo.com.br"}])
async def test_an_old_session_changes_no_contact_point(
    app: RunningApp, person: Person, changes: dict[str, str | None]
) -> None:
    clock.advance(timedelta(minutes=5))
    person.tokens = (
        await app.client.post("/auth/refresh", json={"refresh_token": person.tokens["refresh_token"]})
    ).json()
    clock.advance(timedelta(minutes=11))
    answer = await person.call(
        "PATCH",
        f"/users/{person.id}",
        json=changes,
        headers={"Authorization": f"Bearer {person.tokens['access_token']}"},
    )
    assert (answer.status_code, answer.json()["code"]) == (403, "recent_sign_in_required")
    answer = await person.call(
        "PATCH",
        f"/users/{person.id}",
        json={"full_name": "Maria Outra"},
        headers={"Authorization": f"Bearer {person.tokens['access_token']}"},
    )
    assert answer.status_code == 200, "what recovers nothing needs no recent sign-in"


async def test_a_stolen_session_takes_no_account_by_phone(app: RunningApp, endpoints: Endpoints) -> None:
    old = f"119{random.randrange(10**8):08d}"
    owner = await sign_in(await register(app, phone=old))
    answer = await change(owner, phone=PHONE)
    assert (answer.status_code, answer.json()["phone"]) == (200, PHONE)
    assert [(item["kind"], item["state"]) for item in answer.json()["contacts"]] == [
        ("email", "registered"),
        ("phone", "unconfirmed"),
        ("phone", "former"),
    ]
    await app.work_off()
    seen = len(sms_to(app, PHONE))
    assert len(sms_to(app, old)) == 1, "the former address is told"
    assert mail_to(endpoints.maildir, owner.email)[-1]["Subject"] == "Um contato da sua conta foi alterado"
    assert (await app.client.post("/password-recovery", json={"cpf": owner.cpf, "channel": "sms"})).status_code == 202
    await app.work_off()
    assert len(sms_to(app, PHONE)) == seen, "the new address gets no code"
    assert "código" in sms_to(app, old)[-1]


async def test_a_changed_email_recovers_once_confirmed_and_the_wait_is_over(
    app: RunningApp, endpoints: Endpoints, person: Person
) -> None:
    new = new_person()["email"]
    answer = await change(person, email=new)
    assert (answer.status_code, answer.json()["email"]) == (200, new)
    assert await states_of(app, person) == {
        ("email", new): "unconfirmed",
        ("email", person.email): "former",
        ("phone", "11987654321"): "registered",
    }
    stale = await app.client.post("/auth/login", data={"username": person.email, "password": PASSWORD})
    assert stale.status_code == 401
    async with app.database.transaction() as tx:
        waiting = (await tx.scalars(text("SELECT args::text FROM procrastinate_jobs"))).all()
    assert not any(person.email in args or new in args for args in waiting), "the queue holds nothing personal"
    await app.work_off()
    assert await addresses_of_codes(app, endpoints, new, new, person.email) == [person.email]
    await confirm_email(app, endpoints, new)
    assert (await states_of(app, person))["email", new] == "confirmed"
    assert await addresses_of_codes(app, endpoints, person.email, new, person.email) == [person.email], (
        "the wait goes on"
    )
    clock.advance(WAIT + timedelta(seconds=1))
    assert await addresses_of_codes(app, endpoints, person.email, new, person.email) == [], "no longer anybody's login"
    assert await addresses_of_codes(app, endpoints, new, new, person.email) == [new]
    assert ("email", person.email) not in await contacts_of(app, person)


async def test_an_unconfirmed_email_never_recovers(app: RunningApp, endpoints: Endpoints, person: Person) -> None:
    new = new_person()["email"]
    await change(person, email=new)
    clock.advance(WAIT * 10)
    assert await addresses_of_codes(app, endpoints, new, new, person.email) == [person.email]
    assert (await states_of(app, person))["email", person.email] == "former"


async def test_not_me_undoes_the_change_and_ends_all_sessions(
    app: RunningApp, endpoints: Endpoints, person: Person
) -> None:
    new = new_person()["email"]
    await change(person, email=new)
    await confirm_email(app, endpoints, new)
    token = await undo_link(app, endpoints, person.email)
    page = await app.client.get("/auth/contacts/undo", params={"token": token})
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "form-action 'self'" in page.headers["content-security-policy"]
    assert (await person.get("/users/me")).status_code == 200, "opening the page changes nothing"
    done = await act(app, "undo", token)
    assert done.status_code == 200
    assert "a senha foi anulada" in done.json()["detail"]
    assert (await person.get("/users/me")).status_code == 401
    assert await states_of(app, person) == {
        ("email", person.email): "registered",
        ("phone", "11987654321"): "registered",
    }
    assert await addresses_of_codes(app, endpoints, person.email, new, person.email) == [person.email]
    again = await act(app, "undo", token, accept="text/html")
    assert (again.status_code, "não vale mais" in again.text) == (422, True)


async def test_not_me_removes_a_thiefs_ways_to_sign_in(app: RunningApp, endpoints: Endpoints, person: Person) -> None:
    """The thief had a session and the password, and added passkeys before and after the change of address."""
    old, before, behind = Authenticator(), Authenticator(), Authenticator()
    await add_passkey(app, person, old)
    clock.advance(WAIT + timedelta(minutes=1))
    await sign_in(person)
    await add_passkey(app, person, before)
    await change(person, email=new_person()["email"])
    await change(person, email=new_person()["email"])
    token = await undo_link(app, endpoints, person.email)
    clock.advance(timedelta(minutes=1))
    await add_passkey(app, person, behind)
    assert (await app.client.post("/password-recovery", json={"email": person.email})).status_code == 202
    assert (await act(app, "undo", token)).status_code == 200
    assert (await enter(app, before.get(await options_of(app)))).status_code == 401
    assert (await enter(app, behind.get(await options_of(app)))).status_code == 401
    assert (await enter(app, old.get(await options_of(app)))).status_code == 200, "what was there long before stays"
    login = {"username": person.cpf, "password": person.password}
    assert (await app.client.post("/auth/login", data=login)).status_code == 401, "the password no longer works"
    async with app.database.transaction() as tx:
        left = text("SELECT count(*) FROM password_recoveries WHERE user_id = :id")
        assert await tx.scalar(left, {"id": person.id}) == 0, "no earlier code resets it"


async def test_not_me_is_over_after_the_wait(app: RunningApp, endpoints: Endpoints, person: Person) -> None:
    new = new_person()["email"]
    await change(person, email=new)
    token = await undo_link(app, endpoints, person.email)
    clock.advance(WAIT)
    assert (await act(app, "undo", token)).json()["code"] == "contact_link_refused"
    assert ("email", new) in await contacts_of(app, person)


async def test_a_contact_that_never_recovered_undoes_nothing(
    app: RunningApp, endpoints: Endpoints, person: Person
) -> None:
    between, last = new_person()["email"], new_person()["email"]
    await change(person, email=between)
    await change(person, email=last)
    await app.work_off()
    told = body_of(mail_to(endpoints.maildir, between)[-1], "plain")
    assert "foi trocado" in told
    assert "/auth/contacts/undo" not in told
    assert (await act(app, "undo", await undo_link(app, endpoints, person.email))).status_code == 200
    assert ("email", person.email) in await contacts_of(app, person)


async def test_going_back_to_the_former_one_needs_no_wait(
    app: RunningApp, endpoints: Endpoints, person: Person
) -> None:
    await change(person, email=new_person()["email"])
    assert (await change(person, email=person.email)).status_code == 200
    assert (await states_of(app, person))["email", person.email] == "registered"
    assert await addresses_of_codes(app, endpoints, person.email, person.email) == [person.email]


async def test_a_first_phone_is_a_change_and_the_email_address_is_notified(
    app: RunningApp, endpoints: Endpoints
) -> None:
    person = await sign_in(await register(app))
    async with app.database.transaction() as tx:
        await tx.execute(text("UPDATE users SET phone = NULL WHERE id = :id"), {"id": person.id})
    assert (await change(person, phone=PHONE)).status_code == 200
    token = await undo_link(app, endpoints, person.email)
    before = len(sms_to(app, PHONE))
    assert (await app.client.post("/password-recovery", json={"cpf": person.cpf, "channel": "sms"})).status_code == 202
    await app.work_off()
    assert len(sms_to(app, PHONE)) == before
    assert (await act(app, "undo", token)).status_code == 200
    assert await states_of(app, person) == {("email", person.email): "registered"}


async def test_an_address_that_still_recovers_is_nobody_elses(
    app: RunningApp, endpoints: Endpoints, person: Person
) -> None:
    new = new_person()["email"]
    await change(person, email=new)
    taken = await app.client.post("/users/register", json=new_person() | {"email": person.email.upper()})
    assert (taken.status_code, taken.json()["code"]) == (409, "email_taken")
    other = await sign_in(await register(app))
    assert (await change(other, email=person.email)).json()["code"] == "email_taken"
    await confirm_email(app, endpoints, new)
    clock.advance(WAIT + timedelta(seconds=1))
    free = await app.client.post("/users/register", json=new_person() | {"email": person.email})
    assert free.status_code == 201


async def test_the_former_address_cannot_be_taken_during_a_change(app: RunningApp, person: Person) -> None:
    new = new_person()["email"]
    answers = await asyncio.gather(
        change(person, email=new),
        *(app.client.post("/users/register", json=new_person() | {"email": person.email}) for _ in range(5)),
    )
    assert [answer.status_code for answer in answers] == [200, 409, 409, 409, 409, 409]


async def test_changes_at_once_leave_one_that_the_former_undoes(
    app: RunningApp, endpoints: Endpoints, person: Person
) -> None:
    answers = await asyncio.gather(*(change(person, email=new_person()["email"]) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {200}
    token = await undo_link(app, endpoints, person.email)
    undone = await asyncio.gather(*(act(app, "undo", token) for _ in range(3)))
    assert sorted(answer.status_code for answer in undone) == [200, 422, 422]
    assert (await states_of(app, person))["email", person.email] == "registered"


async def test_a_code_confirms_the_contact_point_that_it_was_sent_to(
    app: RunningApp, endpoints: Endpoints, person: Person
) -> None:
    assert await addresses_of_codes(app, endpoints, person.email, person.email) == [person.email]
    code = re.search(r"\b\d{8}\b", body_of(mail_to(endpoints.maildir, person.email)[-1], "plain"))
    assert code
    new = new_person()["email"]
    await change(person, email=new)
    verified = await app.client.post("/password-recovery/verify", json={"cpf": person.cpf, "code": code[0]})
    assert verified.status_code == 200
    contacts = await contacts_of(app, person)
    assert contacts["email", new]["state"] == "unconfirmed", "the code was never stored"
    assert contacts["email", person.email]["state"] == "former"
    async with app.database.transaction() as tx:
        confirmed = await tx.scalar(
            text("SELECT former_confirmed_at FROM contact_changes WHERE user_id = :id"), {"id": person.id}
        )
    assert isinstance(confirmed, datetime)


async def test_contacts_of_registration_are_confirmed_by_a_link(
    app: RunningApp, endpoints: Endpoints, person: Person
) -> None:
    assert (await person.post("/users/me/contacts/email/confirmation")).status_code == 202
    await confirm_email(app, endpoints, person.email)
    assert (await states_of(app, person))["email", person.email] == "confirmed"
    assert (await person.post("/users/me/contacts/email/confirmation")).json()["code"] == "contact_confirmed"
    assert (await person.post("/users/me/contacts/fax/confirmation")).status_code == 422
    assert (await person.post("/users/me/contacts/phone/confirmation")).status_code == 202
    await app.work_off()
    token = token_in(sms_to(app, "11987654321")[-1], "confirm")
    assert (await act(app, "confirm", token)).status_code == 200
    assert (await states_of(app, person))["phone", "11987654321"] == "confirmed"


async def test_a_confirmation_is_of_one_value_and_lives_seven_days(
    app: RunningApp, endpoints: Endpoints, person: Person
) -> None:
    await person.post("/users/me/contacts/email/confirmation")
    await app.work_off()
    token = token_in(body_of(mail_to(endpoints.maildir, person.email)[-1], "plain"), "confirm")
    await change(person, email=new_person()["email"])
    assert (await act(app, "confirm", token)).json()["code"] == "contact_link_refused"
    await change(person, email=person.email)
    clock.advance(timedelta(days=7, seconds=1))
    assert (await act(app, "confirm", token)).json()["code"] == "contact_link_refused"


@pytest.mark.parametrize("token", ["x", "A" * 64, "AAAA" * 40, "é", "A" * 200])
@pytest.mark.parametrize("what", ["confirm", "undo"])
async def test_rubbish_links_are_422(app: RunningApp, what: str, token: str) -> None:
    assert (await act(app, what, token)).status_code == 422


async def test_links_are_not_taken_for_each_other(app: RunningApp, endpoints: Endpoints, person: Person) -> None:
    new = new_person()["email"]
    await change(person, email=new)
    undo = await undo_link(app, endpoints, person.email)
    confirm = token_in(body_of(mail_to(endpoints.maildir, new)[-1], "plain"), "confirm")
    assert (await act(app, "confirm", undo)).status_code == 422
    assert (await act(app, "undo", confirm)).status_code == 422


async def test_an_erased_persons_contact_points_are_gone(app: RunningApp, person: Person) -> None:
    await change(person, email=new_person()["email"], phone=PHONE)
    assert (await person.call("DELETE", f"/users/{person.id}")).status_code == 204
    async with app.database.transaction() as tx:
        left = await tx.scalar(text("SELECT count(*) FROM contact_changes WHERE user_id = :id"), {"id": person.id})
    assert left == 0
    assert (await app.client.post("/users/register", json=new_person() | {"email": person.email})).status_code == 201


async def test_the_wait_is_a_setting(start_app: Callable[..., Awaitable[RunningApp]], endpoints: Endpoints) -> None:
    app = await start_app(contact_change_hours=1)
    person = await sign_in(await register(app))
    new = new_person()["email"]
    await change(person, email=new)
    await confirm_email(app, endpoints, new)
    clock.advance(timedelta(hours=1, seconds=1))
    assert await addresses_of_codes(app, endpoints, new, new, person.email) == [new]


@pytest.fixture
def strict(app: RunningApp) -> RunningApp:
    """The application with production's rules for people whom operators change."""
    runtime = app.api.state.identity
    app.api.state.identity = replace(runtime, config=replace(runtime.config, development=False))
    return app


async def test_in_production_an_operator_changes_no_contact_alone(
    strict: RunningApp, endpoints: Endpoints, person: Person
) -> None:
    maker, checker, new = strict.person("users:write"), strict.person("users:write"), new_person()["email"]
    path = f"/users/{person.id}"
    for body in ({"email": new}, {"phone": PHONE}, {"phone": None}):
        assert (await maker.call("PATCH", path, json=body)).status_code == 202, body
    waiting = (await maker.call("PUT", path, json={"full_name": "Maria Nova", "email": new})).json()["pending"]
    assert waiting["kind"] == "identity.person_change"
    assert ("email", person.email) in await contacts_of(strict, person), "nothing changed"
    assert (await maker.call("PATCH", path, json={"full_name": "Maria Outra"})).status_code == 200, (
        "what recovers nothing"
    )
    pending = f"/pending/{waiting['id']}"
    assert (await maker.post(f"{pending}/approve")).json()["code"] == "own_operation"
    theirs = strict.person("users:write", user_id=person.id)
    assert (await theirs.post(f"{pending}/approve")).json()["code"] == "own_operation"
    assert (await strict.person("money:approve").post(f"{pending}/approve")).status_code == 404
    assert (await checker.post(f"{pending}/approve")).status_code == 200
    assert (await states_of(strict, person))["email", new] == "unconfirmed", "the wait holds for operators too"
    assert (await act(strict, "undo", await undo_link(strict, endpoints, person.email))).status_code == 200
    async with strict.database.transaction() as tx:
        query = text("SELECT actor_id, details FROM audit_log WHERE action = 'user_changed' AND subject_id = :id")
        rows = (await tx.execute(query, {"id": person.id})).all()
    assert [(row.actor_id, row.details.get("approved_by")) for row in rows] == [
        (maker.id, None),
        (maker.id, str(checker.id)),
    ]


async def test_an_address_taken_meanwhile_fails_the_operation(strict: RunningApp, person: Person) -> None:
    new = new_person()["email"]
    body = {"email": new}
    waiting = (await strict.person("users:write").call("PATCH", f"/users/{person.id}", json=body)).json()["pending"]
    await register(strict, email=new)
    failed = await strict.person("users:write").post(f"/pending/{waiting['id']}/approve")
    assert (failed.status_code, failed.json()["reason"]["code"]) == (409, "email_taken")
    assert ("email", person.email) in await contacts_of(strict, person)


async def test_a_registration_that_changed_while_it_waited_is_not_overwritten(
    strict: RunningApp, person: Person
) -> None:
    maker, checker = strict.person("users:read", "users:write"), strict.person("users:write")
    path, body = f"/users/{person.id}", {"email": new_person()["email"]}
    seen = (await maker.get(path)).headers["ETag"]
    stale = await maker.call("PATCH", path, json=body, headers={"If-Match": '"0"'})
    assert (stale.status_code, stale.json()["code"]) == (412, "record_changed")
    waiting = (await maker.call("PATCH", path, json=body, headers={"If-Match": seen})).json()["pending"]
    assert (await checker.call("PATCH", path, json={"full_name": "Nome Novo"})).status_code == 200
    told = (await checker.get(f"/pending/{waiting['id']}")).json()
    assert told["changes"] == [{"field": "email", "now": person.email, "then": body["email"]}]
    assert "seen" not in told["order"]
    failed = await checker.post(f"/pending/{waiting['id']}/approve")
    assert (failed.status_code, failed.json()["reason"]["code"]) == (409, "record_changed")
    assert ("email", person.email) in await contacts_of(strict, person)


def test_the_version_of_a_registration_reveals_no_cpf() -> None:
    one, other, third = (
        version_of_person(User(full_name="Ana", email="ana@exemplo.br", cpf=cpf))
        for cpf in ("52998224725", "11998224700", "52998224825")
    )
    assert one == other, "a reader is shown ***.982.247-**, and could try out the other digits"
    assert one != third
