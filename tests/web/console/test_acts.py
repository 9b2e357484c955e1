"""Operators' acts on the console: concurrent ones, a confirmation before each, no personal data in addresses."""

from typing import get_args
from uuid import uuid4

from sqlalchemy import text

from carteira.assistant.tickets import open_ticket
from carteira.benefits import invitations
from carteira.benefits.desk import BlockReason
from carteira.benefits.models import FIRST_EMPLOYER
from tests.support import files
from tests.support.app import RunningApp
from tests.support.benefits import AUTHORIZER, open_benefit_account, processor_headers, purchase
from tests.support.console import desk_of
from tests.support.documents import upload
from tests.support.machines import new_machine
from tests.support.pages import PlainBrowser, Shown
from tests.support.people import Person, new_cpf, register, sign_in
from tests.support.resellers import approved_purchase, new_month, new_operator, new_reseller


def marks_of(page: Shown, *ids: str) -> list[str]:
    """Return the values of these rows' ticks, or hidden fields: the id, with what was seen where it has a version."""
    return [value for name, value in page.attributes if name == "value" and value.partition(".")[0] in ids]


async def marked(browser: PlainBrowser, act: str, *ids: str) -> Shown:
    """Mark rows and press a button; the answer asks for confirmation."""
    page = await browser.get("/console/compras")
    token = page.form("/console/compras/reprovar").fields["csrf"]
    answer = await browser.client.post(f"/console/compras/{act}", data={"csrf": token, "id": marks_of(page, *ids)})
    return Shown(answer)


async def sure(browser: PlainBrowser, asked: Shown, action: str, *ids: str, **typed: str) -> Shown:
    """Confirm an act."""
    fields = asked.form(action).fields | typed | {"id": marks_of(asked, *ids)}
    return Shown(await browser.client.post(action, data=fields))


async def test_two_operators_decide_the_same_purchases_and_the_second_reads_who_did(app: RunningApp) -> None:
    seller = await new_reseller(app)
    first, second = [(await seller.buy(10_000, new_month()))["id"] for _ in range(2)]
    async with (
        desk_of(app, "aprovador", full_name="Joana Prates") as joana,
        desk_of(app, "aprovador", full_name="Ivo Sampaio") as ivo,
    ):
        none = await ivo.follow(await marked(ivo, "aprovar"))
        assert "Marque ao menos uma compra." in none.text
        hers = await marked(joana, "aprovar", first, second)
        his = await marked(ivo, "reprovar", first)
        assert hers.status == his.status == 200
        assert "Aprovar 2 compras?" in hers.text
        assert "São R$ 200,00 em compras" in hers.text
        without = await sure(ivo, his, "/console/compras/reprovar", first)
        assert without.status == 422
        assert "Escreva o motivo" in without.text
        done = await joana.follow(await sure(joana, hers, "/console/compras/aprovar", first, second))
        assert "2 aprovadas." in done.text
        late = await ivo.follow(await sure(ivo, his, "/console/compras/reprovar", first, reason="Ilegível"))
        assert "Joana Prates já decidiu (Aprovado)." in late.text


async def test_a_month_is_closed_once_its_purchases_are_decided(app: RunningApp) -> None:
    day = new_month()
    await (await new_reseller(app)).buy(10_000, day)
    month = f"{day:%Y-%m}"
    async with desk_of(app, "aprovador") as browser:
        shown = await browser.get(f"/console/meses/{month}")
        assert "em validação" in shown.text
        assert f"/console/meses/{month}/fechar" not in shown.links
        asked = await browser.get(f"/console/meses/{month}/fechar")
        refused = await browser.send(asked, f"/console/meses/{month}/fechar")
        assert refused.status == 409, "the verb itself refuses"
        assert (await browser.get("/console/meses/1999-13")).status == 404


async def test_a_lost_factor_that_nobody_has_is_reported_at_the_form(app: RunningApp) -> None:
    somebody = await register(app, full_name="Zélia Sem Fator")
    async with desk_of(app, "administrador") as browser:
        path = f"/console/pessoas/{somebody.id}/segundo-fator"
        sent = await browser.send(await browser.get(path), path, None, paper="rg")
        assert sent.status == 409
        assert "segundo fator" in sent.text


