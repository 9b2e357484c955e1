"""A person on the console: their wallet as they see it, by the operator's claims, and their sessions one by one."""

from decimal import Decimal

from sqlalchemy import text

from tests.identity.test_second_factor import enrol
from tests.support import files
from tests.support.app import RunningApp
from tests.support.benefits import AUTHORIZER, open_benefit_account, processor_headers, purchase
from tests.support.console import desk_of
from tests.support.documents import upload
from tests.support.pages import plain
from tests.support.people import Person, register, sign_in
from tests.support.resellers import new_month, new_reseller


async def actions_seen(person: Person) -> set[str]:
    looks = (await (await sign_in(person)).get("/users/me/accesses", limit=100)).json()["items"]
    return {one["action"] for one in looks}


async def transport_cards(app: RunningApp, person: Person) -> int:
    query = text("SELECT count(*) FROM transport_cards WHERE user_id = :id")
    async with app.database.transaction() as tx:
        return await tx.scalar(query, {"id": person.id}) or 0


async def test_an_operator_sees_a_wallet_as_its_person_does(app: RunningApp) -> None:
    person = await sign_in(await register(app, full_name="Olga Observada"))
    account = await open_benefit_account(app.operator(), user_id=person.id, FOOD=10_000)
    too_much = purchase(account, str(Decimal(500)), mcc="5811")
    refused = await app.client.post(AUTHORIZER, content=too_much, headers=processor_headers())
    assert refused.json()["code"] != "00"
    assert (await upload(person, files.pdf())).status_code == 201
    async with desk_of(app, "administrador") as browser:
        here = f"/console/pessoas/{person.id}/carteira"
        assert here in (await browser.get(f"/console/pessoas/{person.id}")).links
        assert await transport_cards(app, person) == 0
        shown = await browser.get(here)
        assert shown.status == 200, shown.text
        assert "R$ 100,00" in shown.text
        assert "Não passou" in shown.text
        assert "Declarado por você" in shown.text
        assert "Fora do seu acesso" not in shown.text
        assert "/console/credito" in shown.links, "credit asks for its purpose first"
        assert await transport_cards(app, person) == 0, "a look makes no card"
        assert (await browser.get("/console/pessoas/00000000-0000-0000-0000-000000000000/carteira")).status == 404
    assert "wallet_seen" in await actions_seen(person)


async def test_each_part_of_a_wallet_needs_its_claim(app: RunningApp) -> None:
    person = await sign_in(await register(app, full_name="Olga Observada"))
    await open_benefit_account(app.operator(), user_id=person.id, FOOD=7_700)
    assert (await upload(person, files.pdf())).status_code == 201
    card = (await person.get("/transport-cards")).json()["items"][0]["card_number"]
    here = f"/console/pessoas/{person.id}/carteira"
    async with desk_of(app, "auditor") as browser:
        shown = await browser.get(here)
        assert "R$ 77,00" in shown.text
        assert "Documentos (documents:review)" in shown.text
        assert "Declarado por você" not in shown.text
        assert card[-4:] not in shown.text
        assert "/console/credito" not in shown.links
    async with desk_of(app, "atendente") as browser:
        shown = await browser.get(here)
        assert card[-4:] in shown.text
        assert "Declarado por você" in shown.text
        assert "Quem viu os dados (audit:read)" in shown.text
        assert "viu" not in shown.text.partition("Avisos")[2], "who looked is the auditor's"


