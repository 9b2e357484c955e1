"""Registering, signing in, a second factor, a forgotten password: without scripts."""

from collections import Counter
from datetime import date

import pyotp
import pytest
from pwdlib.hashers.argon2 import Argon2Hasher
from sqlalchemy import text

from carteira.embedded import Endpoints
from carteira.web.forms import read
from carteira.web.wallet.register import WhoForm
from tests.support.app import RunningApp
from tests.support.mail import body_of, code_in, mail_to
from tests.support.pages import PlainBrowser
from tests.support.people import PASSWORD, new_person, register, sign_in


async def test_registering_takes_three_steps_and_ends_signed_in(browser: PlainBrowser) -> None:
    person = new_person()
    page = await browser.open("/app/criar-conta")
    page = await browser.send(
        page,
        "/app/criar-conta",
        full_name=person["full_name"],
        cpf=f"{person['cpf'][:3]}.{person['cpf'][3:6]}.{person['cpf'][6:9]}-{person['cpf'][9:]}",
        birth_date=person["birth_date"],
    )
    page = await browser.send(page, "/app/criar-conta", email=person["email"], phone="+55 (11) 98765-4321")
    back = await browser.send(page, "/app/criar-conta", ("voltar", "sim"))
    assert back.form("/app/criar-conta").fields["email"] == person["email"]
    page = await browser.send(page, "/app/criar-conta", password="fraca")
    assert page.status == 422
    assert "pelo menos 8 caracteres" in page.text
    assert "fraca" not in page.answer.text
    home = await browser.follow(await browser.send(page, "/app/criar-conta", password=PASSWORD))
    assert "Maria" in home.text
    assert "Nada por aqui ainda" in home.text


@pytest.mark.parametrize("typed", ["17/05/1950", " 17051950", "17-5-1950", "17.05.1950", "1950-05-17"])
def test_a_birth_date_is_read_as_people_type_it(typed: str) -> None:
    read_form = read(WhoForm, {"full_name": "Maria da Silva", "birth_date": typed})
    assert read_form.value is not None
    assert read_form.value.birth_date == date(1950, 5, 17)


@pytest.mark.parametrize("typed", ["31021950", "19500517", "17/05/50", "170550", "17051750"])
def test_a_birth_date_is_not_guessed(typed: str) -> None:
    assert list(read(WhoForm, {"full_name": "Maria da Silva", "birth_date": typed}).errors) == ["birth_date"]


async def test_each_step_shows_its_errors_and_keeps_the_typed_values(browser: PlainBrowser) -> None:
    page = await browser.open("/app/criar-conta")
    page = await browser.send(page, "/app/criar-conta", full_name="Só", cpf="111.111.111-11", birth_date="2999-01-01")
    assert page.status == 422
    for said in ("Informe nome e sobrenome.", "CPF inválido.", "A data de nascimento deve estar no passado."):
        assert said in page.text
    assert page.form("/app/criar-conta").fields["full_name"] == "Só"
    assert page.answer.text.count('aria-invalid="true"') == 3
    page = await browser.send(page, "/app/criar-conta", full_name="", cpf="", birth_date="")
    assert "Preencha este campo." in page.text


async def test_a_cpf_or_an_email_that_is_taken_leads_back_to_its_step(app: RunningApp, browser: PlainBrowser) -> None:
    known = await register(app)
    for taken, step, said in (("cpf", "1", "Este CPF já está cadastrado"), ("email", "2", "Este e-mail já está")):
        body = new_person() | {taken: getattr(known, taken)}
        page = await browser.open("/app/criar-conta")
        form = page.form("/app/criar-conta").fields | body | {"passo": "3"}
        answer = await browser.client.post("/app/criar-conta", data=form)
        assert answer.status_code == 409
        assert f'name="passo" value="{step}"' in answer.text
        assert said in answer.text


async def test_a_wrong_pair_is_refused_without_naming_the_wrong_half(app: RunningApp, browser: PlainBrowser) -> None:
    person = await register(app)
    page = await browser.open("/app/entrar")
    wrong = await browser.send(page, "/app/entrar", username=person.cpf, password="Errada12345")
    unknown = await browser.send(page, "/app/entrar", username="ninguem@exemplo.com.br", password="Errada12345")
    assert wrong.status == unknown.status == 422
    assert "CPF ou senha inválidos." in wrong.text
    assert "CPF ou senha inválidos." in unknown.text
    assert "Errada12345" not in wrong.answer.text
    empty = await browser.send(page, "/app/entrar")
    assert empty.text.count("Preencha este campo.") == 2