async def test_a_role_changes_after_a_preview_of_its_changes(app: RunningApp) -> None:
    maker = app.operator()
    role = (await maker.post("/roles", {"description": "leitora de contas", "claim_ids": []})).json()["id"]
    known = {one["description"]: one["id"] for one in (await maker.get("/claims", limit=100)).json()["items"]}
    async with desk_of(app, "administrador") as browser:
        page = await browser.get(f"/console/papeis/{role}")
        action = f"/console/papeis/{role}"
        asked = await browser.send(page, action, None, claim=str(known["benefits:read"]))
        assert "Passa a trazer" in asked.text
        assert "benefits:read" in asked.text
        assert (await maker.get(f"/roles/{role}")).json()["claims"] == []
        assert (await browser.send(asked, action)).status == 303
        held = (await maker.get(f"/roles/{role}")).json()["claims"]
        assert [claim["description"] for claim in held] == ["benefits:read"]


async def test_settings_are_shown_without_secrets(app: RunningApp) -> None:
    async with desk_of(app, "administrador") as browser:
        shown = await browser.get("/console/configuracao?nome=jwt_secret")
        assert "JWT_SECRET" in shown.text
        assert "••••" in shown.text
        assert app.settings.jwt_secrets[0] not in shown.answer.text


async def test_hr_checks_a_file_and_sends_it_once(app: RunningApp) -> None:
    account = await open_benefit_account(app.operator(), FOOD=0)
    async with desk_of(app, "RH") as browser:
        form = await browser.get("/console/recargas")
        nothing = await browser.send(form, "/console/recargas/conferir", None, lines="isto não é uma planilha")
        assert nothing.status == 422
        lines = f"conta;categoria;valor\n{account};FOOD;10,50\n{account};FOOD;dez\n"
        checked = await browser.send(form, "/console/recargas/conferir", None, lines=lines)
        assert "1 linha não pode ser creditada" in checked.text
        done = await browser.follow(await browser.send(checked, "/console/recargas/enviar", None, lines=lines))
        assert "Creditado." in done.text
        again = await browser.follow(await browser.send(checked, "/console/recargas/enviar", None, lines=lines))
        assert "Já recebemos este pedido" in again.text
        page = await browser.get("/console/contas")
        found = await browser.send(page, "/console/contas", None, conta=account)
        assert "Alimentação R$ 10,50" in found.text


async def test_the_faster_checker_is_named(app: RunningApp) -> None:
    holder = await register(app)
    maker = app.person("benefits:read", "benefits:write")
    account = await open_benefit_account(app.operator(), user_id=holder.id, FOOD=0)
    async with (
        desk_of(app, "administrador", full_name="Joana Prates") as joana,
        desk_of(app, "administrador", full_name="Sérgio Amaral") as sergio,
    ):
        waiting = await maker.post(f"/benefits/accounts/{account}/credits", {"category": "FOOD", "amount": 900_000_000})
        assert waiting.status_code == 202, waiting.text
        path = f"/console/pendencias/{waiting.json()['pending']['id']}"
        hers, his = await joana.get(f"{path}/aprovar"), await sergio.get(f"{path}/recusar")
        wrong = await joana.send(hers, f"{path}/aprovar", None, total="1,00")
        assert wrong.status == 422
        assert "O total é R$ 9.000.000,00." in wrong.text
        assert (await joana.send(hers, f"{path}/aprovar", None, total="9.000.000,00")).status == 303
        late = await sergio.send(his, f"{path}/recusar", None, reason="Não")
        assert late.status == 409
        assert "já foi aprovada por Joana Prates" in late.text


