"""My data and my access as pages: looks, consents, contacts, devices, the second factor, and erasure."""

import json
from datetime import timedelta
from urllib.parse import unquote
from uuid import uuid4

import pyotp
import pytest

from carteira.embedded import Endpoints
from carteira.kit.values.clock import clock
from carteira.web.formats import device_name
from tests.support.app import RunningApp
from tests.support.mail import mail_to
from tests.support.pages import PlainBrowser, Shown
from tests.support.people import PASSWORD, Person, new_cpf, register, sign_in

HOSTILE = "<script>alert(1)</script> da Silva"
CONFIRM = "/app/confirmar"


@pytest.fixture
async def person(app: RunningApp, browser: PlainBrowser) -> Person:
    somebody = await register(app)
    await browser.sign_in(somebody)
    return somebody


def twenty_minutes_later() -> None:
    clock.advance(timedelta(minutes=20))


async def confirm(browser: PlainBrowser, shown: Shown) -> Shown:
    """Confirm by password where a page asks for it, and go back."""
    assert shown.answer.headers["location"].startswith(CONFIRM), shown.text
    page = await browser.follow(shown)
    return await browser.send(page, CONFIRM, password=PASSWORD)


async def test_looks_are_shown_with_their_data_and_time(app: RunningApp, browser: PlainBrowser, person: Person) -> None:
    empty = await browser.open("/app/dados")
    assert "Ninguém consultou seus dados nos últimos 30 dias" in empty.text
    operator = await register(app, full_name=HOSTILE)
    operator.headers = app.bearer("users:read", user_id=operator.id)
    assert (await operator.get(f"/users/{person.id}")).status_code == 200
    page = await browser.open("/app/dados")
    assert HOSTILE in page.text
    assert "<script>alert" not in page.answer.text
    assert "Seu cadastro" in page.text
    assert page.answer.headers["cache-control"] == "no-store"
    for _ in range(20):
        await operator.get(f"/users/{person.id}")
    older = next(link for link in (await browser.open("/app/dados")).links if "antes=" in link)
    rest = await browser.open(older)
    assert rest.answer.text.count("Seu cadastro") == 1


async def test_a_consent_is_given_and_taken_back(browser: PlainBrowser, person: Person) -> None:
    action = "/app/dados/consentimentos/marketing"
    page = await browser.open("/app/dados/consentimentos")
    assert page.text.count("Sem resposta") == 3
    given = await browser.follow(await browser.send(page, action, ("granted", "sim")))
    assert "Consentimento dado." in given.text
    assert (await person.get("/users/me/consents")).json()["items"][0]["granted"] is True
    taken = await browser.follow(await browser.send(given, action, ("granted", "nao")))
    assert "Você não aceitou" in taken.text
    assert (await browser.send(page, "/app/dados/consentimentos/marketing", ("granted", "talvez"))).status == 303


@pytest.mark.usefixtures("person")
async def test_pages_that_need_a_recent_sign_in_ask_and_lead_back(browser: PlainBrowser) -> None:
    twenty_minutes_later()
    for path in ("/app/dados/baixar", "/app/dados/encerrar", "/app/dados/contato/email", "/app/acesso/duas-etapas"):
        shown = await browser.get(path)
        assert shown.answer.headers["location"] == f"{CONFIRM}?para={path}"
    wrong = await browser.send(await browser.follow(shown), CONFIRM, password="Errada12345")
    assert wrong.status == 422
    assert wrong.form(CONFIRM).fields["para"] == "/app/acesso/duas-etapas"
    back = await confirm(browser, shown)
    assert back.answer.headers["location"] == "/app/acesso/duas-etapas"
    assert (await browser.get("/app/dados/baixar")).status == 200


async def test_a_form_that_comes_too_late_is_confirmed_and_sent_again(browser: PlainBrowser, person: Person) -> None:
    await sign_in(person)
    page = await browser.open("/app/acesso")
    other = next(form.action for form in page.forms if form.action.endswith("/sair") and "aparelhos/" in form.action)
    twenty_minutes_later()
    shown = await browser.send(page, other)
    assert unquote(shown.answer.headers["location"]) == f"{CONFIRM}?para=/app/acesso&repetir=sim"
    again = await browser.follow(await confirm(browser, shown))
    assert "Agora repita o que você pediu." in again.text
    done = await browser.follow(await browser.send(again, other))
    assert "saiu da sua conta" in done.text
    assert (await person.get("/users/me")).status_code == 401


