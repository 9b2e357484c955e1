"""Benefits: categories and where they pay, refused purchases, and claiming an account; without scripts."""

import re
from uuid import uuid4

from carteira.embedded import Endpoints
from tests.support.app import RunningApp
from tests.support.benefits import open_benefit_account
from tests.support.mail import body_of, code_in, mail_to
from tests.support.pages import PlainBrowser
from tests.support.people import PASSWORD, Person, new_person, register
from tests.web.test_home import buy

HOSTILE = "<script>alert(1)</script>"


async def unclaimed(app: RunningApp, cpf: str | None) -> tuple[str, str]:
    """Open an account that has no person yet; return its reference and its contact."""
    reference, contact = f"e-{uuid4()}", f"{uuid4().hex}@empresa.com.br"
    body: dict[str, object] = {"account": reference, "contact": contact, "balances": {"FOOD": 7711}}
    answer = await app.operator().post("/benefits/accounts", body | ({"cpf": cpf} if cpf else {}))
    assert answer.status_code == 201, answer.text
    return reference, contact


async def invited(app: RunningApp, endpoints: Endpoints, cpf: str) -> str:
    """Invite to an account; return the path of the e-mail's link."""
    reference, contact = await unclaimed(app, cpf)
    answer = await app.operator().post(f"/benefits/accounts/{reference}/invite")
    assert answer.status_code == 202, answer.text
    await app.work_off()
    letter = body_of(mail_to(endpoints.maildir, contact)[-1], "plain")
    found = re.search(r"https?://[^/]+(/app/beneficios/convite\?convite=\S+)", letter)
    assert found, letter
    return found[1]


async def signed_in(app: RunningApp, browser: PlainBrowser) -> Person:
    person = await register(app)
    await browser.sign_in(person)
    return person


async def test_pockets_and_where_each_pays(app: RunningApp, browser: PlainBrowser) -> None:
    person = await signed_in(app, browser)
    account = await open_benefit_account(app.operator(), user_id=person.id, FOOD=41236, MEAL=3250)
    assert await buy(app, account, "38.90", "5811", f"{HOSTILE}    SAO PAULO BR") == "51"
    shown = await browser.get("/app/beneficios")
    for said in ("R$ 412,36", "R$ 32,50", "Supermercados e mercearias", "Restaurantes", "Em qualquer outro lugar"):
        assert said in shown.text
    assert "Faltaram R$ 6,40 no saldo de Refeição." in shown.text
    assert "<script>alert" not in shown.answer.text
    assert "444,86" not in shown.text
    assert account not in shown.answer.text
    assert shown.answer.headers["cache-control"] == "no-store"


async def test_a_shop_is_looked_up_by_its_name(app: RunningApp, browser: PlainBrowser) -> None:
    person = await signed_in(app, browser)
    await open_benefit_account(app.operator(), user_id=person.id, FOOD=100, MEAL=100)
    name = f"CANTINA {uuid4().hex[:6].upper()}"
    rule = await app.client.put(f"/benefits/merchants/{name}", json={"mcc": "5411"}, headers=app.operator().headers)
    assert rule.status_code == 200, rule.text
    shown = await browser.get(f"/app/beneficios?lugar={name.lower().replace(' ', '+')}")
    assert f"Cantina {name[8:].capitalize()} passa em Alimentação." in shown.text
    unknown = await browser.get("/app/beneficios?lugar=%3Cb%3Elugar%00")
    assert "Não há regra pelo nome para “<b>lugar”" in unknown.text
    assert "<b>lugar" not in unknown.answer.text


async def test_an_invitations_link_leads_through_the_sign_in_and_makes_the_account_theirs(
    app: RunningApp, browser: PlainBrowser, endpoints: Endpoints
) -> None:
    person = await register(app)
    link = await invited(app, endpoints, person.cpf)
    gate = await browser.open(link)
    sent = await browser.send(gate, "/app/entrar", None, username=person.cpf, password=person.password)
    page = await browser.follow(sent)
    assert "Ligar a conta de benefícios?" in page.text
    done = await browser.follow(await browser.send(page, "/app/beneficios/convite"))
    assert "A conta de benefícios agora é sua." in done.text
    assert "R$ 77,11" in done.text
    again = await browser.follow(await browser.send(page, "/app/beneficios/convite"))
    assert "Já recebemos este pedido às" in again.text
    later = await browser.send(await browser.open(link), "/app/beneficios/convite")
    assert later.status == 404
    assert "Este convite não vale mais. Peça outro à sua empresa." in later.text


async def test_a_wrong_invitation_and_another_persons_move_nothing(
    app: RunningApp, browser: PlainBrowser, endpoints: Endpoints
) -> None:
    owner = await register(app)
    link = await invited(app, endpoints, owner.cpf)
    await signed_in(app, browser)
    refused = await browser.send(await browser.open(link), "/app/beneficios/convite")
    assert "A conta foi aberta para outro CPF." in refused.text
    page = await browser.open("/app/beneficios/convite")
    empty = await browser.send(page, "/app/beneficios/convite", None, convite=" ")
    assert (empty.status, "Preencha este campo." in empty.text) == (422, True)
    for wrong in (HOSTILE, "x" * 500, "\0"):
        answer = await browser.send(page, "/app/beneficios/convite", None, convite=wrong)
        assert answer.status in {404, 422}, wrong
        assert "<script>alert" not in answer.answer.text
    assert "Nenhum benefício por aqui ainda" in (await browser.get("/app/beneficios")).text


async def test_an_account_is_claimed_by_the_code_sent_to_its_contact(
    app: RunningApp, browser: PlainBrowser, endpoints: Endpoints
) -> None:
    person = await signed_in(app, browser)
    reference, contact = await unclaimed(app, person.cpf)
    page = await browser.open("/app/beneficios")
    unknown = await browser.send(page, "/app/beneficios/codigo", None, account="não existe")
    assert (unknown.status, "Conta de benefícios não encontrada." in unknown.text) == (404, True)
    step = await browser.send(page, "/app/beneficios/codigo", None, account=f" {reference} ")
    assert "Digite o código" in step.text
    await app.work_off()
    code = code_in(body_of(mail_to(endpoints.maildir, contact)[-1], "plain"), 8)
    wrong = await browser.send(step, "/app/beneficios/ligar", None, code="00000000" if code != "00000000" else "1" * 8)
    assert (wrong.status, "Código inválido ou expirado." in wrong.text) == (422, True)
    done = await browser.follow(await browser.send(wrong, "/app/beneficios/ligar", None, code=code))
    assert "R$ 77,11" in done.text
    again = await browser.follow(await browser.send(step, "/app/beneficios/ligar", None, code=code))
    assert "Esta conta já é sua." in again.text


async def test_registration_returns_to_the_invitation(
    app: RunningApp, browser: PlainBrowser, endpoints: Endpoints
) -> None:
    person = new_person()
    link = await invited(app, endpoints, person["cpf"])
    gate = await browser.open(link)
    step = await browser.open(next(address for address in gate.links if address.startswith("/app/criar-conta")))
    who = {name: person[name] for name in ("full_name", "cpf", "birth_date")}
    step = await browser.send(step, "/app/criar-conta", None, **who)
    step = await browser.send(step, "/app/criar-conta", None, email=person["email"], phone=person["phone"])
    page = await browser.follow(await browser.send(step, "/app/criar-conta", None, password=PASSWORD))
    assert "Ligar a conta de benefícios?" in page.text
    elsewhere = await browser.get("/app/criar-conta?para=//outro.exemplo/app")
    assert elsewhere.answer.headers["location"] == "/app"