async def test_people_are_searched_by_post_and_see_the_look(app: RunningApp) -> None:
    person = await register(app, full_name="Quitéria <b>Bold</b>")
    async with desk_of(app, "atendente") as browser:
        page = await browser.get("/console/pessoas")
        found = await browser.send(page, "/console/pessoas", None, busca=person.cpf)
        assert found.status == 200
        assert "Quitéria <b>Bold</b>" in found.text
        assert "<b>Bold</b>" not in found.answer.text
        assert person.cpf not in str(found.answer.url)
        assert not any(person.cpf in link for link in found.links)
        assert person.cpf not in found.text.replace(".", "").replace("-", "").replace(
            found.forms[0].fields["busca"], ""
        )
        unknown = await browser.send(page, "/console/pessoas", None, papel="astronauta")
        assert unknown.status == 422
        shown = await browser.get(f"/console/pessoas/{person.id}")
        assert person.email not in shown.text
        asked = await browser.get(f"/console/pessoas/{person.id}/suspender")
        assert (await browser.send(asked, f"/console/pessoas/{person.id}/suspender")).status == 422
        done = await browser.follow(
            await browser.send(asked, f"/console/pessoas/{person.id}/suspender", None, reason="misuse")
        )
        assert "Acesso suspenso." in done.text
        back = await browser.get(f"/console/pessoas/{person.id}/reativar")
        assert (await browser.send(back, f"/console/pessoas/{person.id}/reativar")).status == 303
    seen = (await person.get("/users/me/accesses", limit=100)).json()["items"]
    assert {"user_listed", "user_read"} <= {item["action"] for item in seen}


async def test_a_purchase_is_given_back_in_part_and_once(app: RunningApp) -> None:
    holder = await register(app)
    account = await open_benefit_account(app.operator(), user_id=holder.id, FOOD=10_000)
    body = purchase(account, "50.00", "5411")
    await app.client.post(AUTHORIZER, content=body, headers=processor_headers())
    async with desk_of(app, "RH") as browser:
        listed = await browser.get(f"/console/autorizacoes?conta={account}")
        path = next(link for link in listed.links if link.startswith("/console/autorizacoes/"))
        asked = await browser.get(f"{path}/devolver")
        assert (await browser.send(asked, f"{path}/devolver", None, amount="vinte")).status == 422
        done = await browser.follow(await browser.send(asked, f"{path}/devolver", None, amount="20,00"))
        assert "R$ 20,00 devolvidos." in done.text
        again = await browser.follow(await browser.send(asked, f"{path}/devolver", None, amount="20,00"))
        assert "Já recebemos este pedido" in again.text
        much = await browser.send(await browser.get(f"{path}/devolver"), f"{path}/devolver", None, amount="40,00")
        assert much.status in {409, 422}
        tried = await browser.send(
            await browser.get("/console/simulador"),
            "/console/simulador",
            None,
            account=account,
            amount="90,00",
            mcc="5411",
            merchant="MERCADO",
        )
        assert "Não passaria" in tried.text


async def test_the_audit_is_searched_by_ids_and_shows_its_chains_state(app: RunningApp) -> None:
    person = await register(app)
    await app.operator().get(f"/users/{person.id}")
    async with desk_of(app, "auditor") as browser:
        found = await browser.get(f"/console/auditoria?de_quem={person.id}&acao=user_read")
        assert "user_read" in found.text
        assert "cadeia" in found.text
        by_them = next(link for link in found.links if "auditoria?quem=" in link)
        assert f"de_quem={person.id}" in " ".join((await browser.get(by_them)).links), "who did it links to their rows"
        assert "por: senha" in (await browser.get("/console/auditoria?acao=sign_in")).text
        wrong = await browser.get(f"/console/auditoria?de_quem={person.cpf}")
        assert wrong.status == 422
        assert "Um CPF nunca vai no endereço." in wrong.text


async def test_a_rule_for_a_name_previews_its_past_effect(app: RunningApp) -> None:
    shop = f"FEIRA {uuid4().hex[:6].upper()}"
    account = await open_benefit_account(app.operator(), FOOD=10_000, CASH=10_000)
    for _ in range(2):
        body = purchase(account, "10.00", "5999", merchant=f"{shop}   SAO PAULO BR")
        await app.client.post(AUTHORIZER, content=body, headers=processor_headers())
    path = "/console/estabelecimentos/regra"
    async with desk_of(app, "RH") as browser:
        form = await browser.get(path)
        asked = await browser.send(form, path, None, name=f"{shop} sao paulo br", mcc="5411")
        assert "2, R$ 20,00" in asked.text
        assert "De Livre para Alimentação" in asked.text
        assert "Regra salva." in (await browser.follow(await browser.send(asked, path))).text
        known = await browser.get(f"{path}?nome={shop}+sao+paulo+br&mcc=5411")
        gone = await browser.client.post(
            "/console/estabelecimentos/tirar",
            data=known.form(path).fields | {"certo": "sim"},
        )
        assert gone.status_code == 303