@pytest.mark.usefixtures("person")
async def test_nobody_is_confirmed_towards_another_site(browser: PlainBrowser) -> None:
    for elsewhere in ("https://mau.example", "//mau.example", "/app\\@mau.example", "/docs"):
        page = await browser.open(f"{CONFIRM}?para={elsewhere}")
        done = await browser.send(page, CONFIRM, password=PASSWORD, para=elsewhere)
        assert done.answer.headers["location"] == "/app"


async def test_everything_about_me_is_a_file(browser: PlainBrowser, person: Person) -> None:
    page = await browser.open("/app/dados/baixar")
    file = await browser.send(page, "/app/dados/baixar")
    assert file.answer.headers["content-disposition"] == 'attachment; filename="meus-dados.json"'
    assert file.answer.headers["cache-control"] == "no-store"
    assert json.loads(file.answer.text)["identity"]["user"]["email"] == person.email


async def test_an_account_is_closed_where_no_money_is_left(
    app: RunningApp, browser: PlainBrowser, person: Person
) -> None:
    page = await browser.open("/app/dados/encerrar")
    wrong = await browser.send(page, "/app/dados/encerrar", email="outra@exemplo.com.br")
    assert wrong.status == 422
    assert "Escreva o e-mail da sua conta." in wrong.text
    done = await browser.send(wrong, "/app/dados/encerrar", email=person.email.upper())
    assert "Conta encerrada" in (await browser.follow(done)).text
    assert (await browser.get("/app/dados")).status == 303
    assert (await app.operator().get(f"/users/{person.id}")).status_code == 404


async def test_money_that_is_left_is_named_and_keeps_the_account_open(browser: PlainBrowser, person: Person) -> None:
    card = (await person.post("/transport-cards", key=str(uuid4()))).json()["card_number"]
    charged = await person.post(f"/transport-cards/{card}/recharge", {"amount": 2_000}, key=str(uuid4()))
    assert charged.status_code == 200, charged.text
    page = await browser.open("/app/dados/encerrar")
    assert "Transporte: R$ 20,00" in page.text
    assert not [form for form in page.forms if form.action == "/app/dados/encerrar"]


async def test_a_name_is_corrected_and_a_wrong_one_comes_back(browser: PlainBrowser, person: Person) -> None:
    page = await browser.open("/app/dados/cadastro")
    wrong = await browser.send(page, "/app/dados/cadastro", full_name="Só")
    assert wrong.status == 422
    assert wrong.form("/app/dados/cadastro").fields["full_name"] == "Só"
    done = await browser.follow(await browser.send(page, "/app/dados/cadastro", full_name="Marina Alves"))
    assert "Cadastro corrigido." in done.text
    assert (await person.get("/users/me")).json()["full_name"] == "Marina Alves"


async def test_a_contact_is_changed_notified_and_confirmed(
    app: RunningApp, browser: PlainBrowser, person: Person, endpoints: Endpoints
) -> None:
    taken = await register(app)
    page = await browser.open("/app/dados/contato/email")
    refused = await browser.send(page, "/app/dados/contato/email", email=taken.email)
    assert refused.status == 409
    assert refused.form("/app/dados/contato/email").fields["email"] == taken.email
    new = f"nova.{person.email}"
    done = await browser.follow(await browser.send(page, "/app/dados/contato/email", email=new))
    assert "Contato trocado." in done.text
    assert person.email in done.text, "the former address is shown while it can recover the account"
    assert "Anterior" in done.text
    await app.work_off()
    assert mail_to(endpoints.maildir, person.email)
    assert mail_to(endpoints.maildir, new)
    asked = await browser.send(done, "/app/dados/contato/email/confirmacao")
    assert "Enviamos um link" in (await browser.follow(asked)).text
    phone = await browser.open("/app/dados/contato/telefone")
    changed = await browser.send(phone, "/app/dados/contato/telefone", phone="(21) 99876-5432")
    assert changed.status == 303
    assert (await person.get("/users/me")).json()["phone"] == "21998765432"


