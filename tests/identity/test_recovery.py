import asyncio
import email
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from carteira.embedded import Endpoints
from carteira.kit.values.clock import clock
from tests.identity.support import PASSWORD, Person, Server, address, new_person, register, sign_in

NEW = "Outra9senha"


def letters(endpoints: Endpoints, to: str) -> list[EmailMessage]:
    files = sorted(Path(endpoints.maildir, "new").iterdir(), key=lambda file: file.stat().st_mtime_ns)
    mails = [email.message_from_bytes(file.read_bytes(), policy=default) for file in files]
    return [mail for mail in mails if mail["To"] == to]


def body_of(mail: EmailMessage, kind: str) -> str:
    part = mail.get_body((kind,))
    assert part is not None
    return str(part.get_content())


async def ask(server: Server, http: httpx.AsyncClient | None = None, **body: str) -> httpx.Response:
    return await (http or server.http).post("/password-recovery", json=body)


async def verify(server: Server, code: str, **body: str) -> httpx.Response:
    return await server.http.post("/password-recovery/verify", json={"code": code} | body)


async def code_sent(server: Server, endpoints: Endpoints, person: Person) -> str:
    assert (await ask(server, email=person.email)).status_code == 202
    await server.work_off()
    found = re.search(r"\b\d{6}\b", body_of(letters(endpoints, person.email)[-1], "plain"))
    assert found
    return found[0]


async def test_recovery_by_email_to_the_end(server: Server, endpoints: Endpoints, person: Person) -> None:
    code = await code_sent(server, endpoints, person)
    mail = letters(endpoints, person.email)[-1]
    assert mail["Subject"] == "Seu código para redefinir a senha"
    assert code in body_of(mail, "html")
    assert "Olá, Maria." in body_of(mail, "plain")
    token = (await verify(server, code, email=person.email.upper())).json()["reset_token"]
    assert (await verify(server, code, email=person.email)).status_code == 401, "one use"
    reset = "/password-recovery/reset"
    weak = await server.http.post(reset, json={"reset_token": token, "new_password": "fraca"})
    assert (weak.status_code, weak.json()["errors"][0]["field"]) == (422, "new_password")
    done = await server.http.post(reset, json={"reset_token": token, "new_password": NEW})
    assert done.status_code == 204
    again = await server.http.post(reset, json={"reset_token": token, "new_password": "Terceira3senha"})
    assert again.status_code == 401
    assert (await server.http.get("/users/me", headers=person.headers)).status_code == 401, "every session ended"
    person.password = NEW
    await sign_in(server, person)
    await server.work_off()
    assert letters(endpoints, person.email)[-1]["Subject"] == "Sua senha foi alterada"


async def test_recovery_by_sms(server: Server, person: Person) -> None:
    assert (await ask(server, cpf=person.cpf, channel="sms")).status_code == 202
    await server.work_off()
    newest = max((server.settings.carteira_home / "sms").iterdir())
    assert newest.stat().st_mode & 0o077 == 0
    found = re.search(r"código é (\d{6})\.", newest.read_text())
    assert found
    assert (await verify(server, found[1], cpf=person.cpf)).status_code == 200


async def test_known_and_unknown_get_the_same_answer(server: Server, person: Person) -> None:
    known = await ask(server, email=person.email)
    unknown = await ask(server, email=new_person()["email"])
    assert (known.status_code, known.content) == (unknown.status_code, unknown.content) == (202, known.content)
    await server.work_off()
    assert (await verify(server, "123456", email=new_person()["email"])).status_code == 401


async def test_a_code_takes_five_tries(server: Server, endpoints: Endpoints, person: Person) -> None:
    code = await code_sent(server, endpoints, person)
    wrong = f"{(int(code) + 1) % 10**6:06}"
    answers = await asyncio.gather(*(verify(server, wrong, email=person.email) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {401}
    assert (await verify(server, code, email=person.email)).status_code == 401


async def test_a_code_lives_ten_minutes(server: Server, endpoints: Endpoints, person: Person) -> None:
    code = await code_sent(server, endpoints, person)
    clock.advance(timedelta(minutes=10, seconds=1))
    assert (await verify(server, code, email=person.email)).status_code == 401


async def test_only_the_newest_code_counts(server: Server, endpoints: Endpoints, person: Person) -> None:
    first = await code_sent(server, endpoints, person)
    second = await code_sent(server, endpoints, person)
    if first != second:
        assert (await verify(server, first, email=person.email)).status_code == 401
    assert (await verify(server, second, email=person.email)).status_code == 200


async def test_asking_is_limited_by_name(server: Server, person: Person) -> None:
    for _ in range(5):
        assert (await ask(server, server.at(address()), email=person.email)).status_code == 202
    limited = await ask(server, server.at(address()), cpf=person.cpf)
    assert limited.status_code == 429
    assert int(limited.headers["retry-after"]) > 0


@pytest.mark.parametrize("body", [{}, {"email": "x@exemplo.com", "cpf": "52998224725"}, {"email": "x"}, {"cpf": "1"}])
async def test_rubbish_is_422(server: Server, body: dict[str, str]) -> None:
    assert (await ask(server, None, **body)).status_code == 422


async def test_a_mail_server_that_is_away_is_tried_again(
    start_server: Callable[..., Awaitable[Server]], endpoints: Endpoints
) -> None:
    away = await start_server(smtp_url="smtp://127.0.0.1:1")
    person = await register(away)
    assert (await ask(away, email=person.email)).status_code == 202
    await away.work_off()
    assert letters(endpoints, person.email) == []
    async with away.database.transaction() as tx:
        await tx.execute(text("UPDATE procrastinate_jobs SET scheduled_at = now() WHERE status = 'todo'"))
    await (await start_server()).work_off()
    assert len(letters(endpoints, person.email)) == 1


async def test_a_change_of_email_is_told_to_the_former_address(
    server: Server, endpoints: Endpoints, person: Person
) -> None:
    answer = await server.http.patch(
        f"/users/{person.id}", json={"email": new_person()["email"]}, headers=person.headers
    )
    assert answer.status_code == 200
    async with server.database.transaction() as tx:
        waiting = (await tx.scalars(text("SELECT args::text FROM procrastinate_jobs"))).all()
    assert not any(person.email in args for args in waiting), "the queue holds nothing personal"
    await server.work_off()
    assert letters(endpoints, person.email)[-1]["Subject"] == "O e-mail da sua conta foi alterado"
    stale = await server.http.post("/auth/login", data={"username": person.email, "password": PASSWORD})
    assert stale.status_code == 401
