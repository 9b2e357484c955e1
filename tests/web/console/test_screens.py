"""The console's other screens: secrets shown once, files and schedules, rules with their effect, topics."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx
from sqlalchemy import text

from carteira.kit.values.clock import clock
from carteira.web.formats import month_name
from tests.support.app import RunningApp
from tests.support.benefits import AUTHORIZER, open_benefit_account, processor_headers, purchase
from tests.support.console import desk_of, operator_of
from tests.support.pages import PlainBrowser, Shown
from tests.support.people import new_cpf, register
from tests.support.resellers import new_month, new_reseller
from tests.support.webhooks import new_hook


async def send_several(browser: PlainBrowser, page: Shown, action: str, fields: Mapping[str, object]) -> Shown:
    """Send a form in which one name occurs several times."""
    form = page.form(action)
    return Shown(await browser.client.post(form.action, data={**form.fields, **fields}))


def secret_of(shown: Shown) -> str:
    found = re.search(r'<code class="wrap" id="secret">([^<]+)</code>', shown.answer.text)
    assert found is not None, shown.text
    return found.group(1)


async def test_a_client_is_made_with_a_secret_that_is_shown_once(app: RunningApp) -> None:
    path = "/console/clientes/novo"
    async with desk_of(app, "administrador") as browser:
        form = await browser.get(path)
        wrong = await send_several(browser, form, path, {"name": "ERP", "networks": "isto não é rede"})
        assert wrong.status == 422
        assert "Rede inválida" in wrong.text
        asked = {"name": "ERP <b>da</b> matriz", "claims": ["webhooks:read", "benefits:read"]}
        made = await send_several(browser, form, path, asked)
        assert made.status == 200, made.text
        secret, client_id = secret_of(made), re.search(r"client_id: (\S+)", made.text)
        assert secret.startswith("carteira_secret_")
        assert client_id is not None
        again = await browser.follow(await send_several(browser, form, path, asked))
        assert "Já recebemos este pedido" in again.text
        assert secret not in again.answer.text
        here = f"/console/clientes/{client_id.group(1)}"
        shown = await browser.get(here)
        assert "ERP <b>da</b> matriz" in shown.text
        assert "benefits:read" in shown.text
        less = await browser.get(f"{here}/permissoes")
        assert (await send_several(browser, less, f"{here}/permissoes", {"claims": ["webhooks:read"]})).status == 303
        assert "benefits:read" not in (await browser.get(here)).text
        change = await browser.get(f"{here}/segredo")
        second = secret_of(await browser.send(change, f"{here}/segredo", None, overlap="24"))
        assert second != secret
    token = {"grant_type": "client_credentials"}
    answer = await app.client.post("/auth/token", data=token, auth=httpx.BasicAuth(client_id.group(1), second))
    assert answer.status_code == 200, answer.text
    async with desk_of(app, "administrador") as browser:
        revoking = await browser.get(f"{here}/revogar")
        assert "para de entrar agora" in revoking.text
        gone = await browser.follow(await browser.send(revoking, f"{here}/revogar"))
        assert "ERP <b>da</b> matriz revogado." in gone.text
        assert "Revogado" in (await browser.get(here)).text
    answer = await app.client.post("/auth/token", data=token, auth=httpx.BasicAuth(client_id.group(1), second))
    assert answer.status_code == 401, answer.text


async def test_a_webhook_is_made_tested_and_replayed(app: RunningApp) -> None:
    path = "/console/webhooks/novo"
    async with desk_of(app, "administrador") as browser:
        name = f"painel {uuid4().hex[:6]}"
        made = await send_several(
            browser, await browser.get("/console/clientes/novo"), "/console/clientes/novo",
            {"name": name, "claims": ["benefits:read"]},
        )  # fmt: skip
        client_id = re.search(r"client_id: (\S+)", made.text)
        assert client_id is not None
        form = await browser.get(path)
        fields: dict[str, object] = {"client": client_id.group(1), "url": "http://127.0.0.1:9/avisos"}
        none = await send_several(browser, form, path, fields)
        assert "Marque ao menos um evento." in none.text
        beyond = await send_several(browser, form, path, fields | {"events": ["resellers.purchase_approved"]})
        assert beyond.status in {403, 409, 422}, "the client may not read it"
        made = await send_several(browser, form, path, fields | {"events": ["benefits.credited"]})
        assert secret_of(made).startswith("whsec_")
        here = next(link for link in made.links if link.startswith("/console/webhooks/"))
        assert "benefits.credited" in (await browser.get(here)).text
        assert name in (await browser.get("/console/webhooks")).text
        tested = await browser.follow(await browser.send(await browser.get(f"{here}/testar"), f"{here}/testar"))
        assert "webhook.test" in tested.text
        delivery = next(link for link in tested.links if link.startswith(f"{here}/entregas/"))
        again = await browser.follow(await browser.send(await browser.get(delivery), delivery))
        assert "O aviso voltou à fila." in again.text
        since = await browser.get(f"{here}/repetir")
        assert (await browser.send(since, f"{here}/repetir", None, since="ontem")).status == 422
        today = clock.today().isoformat()
        assert (await browser.send(since, f"{here}/repetir", None, since=today)).status == 303
        changed = await send_several(
            browser, await browser.get(f"{here}/mudar"), f"{here}/mudar",
            {"events": ["benefits.credited", "benefits.account_opened"], "description": "novo"},
        )  # fmt: skip
        assert changed.status == 303
        rotated = await browser.send(await browser.get(f"{here}/segredo"), f"{here}/segredo", None, overlap="0")
        assert secret_of(rotated) != secret_of(made)
        off = await browser.send(await browser.get(f"{here}/desligar"), f"{here}/desligar")
        assert "Desligado" in (await browser.follow(off)).text
        assert (await browser.send(await browser.get(f"{here}/ligar"), f"{here}/ligar")).status == 303


async def test_a_dead_letter_is_found_and_sent_again(app: RunningApp) -> None:
    hook = await new_hook(app.operator(), "http://127.0.0.1:9/avisos", "benefits.credited")
    here = f"/console/webhooks/{hook.id}"
    lost = "UPDATE webhook_deliveries SET state = 'dead', next_attempt_at = NULL, last_error = 'timeout', attempts = 9"
    async with desk_of(app, "administrador") as browser:
        for _ in range(2):
            await browser.send(await browser.get(f"{here}/testar"), f"{here}/testar")
        newest = (await browser.get(f"{here}/entregas")).rows[0].partition(" ")[0]
        async with app.database.transaction() as tx:
            await tx.execute(text(f"{lost} WHERE message_id = CAST(:id AS uuid)"), {"id": newest})
        (dead,) = (await browser.get(f"{here}/entregas?situacao=dead")).rows
        assert dead.startswith(newest)
        assert dead.endswith("Perdida")
        assert "timeout" in dead
        assert len((await browser.get(f"{here}/entregas?situacao=waiting")).rows) == 1
        since = {"since": clock.today().isoformat()}
        path = f"{here}/repetir"
        for state, many in (("delivered", "0 avisos"), ("dead", "1 aviso"), ("dead", "0 avisos")):
            sent = await browser.send(await browser.get(path), path, None, **since, state=state)
            assert f"{many} de volta à fila." in (await browser.follow(sent)).text
        assert (await browser.get(f"{here}/entregas?situacao=dead")).rows == []


async def test_somebody_is_added_with_a_password_that_is_shown_once(app: RunningApp) -> None:
    path = "/console/pessoas/nova"
    email = f"{uuid4().hex[:8]}@exemplo.com.br"
    async with desk_of(app, "administrador") as browser:
        form = await browser.get(path)
        role = re.search(r'<option value="(\d+)">cidadão</option>', form.answer.text)
        assert role is not None
        asked = {"full_name": "Nova Pessoa", "email": email, "role_id": role.group(1)}
        assert (await browser.send(form, path, None, **asked | {"email": "sem arroba"})).status == 422
        made = await browser.send(form, path, None, **asked)
        password = secret_of(made)
        again = await browser.send(form, path, None, **asked)
        assert again.status == 409
        assert password not in again.answer.text
    answer = await app.client.post("/auth/login", data={"username": email, "password": password})
    assert answer.status_code in {200, 403}, "the password is right; a new one has to be chosen first"


async def test_a_file_of_accounts_is_checked_and_sent_once(app: RunningApp) -> None:
    cpf = new_cpf()
    path = "/console/contas-em-lote"
    async with desk_of(app, "RH") as browser:
        form = await browser.get(f"{path}/novo")
        nothing = await browser.send(form, f"{path}/conferir", None, lines="isto não é uma planilha")
        assert nothing.status == 422
        lines = f"cpf;nome;valor FOOD\n{cpf};Maria;10,50\n123;José;5,00\n"
        checked = await browser.send(form, f"{path}/conferir", None, lines=lines)
        assert "1 linha não pode ser aberta" in checked.text
        assert "R$ 10,50 de saldo inicial" in checked.text
        sent = await browser.follow(await browser.send(checked, f"{path}/enviar", None, lines=lines))
        assert "As contas estão sendo abertas." in sent.text
        assert "1 com erro" in sent.text
        again = await browser.follow(await browser.send(checked, f"{path}/enviar", None, lines=lines))
        assert "Já recebemos este pedido" in again.text
        wrong = await browser.get(f"{again.answer.url.path}?situacao=failed")
        assert "CPF" in wrong.text
        assert cpf not in wrong.text.replace(".", "").replace("-", "")
        assert str(again.answer.url.path) in (await browser.get(path)).links


async def test_a_top_up_is_kept_for_a_day_and_cancelled(app: RunningApp) -> None:
    account = await open_benefit_account(app.operator(), FOOD=0)
    day = (datetime.now(UTC) + timedelta(days=40)).date()
    async with desk_of(app, "RH") as browser:
        form = await browser.get("/console/recargas")
        lines = f"conta;categoria;valor\n{account};FOOD;10,50\n"
        checked = await browser.send(form, "/console/recargas/conferir", None, lines=lines)
        late = await browser.send(checked, "/console/recargas/enviar", None, lines=lines, day="2020-01-01")
        assert late.status in {409, 422}
        kept = await browser.send(checked, "/console/recargas/enviar", None, lines=lines, day=day.isoformat())
        listed = await browser.follow(kept)
        assert f"Agendado para {day:%d/%m/%Y}." in listed.text
        here = next(link for link in listed.links if link.startswith("/console/agendamentos/"))
        assert "R$ 10,50" in (await browser.get(here)).text
        done = await browser.send(await browser.get(f"{here}/cancelar"), f"{here}/cancelar")
        assert "Créditos cancelados." in (await browser.follow(done)).text
        assert f"{here}/cancelar" not in (await browser.get(here)).links


async def test_mccs_preview_their_past_effect_before_they_are_saved(app: RunningApp) -> None:
    account = await open_benefit_account(app.operator(), CASH=10_000)
    await app.client.post(AUTHORIZER, content=purchase(account, "10.00", "8011"), headers=processor_headers())
    path = "/console/estabelecimentos/categoria"
    name = f"HEALTH_{uuid4().hex[:4].upper()}"
    async with desk_of(app, "administrador") as browser:
        form = await browser.get(path)
        wrong = await browser.send(form, path, None, category=name, regime="free", mccs="80 8011")
        assert wrong.status == 422
        asked = await browser.send(form, path, None, category=name, regime="free", mccs="8011, 8021")
        assert "De Livre para" in asked.text
        assert "8011, 8021" in asked.text
        assert "MCCs salvos." in (await browser.follow(await browser.send(asked, path))).text
        known = await browser.get(f"{path}?nome={name}")
        assert "8011 8021" in known.answer.text
        cash = await browser.get(f"{path}?nome=CASH")
        taken = await browser.send(cash, path, None, mccs="8011", certo="sim")
        assert taken.status == 409
        gone = await browser.send(known, path, None, regime="free", mccs="", certo="sim")
        assert gone.status == 303


async def test_a_reseller_is_found_by_cpf_and_shown_with_their_months(app: RunningApp) -> None:
    seller = await new_reseller(app)
    await seller.buy(10_000, new_month())
    cpf = seller.cpf
    async with desk_of(app, "aprovador") as browser:
        page = await browser.get("/console/revendedores")
        assert (await browser.send(page, "/console/revendedores", None, cpf="123")).status == 422
        found = await browser.send(page, "/console/revendedores", None, cpf=cpf)
        assert cpf not in str(found.answer.url)
        here = next(link for link in found.links if link.startswith("/console/revendedores/"))
        shown = await browser.get(here)
        assert "R$ 100,00" in shown.text
        assert (await browser.get(f"/console/revendedores/{uuid4()}")).status == 404


async def test_tiers_are_set_from_a_month_on_and_taken_away(app: RunningApp) -> None:
    path = "/console/faixas"
    async with desk_of(app, "aprovador") as browser:
        form = await browser.get(f"{path}/nova")
        wrong = await browser.send(form, f"{path}/nova", None, valid_from="2090-01", tiers="0,00;dez")
        assert wrong.status == 422
        assert "percentual inteiro" in wrong.text
        late = await browser.send(form, f"{path}/nova", None, valid_from="2090-01", tiers="1,00;5")
        assert "As faixas começam em 0" in late.text
        done = await browser.send(form, f"{path}/nova", None, valid_from="2090-01", tiers="0,00;5\n1.000,00;8%")
        assert done.status == 303
        listed = await browser.get(path)
        assert "5% · 8% acima de R$ 1.000,00" in listed.text
        shown = await browser.get(f"{path}/2090-01")
        assert "8%" in shown.text
        gone = await browser.send(await browser.get(f"{path}/2090-01/tirar"), f"{path}/2090-01/tirar")
        assert gone.status == 303
        assert (await browser.get(f"{path}/2090-01")).status == 404
        day = await browser.get(f"{path}/dia")
        assert (await browser.send(day, f"{path}/dia", None, valid_from="2090-01", day="31")).status == 422
    async with desk_of(app, "auditor") as browser:
        assert f"{path}/nova" not in (await browser.get(path)).links


async def test_a_cpf_whose_purchases_start_approved_is_set_and_taken_off(app: RunningApp) -> None:
    seller, path = await new_reseller(app), "/console/aprovacoes-automaticas"
    first, last = new_month(), new_month()
    own = await operator_of(app, "aprovador")
    browser = PlainBrowser(app)
    await browser.sign_in(own)
    form = await browser.get(f"{path}/nova")
    asked = {"cpf": seller.cpf, "valid_from": f"{first:%Y-%m}", "valid_until": f"{last:%Y-%m}"}
    for wrong in ({"cpf": "123"}, {"valid_until": "2000-01"}):
        assert (await browser.send(form, f"{path}/nova", None, **asked | wrong)).status == 422, wrong
    assert (await browser.send(form, f"{path}/nova", None, **asked | {"cpf": own.cpf})).status == 403, "their own CPF"
    assert "Na lista." in (await browser.follow(await browser.send(form, f"{path}/nova", None, **asked))).text
    again = await browser.follow(await browser.send(form, f"{path}/nova", None, **asked))
    assert "Já recebemos este pedido" in again.text
    assert seller.cpf not in again.answer.text
    masked = f"***.{seller.cpf[3:6]}.{seller.cpf[6:9]}-**"
    (row,) = [row for row in again.rows if masked in row]
    assert row.lower().startswith(f"{masked} {month_name(first)} {month_name(last)}")
    for state in ("Vale agora", "Vai valer", "Já valeu"):
        listed = await browser.get(f"{path}?situacao={state.replace(' ', '+')}")
        assert [one for one in listed.rows if masked in one] == ([row] if row.endswith(state) else []), state
    assert row.endswith(("Vale agora", "Vai valer", "Já valeu"))
    assert (await seller.buy(10_000, first))["status"] == "Aprovado"
    taking = [link for link in again.links if re.fullmatch(f"{path}/[0-9a-f-]+/tirar", link)]
    (off,) = [link for link in taking if masked in again.answer.text.partition(link)[2].partition("</tr>")[0]]
    asked_off = await browser.get(off)
    assert "O que já foi aprovado continua aprovado." in asked_off.text
    gone = await browser.follow(await browser.send(asked_off, off))
    assert "Fora da lista." in gone.text
    assert not [row for row in gone.rows if masked in row]
    assert (await browser.send(asked_off, off)).status == 404
    assert (await seller.buy(10_000, first))["status"] == "Em validação"
    await browser.client.aclose()


async def test_a_lost_card_is_blocked_at_the_counter_and_its_person_sees_who_looked(app: RunningApp) -> None:
    person = await register(app)
    card = (await person.get("/transport-cards")).json()["items"][0]
    async with desk_of(app, "atendente") as browser:
        page = await browser.get("/console/cartoes")
        assert (await browser.send(page, "/console/cartoes", None, cartao="12")).status == 422
        found = await browser.send(page, "/console/cartoes", None, cartao=card["card_number"])
        assert card["card_number"] not in found.answer.text.replace(found.form("/console/cartoes").fields["cartao"], "")
        here = f"/console/cartoes/{card['id']}"
        assert here in found.links
        assert here in (await browser.get(f"/console/cartoes?pessoa={person.id}")).links
        hidden = await browser.get(f"/console/cartoes?cartao={card['card_number']}")
        assert here not in hidden.links, "a card's number in an address finds nothing"
        blocked = await browser.send(await browser.get(f"{here}/bloquear"), f"{here}/bloquear")
        assert "Cartão bloqueado." in (await browser.follow(blocked)).text
        assert here in (await browser.get("/console/cartoes")).links
        assert (await browser.send(await browser.get(f"{here}/desbloquear"), f"{here}/desbloquear")).status == 303
        assert (await browser.get("/console/dividas")).status == 200
    seen = (await person.get("/users/me/accesses", limit=100)).json()["items"]
    assert "transport_cards_listed" in {item["action"] for item in seen}


async def test_a_topic_has_versions_that_one_goes_back_to(app: RunningApp) -> None:
    path, slug = "/console/assuntos", f"horario-{uuid4().hex[:6]}"
    async with desk_of(app, "atendente") as browser:
        form = await browser.get(f"{path}/novo")
        asked = {
            "slug": slug,
            "title": "Horário",
            "answer": "Das 9h às 17h.",
            "phrases": "qual o horário\nque horas abre",
        }
        assert (await browser.send(form, f"{path}/novo", None, **asked | {"answer": ""})).status == 422
        shown = await browser.follow(await browser.send(form, f"{path}/novo", None, **asked))
        assert "Das 9h às 17h." in shown.text
        assert (await browser.send(form, f"{path}/novo", None, **asked)).status == 422
        here = f"{path}/{slug}"
        first, second = await browser.get(f"{here}/mudar"), await browser.get(f"{here}/mudar")
        changed = {"title": "Horário", "answer": "Das 8h às 18h.", "phrases": "qual o horário"}
        assert (await browser.send(first, f"{here}/mudar", None, **changed)).status == 303
        mine = changed | {"answer": "Das 7h às 19h."}
        late = await browser.send(second, f"{here}/mudar", None, **mine)
        assert (late.status, "Alguém mudou este assunto" in late.text) == (409, True)
        assert "Das 8h às 18h." in late.text, "what it says now stands beside what was typed"
        assert "Das 7h às 19h." in late.text
        kept = await browser.send(late, f"{here}/mudar", None, **mine)
        assert kept.status == 303, "seen now, it may be changed"
        former = await browser.get(f"{here}/versoes/1")
        await browser.send(await browser.get(f"{here}/mudar"), f"{here}/mudar", None, **changed)
        stale = await browser.send(former, f"{here}/versoes/1")
        assert (stale.status, "Ver como está agora" in stale.text) == (409, True)
        back = await browser.get(f"{here}/versoes/1")
        assert "Das 9h às 17h." in (await browser.follow(await browser.send(back, f"{here}/versoes/1"))).text
        assert (await browser.get(f"{here}/versoes/99")).status == 404
        tried = await browser.send(
            await browser.get(f"{path}/experimentar"), f"{path}/experimentar", None, question="como troco a senha?"
        )
        assert tried.status == 200
        assert "Responderia" in tried.text or "Não saberia" in tried.text
        assert slug in (await browser.get(f"{path}?palavras=horário")).text


async def test_the_ages_of_keys_are_shown(app: RunningApp) -> None:
    async with desk_of(app, "auditor") as browser:
        shown = await browser.get("/console/chaves-e-backups")
        assert "Chave do cadastro" in shown.text
        assert "Backup inteiro mais novo" in shown.text
        wanted = [(await browser.get(f"/console/chaves-e-backups?atencao={one}")).rows for one in ("sim", "nao")]
        assert sorted([*wanted[0], *wanted[1]]) == sorted(shown.rows)
        found = await browser.get("/console/chaves-e-backups?busca=chave+do+cadastro")
        assert [row for row in shown.rows if "Chave do cadastro" in row] == found.rows
        panel = await browser.get("/console")
        assert "Eventos" in panel.text


async def test_a_whole_list_is_sorted_by_its_heads(app: RunningApp) -> None:
    async with desk_of(app, "administrador") as browser:
        for order, is_reversed in (("papel", False), ("-papel", True)):
            shown = await browser.get(f"/console/papeis?ordem={order}")
            names = re.findall(r'<a href="/console/papeis/\d+">([^<]+)</a>', shown.answer.text)
            assert len(names) > 3
            assert names == sorted(names, key=str.casefold, reverse=is_reversed)
        fewest = await browser.get("/console/papeis?ordem=permissoes")
        counts = [int(one) for one in re.findall(r'class="end" data-label="Permissões">(\d+)<', fewest.answer.text)]
        assert counts == sorted(counts)
        assert 'aria-sort="ascending"' in fewest.answer.text
        assert (await browser.get("/console/papeis?ordem=nada")).status == 200


async def test_somebodys_contact_changes_and_they_are_erased_at_their_request(app: RunningApp) -> None:
    person = await register(app, full_name="Iracema Vai Embora")
    here = f"/console/pessoas/{person.id}"
    async with desk_of(app, "administrador") as browser:
        asked = await browser.get(f"{here}/contatos")
        assert "Escreva o e-mail" in (await browser.send(asked, f"{here}/contatos")).text
        assert (await browser.send(asked, f"{here}/contatos", None, email="sem arroba")).status == 422
        new = f"{uuid4().hex[:8]}@exemplo.com.br"
        assert (await browser.send(asked, f"{here}/contatos", None, email=new)).status == 303
        asked = await browser.get(f"{here}/apagar")
        assert (await browser.send(asked, f"{here}/apagar", None, full_name="Outra")).status == 422
        done = await browser.send(asked, f"{here}/apagar", None, full_name="iracema vai  embora")
        assert done.status == 303, done.text
        assert (await browser.get(here)).status == 404


async def test_people_of_a_file_are_added_each_for_itself(app: RunningApp) -> None:
    path = "/console/pessoas/importar"
    email = f"{uuid4().hex[:8]}@exemplo.com.br"
    lines = f"nome;e-mail;papel\nPessoa Um;{email};\nPessoa Dois;sem arroba;\nPessoa Três;tres-{email};astronauta\n"
    async with desk_of(app, "administrador") as browser:
        form = await browser.get(path)
        assert (await browser.send(form, f"{path}/conferir", None, lines="nada")).status == 422
        checked = await browser.send(form, f"{path}/conferir", None, lines=lines)
        assert "1 certa, 2 com erro" in checked.text
        assert "Não há este papel." in checked.text
        done = await browser.send(checked, f"{path}/enviar", None, lines=lines)
        assert "1 criada, 2 com erro" in done.text
        again = await browser.send(checked, f"{path}/enviar", None, lines=lines)
        assert "0 criadas, 3 com erro" in again.text


async def test_an_employer_is_added_and_changed(app: RunningApp) -> None:
    name = f"Padaria {uuid4().hex[:6]}"
    async with desk_of(app, "administrador") as browser:
        form = await browser.get("/console/empresas/nova")
        assert (await browser.send(form, "/console/empresas/nova", None, name=name, cnpj="1")).status == 422
        asked = {"name": name, "cnpj": "11.444.777/0001-61"}
        assert (await browser.send(form, "/console/empresas/nova", None, **asked)).status == 303
        assert (await browser.send(form, "/console/empresas/nova", None, **asked)).status == 409
        listed = await browser.get("/console/empresas")
        found = re.search(rf'<a href="(/console/empresas/[^"]+/operadores)">{name}</a>', listed.answer.text)
        assert found is not None
        here = found.group(1).replace("operadores", "mudar")
        assert here in (await browser.get(found.group(1))).links
        change = await browser.get(here)
        assert (await browser.send(change, here, None, name=f"{name} Ltda", prefunded="sim")).status == 303
        shown = await browser.get("/console/empresas")
        assert f"{name} Ltda" in shown.text
        assert "R$ 0,00" in shown.text.replace("\xa0", " ")


async def test_the_last_month_that_there_is_has_no_purchases(app: RunningApp) -> None:
    async with desk_of(app, "administrador") as browser:
        for month in ("9999-12", "0001-01", "2026-13"):
            assert (await browser.get(f"/console/meses/{month}")).status == 404