async def test_a_cpf_is_entered_once_and_its_proof_explained(app: RunningApp, browser: PlainBrowser) -> None:
    body = {"cpf": None}
    somebody = await register(app, **body)  # type: ignore[arg-type] # a registration without a CPF
    somebody.cpf = ""
    await browser.sign_in(somebody)
    page = await browser.open("/app/dados/cpf")
    wrong = await browser.send(page, "/app/dados/cpf", cpf="111.111.111-11")
    assert wrong.status == 422
    mine = new_cpf()
    done = await browser.follow(await browser.send(page, "/app/dados/cpf", cpf=mine))
    assert "Só digitado" in done.text
    proven = await app.operator().post(f"/users/{somebody.id}/cpf-proof", {"cpf": mine, "paper": "cin"})
    assert proven.status_code == 200, proven.text
    shown = await browser.open("/app/dados/cpf")
    assert "CPF comprovado" in shown.text
    assert "Por quem viu você e o seu documento" in shown.text


@pytest.mark.usefixtures("person")
async def test_a_second_step_is_turned_on_asked_for_and_turned_off(browser: PlainBrowser) -> None:
    here = "/app/acesso/duas-etapas"
    page = await browser.send(await browser.open(here), here)
    secret = (await browser.get(here)).answer.text
    secret = page.answer.text.partition('id="secret">')[2].partition("<")[0]
    wrong = await browser.send(page, f"{here}/ligar", code="000000")
    assert wrong.status == 422
    assert secret in wrong.answer.text, "the scanned secret is still valid"
    shown = await browser.send(wrong, f"{here}/ligar", code=pyotp.TOTP(secret).now())
    assert "Guarde estes códigos" in shown.text
    codes = [text.partition("<")[0] for text in shown.answer.text.split('<code class="wrap">')[1:]]
    assert len(codes) == 10
    assert "Ligada" in (await browser.open("/app/acesso")).text
    twenty_minutes_later()
    asked = await browser.follow(await browser.get(here))
    assert "Código do autenticador" in asked.text
    back = await browser.follow(await browser.send(asked, CONFIRM, code=codes[0]))
    done = await browser.follow(await browser.send(back, f"{here}/desligar"))
    assert "Verificação em duas etapas desligada." in done.text


async def test_all_devices_are_signed_out(browser: PlainBrowser, person: Person) -> None:
    await sign_in(person)
    page = await browser.open("/app/acesso")
    assert "Este aparelho" in page.text
    done = await browser.follow(await browser.send(page, "/app/acesso/aparelhos/sair"))
    assert "Você saiu de todos os aparelhos." in done.text
    assert (await person.get("/users/me")).status_code == 401


@pytest.mark.usefixtures("person")
async def test_other_peoples_data_are_not_found(app: RunningApp, browser: PlainBrowser) -> None:
    other = await sign_in(await register(app))
    session = (await other.get("/auth/sessions")).json()["items"][0]["id"]
    page = await browser.open("/app/acesso")
    fields = page.form("/app/acesso/aparelhos/sair").fields
    answer = await browser.client.post(f"/app/acesso/aparelhos/{session}/sair", data=fields)
    assert answer.status_code == 404
    assert (await other.get("/users/me")).status_code == 200
    for path in (f"/app/acesso/chaves/{session}", f"/app/acesso/contas/{session}"):
        assert (await browser.get(path)).status == 404


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        (
            "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 Chrome/126.0.0.0 Mobile Safari/537.36",
            "Chrome no Android",
        ),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) Version/17.5 Mobile Safari/604.1", "Safari no iPhone"),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/126 Safari/537.36 Edg/126.0", "Edge no Windows"),
        ("curl/8.5.0", "curl/8.5.0"),
        ("", "Aparelho sem nome"),
    ],
)
def test_a_device_is_named_as_its_person_knows_it(agent: str, name: str) -> None:
    assert device_name(agent) == name