@pytest.fixture
def hashes(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count the runs of Argon2: they are the cost of a sign-in."""
    counted: Counter[str] = Counter()
    verify, make = Argon2Hasher.verify, Argon2Hasher.hash

    def counting_verify(self: Argon2Hasher, password: str | bytes, known: str | bytes) -> bool:
        counted["verify"] += 1
        return verify(self, password, known)

    def counting_hash(self: Argon2Hasher, password: str | bytes, *, salt: bytes | None = None) -> str:
        counted["hash"] += 1
        return make(self, password, salt=salt)

    monkeypatch.setattr(Argon2Hasher, "verify", counting_verify)
    monkeypatch.setattr(Argon2Hasher, "hash", counting_hash)
    return counted


@pytest.mark.parametrize("path", ["/app/entrar", "/auth/login"])
async def test_a_wrong_password_costs_the_same_for_every_name(
    app: RunningApp, browser: PlainBrowser, hashes: Counter[str], path: str
) -> None:
    known, second, bare = await register(app), await sign_in(await register(app), app.client), await register(app)
    totp = pyotp.TOTP((await second.post("/auth/totp")).json()["secret"])
    assert (await second.post("/auth/totp/confirm", {"code": totp.now()})).status_code == 200
    async with app.database.transaction() as tx:
        await tx.execute(text("UPDATE users SET password_hash = NULL WHERE id = :id"), {"id": bare.id})
    page = await browser.open("/app/entrar")
    names = [known.cpf, known.email, second.cpf, bare.cpf, new_person()["cpf"], new_person()["email"], "x" * 200]
    cost, told = {}, set()
    for name in names:
        for password in ("Errada12345", "E" * 300):
            hashes.clear()
            if path == "/app/entrar":
                sent = await browser.send(page, path, username=name, password=password)
                told.add((sent.status, sent.text))
            else:
                login = {"username": name, "password": password}
                answer = await browser.client.post(path, data=login, headers={"Accept": "application/json"})
                told.add((answer.status_code, answer.json()["code"]))
            cost[name, len(password)] = dict(hashes)
    assert {name: work for name, work in cost.items() if work != cost[known.cpf, len("Errada12345")]} == {}
    assert cost[known.cpf, len("Errada12345")] == {"verify": 1}
    assert len(told) == 1


async def test_too_many_wrong_passwords_say_how_long_to_wait(app: RunningApp, browser: PlainBrowser) -> None:
    person = await register(app)
    page = await browser.open("/app/entrar")
    for _ in range(10):
        await browser.send(page, "/app/entrar", username=person.cpf, password="Errada12345")
    told = await browser.send(page, "/app/entrar", username=person.cpf, password=PASSWORD)
    assert told.status == 429
    assert "Muitas tentativas. Espere" in told.text


async def test_a_second_factor_is_asked_for_on_a_page_of_its_own(app: RunningApp, browser: PlainBrowser) -> None:
    person = await sign_in(await register(app), app.client)
    secret = (await person.post("/auth/totp")).json()["secret"]
    codes = (await person.post("/auth/totp/confirm", {"code": pyotp.TOTP(secret).now()})).json()["recovery_codes"]
    page = await browser.open("/app/entrar?para=/app/menu")
    page = await browser.send(page, "/app/entrar", username=person.cpf, password=person.password)
    assert "Código de verificação" in page.text
    page = await browser.send(page, "/app/entrar/codigo", code="000000")
    assert page.status == 422
    assert "Código inválido" in page.text
    done = await browser.send(page, "/app/entrar/codigo", code=codes[0])
    assert done.answer.headers["location"] == "/app/menu"


async def test_a_forgotten_password_is_replaced_by_the_code_that_came(
    app: RunningApp, browser: PlainBrowser, endpoints: Endpoints
) -> None:
    person = await register(app)
    page = await browser.send(await browser.open("/app/senha"), "/app/senha", name=person.cpf)
    assert "Se houver uma conta com esse dado" in page.text
    wrong = await browser.send(page, "/app/senha/codigo", code="00000000")
    assert wrong.status == 422
    await app.work_off()
    code = code_in(body_of(mail_to(endpoints.maildir, person.email)[-1], "plain"), 8)
    page = await browser.send(page, "/app/senha/codigo", code=code)
    done = await browser.send(page, "/app/senha/nova", new_password="Outrasenha9boa")
    assert "Senha trocada" in (await browser.follow(done)).text
    assert "Maria" in (await browser.sign_in(person, "Outrasenha9boa")).text


async def test_a_generated_password_is_changed_before_anything_else(app: RunningApp, browser: PlainBrowser) -> None:
    body = {key: value for key, value in new_person().items() if key != "password"}
    added = await app.operator().post("/users", body | {"role_id": 1})
    assert added.status_code == 201, added.text
    generated = added.json()["generated_password"]
    page = await browser.open("/app/entrar")
    sent = await browser.send(page, "/app/entrar", username=body["cpf"], password=generated)
    assert sent.answer.headers["location"] == "/app/nova-senha"
    assert (await browser.get("/app/menu")).answer.headers["location"] == "/app/nova-senha"
    page = await browser.open("/app/nova-senha")
    done = await browser.send(page, "/app/nova-senha", current_password=generated, new_password=PASSWORD)
    assert done.answer.headers["location"] == "/app"
    assert (await browser.get("/app/menu")).status == 200
