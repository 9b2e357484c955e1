import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta

import httpx
import pytest
from sqlalchemy import text

from carteira.embedded import Endpoints
from carteira.kit.values.clock import clock
from tests.identity.test_passkeys import add as add_passkey
from tests.identity.test_passkeys import enter, options_of
from tests.support.app import RunningApp
from tests.support.authenticator import Authenticator
from tests.support.mail import body_of, mail_to
from tests.support.people import Person, new_person, random_address, register, sign_in

NEW = "Outra9senha"


async def ask(app: RunningApp, http: httpx.AsyncClient | None = None, **body: str) -> httpx.Response:
    return await (http or app.client).post("/password-recovery", json=body)


async def verify(app: RunningApp, code: str, **body: str) -> httpx.Response:
    return await app.client.post("/password-recovery/verify", json={"code": code} | body)


async def code_sent(app: RunningApp, endpoints: Endpoints, person: Person) -> str:
    assert (await ask(app, email=person.email)).status_code == 202
    await app.work_off()
    found = re.search(r"\b\d{8}\b", body_of(mail_to(endpoints.maildir, person.email)[-1], "plain"))
    assert found
    return found[0]


async def test_recovery_by_email_to_the_end(app: RunningApp, endpoints: Endpoints, person: Person) -> None:
    code = await code_sent(app, endpoints, person)
    mail = mail_to(endpoints.maildir, person.email)[-1]
    assert mail["Subject"] == "Seu código para redefinir a senha"
    assert code in body_of(mail, "html")
    assert "Olá, Maria." in body_of(mail, "plain")
    token = (await verify(app, code, email=person.email.upper())).json()["reset_token"]
    assert (await verify(app, code, email=person.email)).status_code == 401, "it has one use"
    reset = "/password-recovery/reset"
    weak = await app.client.post(reset, json={"reset_token": token, "new_password": "fraca"})
    assert (weak.status_code, weak.json()["errors"][0]["field"]) == (422, "new_password")
    done = await app.client.post(reset, json={"reset_token": token, "new_password": NEW})
    assert done.status_code == 204
    again = await app.client.post(reset, json={"reset_token": token, "new_password": "Terceira3senha"})
    assert again.status_code == 401
    assert (await app.client.get("/users/me", headers=person.headers)).status_code == 401, "every session ended"
    person.password = NEW
    await sign_in(person)
    await app.work_off()
    assert mail_to(endpoints.maildir, person.email)[-1]["Subject"] == "Sua senha foi alterada"


async def reset(app: RunningApp, endpoints: Endpoints, person: Person, password: str) -> None:
    code = await code_sent(app, endpoints, person)
    token = (await verify(app, code, email=person.email)).json()["reset_token"]
    body = {"reset_token": token, "new_password": password}
    assert (await app.client.post("/password-recovery/reset", json=body)).status_code == 204


async def test_a_registrant_with_anothers_address_keeps_no_way_in(
    app: RunningApp, endpoints: Endpoints, person: Person
) -> None:
    """The first used code shows who reads the address; whatever was added before may be a stranger's."""
    strangers = Authenticator()
    await add_passkey(app, person, strangers)
    await reset(app, endpoints, person, NEW)
    assert (await enter(app, strangers.get(await options_of(app)))).status_code == 401
    person.password = NEW
    await sign_in(person)
    own = Authenticator()
    await add_passkey(app, person, own)
    await reset(app, endpoints, person, "Terceira3senha")
    assert (await enter(app, own.get(await options_of(app)))).status_code == 200, "by then the owner is known"


async def test_recovery_by_sms(app: RunningApp, person: Person) -> None:
    assert (await ask(app, cpf=person.cpf, channel="sms")).status_code == 202
    await app.work_off()
    newest = max((app.settings.carteira_home / "sms").iterdir())
    assert newest.stat().st_mode & 0o077 == 0
    found = re.search(r"código é (\d{8})\.", newest.read_text())
    assert found
    assert (await verify(app, found[1], cpf=person.cpf)).status_code == 200


async def test_known_and_unknown_get_the_same_answer(app: RunningApp, person: Person) -> None:
    known = await ask(app, email=person.email)
    unknown = await ask(app, email=new_person()["email"])
    assert (known.status_code, known.content) == (unknown.status_code, unknown.content) == (202, known.content)
    await app.work_off()
    assert (await verify(app, "123456", email=new_person()["email"])).status_code == 401