async def test_a_closed_month_is_corrected_on_the_resellers_page_until_a_close_takes_it_in(app: RunningApp) -> None:
    seller, day = await new_reseller(app), new_month()
    await approved_purchase(app, seller, 10_000, day)
    await new_operator(app).submit(f"/cashback/months/{day:%Y-%m}/close")
    async with desk_of(app, "aprovador") as browser:
        listed = await browser.get("/console/revendedores")
        found = await browser.send(listed, "/console/revendedores", None, cpf=str(seller.cpf))
        home = next(link for link in found.links if link.startswith("/console/revendedores/"))
        path = f"{home}/meses/{day:%Y-%m}/ajustar"
        assert path in (await browser.get(home)).links
        asked = await browser.get(path)
        told = {"direction": "owing", "reason": "Nota <b>dobrada</b>"}
        assert (await browser.send(asked, path, None, amount="3,00")).status == 422
        much = await browser.send(asked, path, None, amount="10,01", **told)
        assert (much.status, "tira mais do que o mês creditou" in much.text) == (409, True)
        done = await browser.follow(await browser.send(await browser.get(path), path, None, amount="3,00", **told))
        assert "Ajuste feito" in done.text
        assert "Nota <b>dobrada</b>" in done.text
        assert "<b>dobrada" not in done.answer.text
        undo = next(link for link in done.links if link.endswith("/desfazer"))
        gone = await browser.follow(await browser.send(await browser.get(undo), undo))
        assert "Desfeito" in gone.text
        assert undo not in gone.links
        assert (await browser.get(f"{home}/meses/1999-01/ajustar")).status == 404
    assert [one["amount"] for one in (await seller.read("/cashback/adjustments"))["items"]] == [-300]


async def test_employees_are_bound_and_unbound(app: RunningApp) -> None:
    employer = str(FIRST_EMPLOYER)
    rita = await register(app, full_name="Rita Vinculada")
    home = f"/console/empresas/{employer}/operadores"
    async with desk_of(app, "administrador") as browser:
        page = await browser.get(home)
        assert "Ninguém" in page.text
        nobody = await browser.send(page, home, None, busca="fulano@exemplo.com.br")
        assert (nobody.status, "Nada com esses filtros" in nobody.text) == (200, True)
        blank = await browser.send(page, home, None, busca=" ")
        assert (blank.status, "Escreva por quem procurar." in blank.text) == (422, True)
        asked = await browser.send(page, home, None, busca=rita.cpf)
        bind = f"{home}/{rita.id}/vincular"
        assert "Vincular Rita Vinculada" in asked.text
        assert rita.cpf not in str(asked.answer.url)
        bound = await browser.follow(await browser.send(asked, bind))
        assert "Vínculo feito." in bound.text
        assert "Rita Vinculada" in bound.text
        unbind = f"{home}/{rita.id}/desvincular"
        ended = await browser.follow(await browser.send(await browser.get(unbind), unbind, None, release="sim"))
        assert "Vínculo encerrado." in ended.text
        late = await browser.send(await browser.get(unbind), unbind)
        assert late.status == 404
        assert (await browser.get(f"{home}/{uuid4()}/vincular")).status == 404
    async with desk_of(app, "RH") as browser:
        assert (await browser.get(home)).status == 403