async def test_a_persons_page_leads_to_their_lists_each_by_its_claim(app: RunningApp) -> None:
    person = await sign_in(await register(app, full_name="Lia Listada"))
    account = await open_benefit_account(app.operator(), user_id=person.id, FOOD=10_000)
    other = await open_benefit_account(app.operator(), FOOD=0)
    bought = purchase(account, "12.00", "5411", merchant="PADARIA DA LIA")
    assert (await app.client.post(AUTHORIZER, content=bought, headers=processor_headers())).json() == {"code": "00"}
    assert (await upload(person, files.pdf())).status_code == 201
    consent = await person.call("PUT", "/users/me/consents/marketing", json={"granted": True})
    assert consent.is_success, consent.text
    here = f"/console/pessoas/{person.id}"
    async with desk_of(app, "administrador") as browser:
        page = await browser.get(here)
        assert page.facts["Novidades e ofertas"].startswith("Sim ")
        led = [link for link in page.links if link.endswith(f"={person.id}")]
        assert len(led) == 7
        assert set(led) <= set((await browser.get(f"{here}/carteira")).links)
        assert not person.cpf or not [link for link in page.links if person.cpf in link]
        shown = {link.partition("?")[0]: await browser.get(link) for link in led}
        assert {one.status for one in shown.values()} == {200}
        assert account in shown["/console/contas"].text
        assert other not in shown["/console/contas"].text
        assert "PADARIA DA LIA" in shown["/console/autorizacoes"].text
        assert shown["/console/documentos"].text.count("Espera") > 1
        wrong = await browser.get("/console/autorizacoes?pessoa=52998224725")
        assert "Um CPF nunca vai no endereço." in wrong.text
    async with desk_of(app, "atendente") as browser:
        led = [link for link in (await browser.get(here)).links if link.endswith(f"={person.id}")]
        assert "/console/auditoria" not in {link.partition("?")[0] for link in led}
        assert len(led) == 6


async def test_a_sellers_purchases_are_listed_by_their_id(app: RunningApp) -> None:
    seller, other, day = await new_reseller(app), await new_reseller(app), new_month()
    await seller.buy(12_300, day)
    await other.buy(45_600, day)
    async with desk_of(app, "administrador") as browser:
        found = await browser.get(f"/console/revendedores?pessoa={seller.id}")
        (page,) = {link for link in found.links if link.startswith("/console/revendedores/")}
        link = next(one for one in (await browser.get(page)).links if "revendedor=" in one)
        listed = await browser.get(link)
        assert "R$ 123,00" in listed.text
        assert "R$ 456,00" not in listed.text


async def test_blocked_accounts_are_listed_by_address(app: RunningApp) -> None:
    operator = app.operator()
    blocked, active = [await open_benefit_account(operator, FOOD=0) for _ in range(2)]
    done = await operator.post(f"/benefits/accounts/{blocked}/block", {"reason": "holder_asked"})
    assert done.is_success, done.text
    async with desk_of(app, "RH") as browser:
        page = await browser.get("/console/contas?situacao=blocked&cpf=52998224725")
        assert blocked in page.text
        assert active not in page.text


async def looks_recorded(app: RunningApp) -> int:
    query = text("SELECT count(*) FROM audit_log WHERE action = ANY(:looks)")
    looks = ["benefit_accounts_listed", "resellers_listed", "transport_cards_listed"]
    async with app.database.transaction() as tx:
        return await tx.scalar(query, {"looks": looks}) or 0


async def test_a_wrong_id_in_an_address_lists_nobody_and_says_so(app: RunningApp) -> None:
    account = await open_benefit_account(app.operator(), FOOD=0)
    seller = await new_reseller(app)
    async with desk_of(app, "administrador") as browser:
        before = await looks_recorded(app)
        for home in ("/console/contas", "/console/revendedores", "/console/cartoes"):
            page = await browser.get(f"{home}?pessoa={str(seller.id)[:-1]}")
            assert (page.status, page.rows) == (422, []), home
            assert "Cole o id inteiro. Um CPF nunca vai no endereço." in page.text
        page = await browser.get("/console/contas?situacao=qualquer")
        assert (page.status, account in page.text, "Escolha uma das opções." in page.text) == (422, False, True)
        assert await looks_recorded(app) == before, "nobody was looked at"
        assert (await browser.get(f"/console/contas?conta={account}&cpf=1")).status == 200, "others are ignored"