async def test_a_code_takes_five_tries(app: RunningApp, endpoints: Endpoints, person: Person) -> None:
    code = await code_sent(app, endpoints, person)
    wrong = f"{(int(code) + 1) % 10**8:08}"
    answers = await asyncio.gather(*(verify(app, wrong, email=person.email) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {401}
    assert (await verify(app, code, email=person.email)).status_code == 401


async def test_a_code_lives_ten_minutes(app: RunningApp, endpoints: Endpoints, person: Person) -> None:
    code = await code_sent(app, endpoints, person)
    clock.advance(timedelta(minutes=10, seconds=1))
    assert (await verify(app, code, email=person.email)).status_code == 401


async def test_only_the_newest_code_counts(app: RunningApp, endpoints: Endpoints, person: Person) -> None:
    first = await code_sent(app, endpoints, person)
    second = await code_sent(app, endpoints, person)
    if first != second:
        assert (await verify(app, first, email=person.email)).status_code == 401
    assert (await verify(app, second, email=person.email)).status_code == 200


async def test_asking_is_limited_by_name_and_reveals_nothing_about_its_owner(
    app: RunningApp, endpoints: Endpoints, person: Person
) -> None:
    """Known and unknown logins get the same answers, and no answer links two logins of one person."""
    body = new_person()
    pattern = []
    for email, cpf in ((person.email, person.cpf), (body["email"], body["cpf"])):
        answers = [await ask(app, app.at(random_address()), email=email) for _ in range(6)]
        answers += [await ask(app, app.at(random_address()), email=f" {email.upper()} ")]
        dotted = f"{cpf[:3]}.{cpf[3:6]}.{cpf[6:9]}-{cpf[9:]}"
        answers += [await ask(app, app.at(random_address()), cpf=(cpf, dotted)[n % 2]) for n in range(6)]
        pattern.append([answer.status_code for answer in answers])
    assert pattern[0] == pattern[1] == [202] * 5 + [429] * 2 + [202] * 5 + [429]
    await app.work_off()
    assert len(mail_to(endpoints.maildir, person.email)) == 5, "a person gets five, whichever logins are used"


async def test_wrong_codes_cost_the_same_for_every_person(app: RunningApp, person: Person) -> None:
    """An unknown login causes the same writes as a known one: the same rows, the same tries."""
    unknown = new_person()["email"]
    seen = []
    for name in (person.email, unknown):
        await ask(app, email=name)
        await app.work_off()
        answers = [await verify(app, "00000000", email=name) for _ in range(6)]
        async with app.database.transaction() as tx:
            row = (
                await tx.execute(
                    text(
                        "SELECT tries, code_hash IS NOT NULL, reset_hash, wrong FROM password_recoveries "
                        "JOIN wrong_codes ON subject = coalesce(user_id, stranger) ORDER BY id DESC LIMIT 1"
                    )
                )
            ).one()
        seen.append(([(answer.status_code, answer.json()["detail"]) for answer in answers], tuple(row)))
    assert seen[0] == seen[1]
    assert seen[0][1] == (5, True, None, 5)


async def test_others_guesses_shut_nobody_out(app: RunningApp, endpoints: Endpoints, person: Person) -> None:
    for _ in range(2):
        code = await code_sent(app, endpoints, person)
        wrong = f"{(int(code) + 1) % 10**8:08}"
        for _ in range(5):
            assert (await verify(app, wrong, email=person.email)).status_code == 401
    assert (await ask(app, cpf=person.cpf)).status_code == 202
    await app.work_off()
    first = body_of(mail_to(endpoints.maildir, person.email)[-1], "plain")
    assert re.search(r"\b\d{8}\b", first) is None, "codes to be typed are paused"
    link = re.search(r"http://localhost:\d+(/auth/code\?code=([A-Za-z0-9_-]{22}))", first)
    assert link
    page = await app.client.get(link[1])
    assert (page.status_code, link[2] in page.text) == (200, True)
    assert (await ask(app, app.at(random_address()), email=person.email)).status_code == 202, "another request"
    await app.work_off()
    for _ in range(10):
        await verify(app, "00000000", email=person.email)
    stranger = await verify(app, link[2], email=new_person()["email"])
    assert stranger.status_code == 401
    answers = await asyncio.gather(*(verify(app, link[2], cpf=person.cpf) for _ in range(3)))
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401], "a newer request revokes no link"


async def test_wrong_codes_are_limited_by_network_but_links_are_not(app: RunningApp, person: Person) -> None:
    client = app.at(random_address())

    async def post(code: str) -> int:
        body = {"email": person.email, "code": code}
        return (await client.post("/password-recovery/verify", json=body)).status_code

    assert [await post("00000000") for _ in range(101)] == [401] * 100 + [429]
    assert await post("a" * 22) == 401, "a link's code is still checked"


@pytest.mark.parametrize("body", [{}, {"email": "x@exemplo.com", "cpf": "52998224725"}, {"email": "x"}, {"cpf": "1"}])
async def test_rubbish_is_422(app: RunningApp, body: dict[str, str]) -> None:
    assert (await ask(app, None, **body)).status_code == 422


async def test_a_mail_server_that_is_away_is_tried_again(
    start_app: Callable[..., Awaitable[RunningApp]], endpoints: Endpoints
) -> None:
    away = await start_app(smtp_url="smtp://127.0.0.1:1")
    person = await register(away)
    assert (await ask(away, email=person.email)).status_code == 202
    await away.work_off()
    assert mail_to(endpoints.maildir, person.email) == []
    async with away.database.transaction() as tx:
        await tx.execute(text("UPDATE procrastinate_jobs SET scheduled_at = now() WHERE status = 'todo'"))
    await (await start_app()).work_off()
    assert len(mail_to(endpoints.maildir, person.email)) == 1