async def test_people_to_bind_are_found_as_usual_and_see_the_look(app: RunningApp) -> None:
    one, other = [await sign_in(await register(app, full_name=f"Zenaide Dupla {name}")) for name in ("Sá", "Reis")]
    machine = await new_machine(app.operator(), "benefits:read", name="Folha da Zenaide")
    home = f"/console/empresas/{FIRST_EMPLOYER}/operadores"

    async def looks_at(person: Person) -> list[str]:
        return [item["action"] for item in (await person.get("/users/me/accesses", limit=100)).json()["items"]]

    async with desk_of(app, "administrador") as browser:
        found = await browser.send(await browser.get(home), home, None, busca="Zenaide Dupla")
        assert {f"{home}/{person.id}/vincular" for person in (one, other)} <= set(found.links)
        assert one.cpf not in found.text, "masked, as in the list of people"
        assert "Zenaide" not in str(found.answer.url)
        assert await looks_at(other) == ["user_listed"]
        bind = f"{home}/{one.id}/vincular"
        asked = await browser.get(bind)
        assert (await looks_at(one))[0] == "employer_member_read"
        await browser.follow(await browser.send(asked, bind))
        before = len(await looks_at(one))
        assert "Zenaide Dupla Sá" in (await browser.get(home)).text
        await browser.get(f"{home}/{one.id}/desvincular")
        assert (await looks_at(one))[: len(await looks_at(one)) - before] == ["employer_member_read"] * 2
        by_id = await browser.send(await browser.get(home), home, None, busca=str(machine.id))
        assert "Vincular Folha da Zenaide" in by_id.text
        release = f"{home}/{one.id}/desvincular"
        await browser.follow(await browser.send(await browser.get(release), release, None, release="sim"))


async def test_an_invitation_shows_its_state(app: RunningApp) -> None:
    operator, account = app.operator(), f"c-{uuid4()}"
    body = {"account": account, "cpf": new_cpf(), "contact": f"{uuid4().hex}@exemplo.com.br"}
    opened = await operator.post("/benefits/accounts", body)
    assert opened.status_code == 201, opened.text
    path, guest = f"/console/contas/{account}", PlainBrowser(app)
    await guest.sign_in(await register(app))
    async with desk_of(app, "RH") as browser:
        assert "A caminho" in (await browser.get(path)).text
        async with app.database.transaction() as tx:
            account_id = await tx.scalar(text("SELECT id FROM benefits_accounts WHERE reference = :r"), {"r": account})
            message = await invitations.make_invitation(tx, account_id)
            assert message is not None
            await invitations.note_sent(tx, message.token)
        sent = await browser.get(path)
        assert "Enviado" in sent.text
        assert "Reenviar o convite…" in sent.text
        for _ in range(2):
            assert (await guest.get(f"/app/beneficios/convite?convite={message.token}")).status == 200
        assert "Aberto" in (await browser.get(path)).text
        async with app.database.transaction() as tx:
            await tx.execute(text("UPDATE benefits_invitations SET expires_at = now() - interval '1 day'"))
        assert "Venceu" in (await browser.get(path)).text
        again = f"{path}/convidar"
        resent = await browser.follow(await browser.send(await browser.get(again), again))
        assert "A caminho" in resent.text
    await guest.client.aclose()


async def test_the_second_decision_on_a_document_names_the_first(app: RunningApp) -> None:
    holder = await register(app)
    answer = await upload(holder, files.pdf())
    assert answer.status_code == 201, answer.text
    path = f"/console/documentos/{answer.json()['id']}"
    async with (
        desk_of(app, "atendente", full_name="Joana Prates") as joana,
        desk_of(app, "atendente", full_name="Ivo Sampaio") as ivo,
    ):
        hers, his = await joana.get(f"{path}/conferir"), await ivo.get(f"{path}/recusar")
        assert (await joana.send(hers, f"{path}/conferir")).status == 422, "the operator has to state what was compared"
        done = await joana.send(hers, f"{path}/conferir", None, words="Foto e nome com a pessoa")
        assert done.status == 303
        late = await ivo.send(his, f"{path}/recusar", None, words="A foto está ilegível")
        assert late.status == 409
        assert "Joana Prates decidiu este documento." in late.text
        assert "Ver como está agora" in late.text
        stubborn = await ivo.client.post(
            f"{path}/recusar", data=late.form(f"{path}/recusar").fields | {"words": "Ruim"}
        )
        assert stubborn.status_code == 409, "what he saw is still what he saw"