async def test_one_session_is_ended_and_the_others_go_on(app: RunningApp) -> None:
    person = await register(app, full_name="Sara Sessões")
    lost_headers = dict((await sign_in(person)).headers)
    sessions = (await (await sign_in(person)).get("/auth/sessions")).json()["items"]
    mine = next(one["id"] for one in sessions if one["current"])
    lost = next(one["id"] for one in sessions if not one["current"])
    here = f"/console/pessoas/{person.id}/sessoes"
    async with desk_of(app, "auditor") as browser:
        shown = await browser.get(here)
        assert "Aparelhos de Sara Sessões" in shown.text
        assert f"{here}/{lost}/sair" not in shown.links
    async with desk_of(app, "administrador") as joana, desk_of(app, "administrador") as ivo:
        assert here in (await joana.get(f"/console/pessoas/{person.id}")).links
        assert {f"{here}/{lost}/sair", f"{here}/{mine}/sair"} <= set((await joana.get(here)).links)
        hers, his = await joana.get(f"{here}/{lost}/sair"), await ivo.get(f"{here}/{lost}/sair")
        assert "sai só deste aparelho" in hers.text
        assert "Aparelho desconectado." in (await joana.follow(await joana.send(hers, f"{here}/{lost}/sair"))).text
        assert (await ivo.send(his, f"{here}/{lost}/sair")).status == 404, "it has ended"
        other = await register(app)
        assert (await joana.get(f"/console/pessoas/{other.id}/sessoes/{mine}/sair")).status == 404
    assert (await app.client.get("/users/me", headers=lost_headers)).status_code == 401
    assert (await person.get("/users/me")).status_code == 200
    notices = (await person.get("/inbox", limit=100)).json()["items"]
    assert "Um aparelho seu foi desconectado pelo atendimento" in {one["title"] for one in notices}
    assert "sessions_listed" in await actions_seen(person)


async def test_all_sessions_end_and_a_lost_factor_is_erased_once_a_second_operator_agrees(app: RunningApp) -> None:
    person = await sign_in(await register(app, full_name="Saulo Sem Celular"))
    await enrol(person)
    here = f"/console/pessoas/{person.id}"
    async with desk_of(app, "administrador") as joana, desk_of(app, "administrador") as ivo:
        asked = await joana.get(f"{here}/sair")
        assert "sai de todos os aparelhos agora" in asked.text
        assert "Sessões encerradas." in (await joana.follow(await joana.send(asked, f"{here}/sair"))).text
        assert (await person.get("/users/me")).status_code == 401
        path = f"{here}/segundo-fator"
        asked = await joana.get(path)
        assert (await joana.send(asked, path)).status == 422, "no paper was named"
        sent = await joana.follow(await joana.send(asked, path, None, paper="rg"))
        assert "Outra pessoa aprova em Pendências." in sent.text
        listed = [link for link in (await ivo.get("/console/pendencias")).links if "/pendencias/" in link]
        shown = {link: plain((await ivo.get(link)).answer.text) for link in listed}
        (waiting,) = [link for link, told in shown.items() if "Para quem Saulo Sem Celular" in told]
        approve = f"{waiting}/aprovar"
        assert "Você pediu isto. Outra pessoa aprova." in (await joana.get(waiting)).text
        assert (await joana.send(await joana.get(approve), approve)).status == 403
        assert "access_token" not in await answer_to_password(person), "nothing has changed yet"
        assert (await ivo.send(await ivo.get(approve), approve)).status == 303
    assert "access_token" in await answer_to_password(person), "the password alone signs in"


async def answer_to_password(person: Person) -> dict[str, object]:
    login = {"username": person.cpf, "password": person.password}
    answer: dict[str, object] = (await person.client.post("/auth/login", data=login)).json()
    return answer


async def test_the_api_lists_and_ends_a_persons_sessions(app: RunningApp) -> None:
    person = await sign_in(await register(app))
    listed = await app.person("users:read").get(f"/users/{person.id}/sessions")
    assert [one["methods"] for one in listed.json()["items"]] == [["password"]]
    path = f"/users/{person.id}/sessions/{listed.json()['items'][0]['id']}"
    assert (await app.person("users:read").call("DELETE", path)).status_code == 403
    assert (await app.person("users:write").call("DELETE", path)).status_code == 204
    assert (await app.person("users:write").call("DELETE", path)).status_code == 404
    assert (await person.get("/users/me")).status_code == 401