async def test_a_form_shown_again_keeps_the_first_seen_version(app: RunningApp) -> None:
    """A wrong field and a new file at once: what is sent the second time is no decision on the new file."""
    holder = await register(app)
    document = (await upload(holder, files.pdf())).json()["id"]
    path = f"/console/documentos/{document}"
    async with desk_of(app, "atendente") as browser:
        asked = await browser.get(f"{path}/conferir")
        file = {"file": ("nova.pdf", files.pdf(), "application/pdf")}
        newer = await holder.client.put(f"/documents/{document}/file", files=file, headers=holder.headers)
        assert newer.status_code == 200, newer.text
        again = await browser.send(asked, f"{path}/conferir", None, words="x")
        assert (again.status, "Isto mudou depois de ser mostrado a você." in again.text) == (422, True)
        fields = again.form(f"{path}/conferir").fields | {"words": "Foto e nome com a pessoa"}
        sent = Shown(await browser.client.post(f"{path}/conferir", data=fields))
        assert (sent.status, "Veja-o de novo" in sent.text) == (409, True)
        fresh = await browser.get(f"{path}/conferir")
        assert (await browser.send(fresh, f"{path}/conferir", None, words="Foto e nome")).status == 303
    assert (await holder.get(path.replace("/console/documentos", "/documents"))).json()["state"] == "reviewed"


async def test_months_are_drawn(app: RunningApp) -> None:
    seller = await new_reseller(app)
    for _ in range(2):
        await seller.buy(10_000, new_month())
    async with desk_of(app, "aprovador") as browser:
        shown = await browser.get("/console/meses")
        assert "Cashback por mês" in shown.text
        assert shown.answer.text.count("<rect") >= 2


async def test_marked_accounts_are_invited_and_each_result_is_shown(app: RunningApp) -> None:
    operator, accounts = app.operator(), [f"c-{uuid4()}" for _ in range(2)]
    for account, contact in zip(accounts, (f"{uuid4().hex}@exemplo.com.br", None), strict=True):
        opened = await operator.post("/benefits/accounts", {"account": account, "cpf": new_cpf(), "contact": contact})
        assert opened.status_code == 201, opened.text
    act = "/console/contas/convidar"
    async with desk_of(app, "RH") as browser:
        page = await browser.get("/console/contas")
        token = page.form(act).fields["csrf"]
        none = await browser.follow(Shown(await browser.client.post(act, data={"csrf": token})))
        assert "Marque ao menos uma conta." in none.text
        asked = Shown(await browser.client.post(act, data={"csrf": token, "id": accounts}))
        assert "Convidar os titulares de 2 contas?" in asked.text
        done = await sure(browser, asked, act, *accounts)
        assert "1 a caminho, 1 não" in done.text
        assert "não tem um contato cadastrado" in done.text
        assert (await browser.client.post(act, data={"csrf": token, "id": ["<b>"]})).status_code == 422
    async with desk_of(app, "auditor") as browser:
        page = await browser.get("/console/contas")
        assert act not in {form.action for form in page.forms}, "who only reads has nothing to mark"


async def test_the_second_answer_to_a_ticket_names_the_first_and_its_person_is_notified(app: RunningApp) -> None:
    person, hostile = await register(app), "<b>Perdi</b> o cartão"
    async with app.database.transaction() as tx:
        ticket = await open_ticket(tx, person.id, hostile)
    path = f"/console/atendimentos/{ticket.id}/responder"
    async with (
        desk_of(app, "atendente", full_name="Joana Prates") as joana,
        desk_of(app, "atendente", full_name="Ivo Sampaio") as ivo,
    ):
        hers, his = await joana.get(path), await ivo.get(path)
        assert hostile in hers.text
        assert hostile not in hers.answer.text
        assert (await joana.send(hers, path)).status == 422
        done = await joana.follow(await joana.send(hers, path, None, answer="Bloqueie em “Transporte”."))
        assert f"Atendimento {ticket.number} respondido." in done.text
        late = await ivo.send(his, path, None, answer="Já vai.")
        assert (late.status, "Joana Prates já respondeu." in late.text) == (422, True)
    notices = (await (await sign_in(person)).get("/inbox", limit=100)).json()["items"]
    assert "O atendimento respondeu à sua pergunta" in {one["title"] for one in notices}


async def test_an_account_is_blocked_for_a_reason_and_used_again(app: RunningApp) -> None:
    account = await open_benefit_account(app.operator(), FOOD=10_000)
    here = f"/console/contas/{account}"
    async with desk_of(app, "RH") as browser:
        asked = await browser.get(f"{here}/bloquear")
        assert (await browser.send(asked, f"{here}/bloquear")).status == 422, "without a reason"
        reason = next(value for value in get_args(BlockReason) if value in asked.answer.text)
        gone = await browser.follow(await browser.send(asked, f"{here}/bloquear", None, reason=reason))
        assert "Conta bloqueada." in gone.text
        assert f"{here}/reativar" in gone.links
        back = await browser.get(f"{here}/reativar")
        assert f"{here}/bloquear" in (await browser.follow(await browser.send(back, f"{here}/reativar"))).links


async def test_an_account_is_closed_once_it_is_empty(app: RunningApp) -> None:
    full, empty = [await open_benefit_account(app.operator(), FOOD=amount) for amount in (100, 0)]
    async with desk_of(app, "RH") as browser:
        path = f"/console/contas/{full}/encerrar"
        refused = await browser.send(await browser.get(path), path)
        assert (refused.status, "saldo" in refused.text) == (409, True)
        path = f"/console/contas/{empty}/encerrar"
        gone = await browser.follow(await browser.send(await browser.get(path), path))
        assert "Conta encerrada." in gone.text
        assert path not in gone.links
        back = f"/console/contas/{empty}/reativar"
        assert path in (await browser.follow(await browser.send(await browser.get(back), back))).links


async def bought(app: RunningApp, desk: PlainBrowser, account: str, reais: str) -> str:
    """Have an account pay for something; return the decision's page."""
    await app.client.post(AUTHORIZER, content=purchase(account, reais, "5411"), headers=processor_headers())
    listed = await desk.get(f"/console/autorizacoes?conta={account}")
    return next(link for link in listed.links if link.startswith("/console/autorizacoes/"))


async def test_a_purchase_is_reversed_whole_and_a_large_one_waits_for_two(app: RunningApp) -> None:
    account = await open_benefit_account(app.operator(), FOOD=5_000_000)
    async with desk_of(app, "administrador") as joana, desk_of(app, "administrador") as ivo:
        small, large = [await bought(app, joana, account, reais) for reais in ("50.00", "20000.00")]
        act = f"{small}/estornar"
        assert act in (await joana.get(small)).links
        asked = await joana.get(act)
        assert "R$ 50,00 voltam agora ao saldo que pagou." in asked.text
        done = await joana.follow(await joana.send(asked, act))
        assert "Estornado." in done.text
        assert not {act, f"{small}/devolver"} & set(done.links), "nothing is left"
        late = await ivo.send(await ivo.get(act), act)
        assert (late.status, "já foi estornada ou devolvida" in late.text) == (422, True)
        for act, typed in (("devolver", {"amount": "15.000,00"}), ("estornar", {})):
            asked = await joana.get(f"{large}/{act}")
            sent = await joana.follow(await joana.send(asked, f"{large}/{act}", None, **typed))
            assert "Pedido: espera outra pessoa." in sent.text
        waiting = [link for link in (await ivo.get("/console/pendencias")).links if "/pendencias/" in link]
        shown = {link: await ivo.get(link) for link in waiting}
        (refund,) = [link for link, page in shown.items() if "R$ 15.000,00" in page.text]
        typed = {"total": "15.000,00"}
        approved = await ivo.send(await ivo.get(f"{refund}/aprovar"), f"{refund}/aprovar", None, **typed)
        assert approved.status == 303, approved.text
        back = await joana.get(large)
        assert "Devolvido" in back.text
        assert "R$ 15.000,00" in back.text
