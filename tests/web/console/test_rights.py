"""Requests of people about their data, and CPFs in dispute: listed by filters in the address, decided once."""

from sqlalchemy import text

from carteira.assistant.tickets import open_ticket
from carteira.kit.values.ids import uuid7
from tests.support.app import RunningApp
from tests.support.console import desk_of, operator_of
from tests.support.pages import PlainBrowser
from tests.support.people import Person, register, sign_in

REQUESTS, DISPUTES = "/console/pedidos", "/console/cpfs-em-disputa"
HOSTILE = "Quero <b>tudo</b> o que têm"


async def ask(app: RunningApp, person: Person, **typed: str) -> None:
    """Ask for something in the wallet."""
    browser = PlainBrowser(app)
    await browser.sign_in(person)
    page = await browser.get("/app/dados/pedidos")
    assert (await browser.send(page, "/app/dados/pedidos", None, **typed | {"message": "x"})).status == 422
    sent = await browser.follow(await browser.send(page, "/app/dados/pedidos", None, **typed))
    assert "Pedido enviado." in sent.text
    assert "Resposta até" in sent.text
    await browser.send(page, "/app/dados/pedidos", None, **typed)
    assert (await browser.get("/app/dados/pedidos")).text.count("Resposta até") == 1, "a double click sends one"
    await browser.client.aclose()


async def test_a_request_is_answered_once_and_the_second_operator_reads_who_did(app: RunningApp) -> None:
    person = await register(app, full_name="Otília Titular")
    await ask(app, person, kind="copy", message=HOSTILE)
    async with (
        desk_of(app, "administrador", full_name="Joana Prates") as joana,
        desk_of(app, "administrador", full_name="Ivo Sampaio") as ivo,
    ):
        listed = await joana.get(f"{REQUESTS}?tipo=copy")
        assert "Otília Titular" in listed.text
        assert "Otília Titular" not in (await joana.get(f"{REQUESTS}?tipo=erasure")).text
        assert "Otília Titular" not in (await joana.get(f"{REQUESTS}?situacao=respondidos")).text
        here = next(link for link in listed.links if link.startswith(f"{REQUESTS}/"))
        shown = await joana.get(here)
        assert HOSTILE in shown.text
        assert HOSTILE not in shown.answer.text
        hers, his = await joana.get(f"{here}/atender"), await ivo.get(f"{here}/recusar")
        assert (await joana.send(hers, f"{here}/atender")).status == 422
        done = await joana.send(hers, f"{here}/atender", None, answer="Baixada com a pessoa, no balcão.")
        assert "Pedido respondido." in (await joana.follow(done)).text
        late = await ivo.send(his, f"{here}/recusar", None, answer="Não é o titular.")
        assert (late.status, "Joana Prates já respondeu." in late.text) == (409, True)
        assert "Otília Titular" in (await ivo.get(f"{REQUESTS}?situacao=respondidos&tipo=copy")).text
    browser = PlainBrowser(app)
    await browser.sign_in(person)
    assert "Baixada com a pessoa, no balcão." in (await browser.get("/app/dados/pedidos")).text
    await browser.client.aclose()


async def test_a_request_made_at_the_counter_is_written_down(app: RunningApp) -> None:
    person = await register(app, full_name="Zé do Balcão")
    path = f"/console/pessoas/{person.id}/pedido"
    async with desk_of(app, "atendente") as browser:
        assert path in (await browser.get(f"/console/pessoas/{person.id}")).links
        page = await browser.get(path)
        assert (await browser.send(page, path, None, message="Apagar tudo")).status == 422
        typed = {"kind": "erasure", "message": "Apagar\r\ntudo"}
        sent = await browser.send(page, path, None, **typed)
        made = await browser.follow(sent)
        assert "Pedido anotado." in made.text
        again = await browser.send(page, path, None, **typed)
        assert again.answer.headers["location"] == sent.answer.headers["location"], "a double click writes one"
        assert "Já recebemos este pedido" in (await browser.follow(again)).text
        assert "Um operador anotou" in made.text
        listed = await browser.get(f"{REQUESTS}?tipo=erasure&ordem=novas")
        here = next(link for link in listed.links if link.startswith(f"{REQUESTS}/"))
        assert f"{here}/atender" not in made.links, "who writes down is offered no decision"
    async with desk_of(app, "administrador") as browser:
        assert {f"{here}/atender", f"/console/pessoas/{person.id}/apagar"} <= set((await browser.get(here)).links)
        assert "a responder" in (await browser.get("/console")).text
    async with desk_of(app, "auditor") as browser:
        assert f"{here}/atender" not in (await browser.get(here)).links, "who only reads is offered no decision"
        assert path not in (await browser.get(f"/console/pessoas/{person.id}")).links
    async with desk_of(app, "aprovador") as browser:
        assert (await browser.get(REQUESTS)).status == 403


async def dispute(app: RunningApp, holder: Person, claimant: Person) -> str:
    """Have two people prove one CPF; return the case."""
    prover = app.person("identity:prove")
    body = {"cpf": holder.cpf, "paper": "rg"}
    proven = await prover.post(f"/users/{holder.id}/cpf-proof", body)
    assert proven.status_code == 200, proven.text
    second = await app.person("identity:prove").post(f"/users/{claimant.id}/cpf-proof", body)
    assert second.json()["code"] == "cpf_disputed", second.text
    async with app.database.transaction() as tx:
        found = await tx.scalar(text("SELECT id FROM cpf_disputes WHERE claimant_id = :id"), {"id": claimant.id})
    return f"{DISPUTES}/{found}"


async def test_a_disputed_cpf_stays_and_the_second_decision_is_refused(app: RunningApp) -> None:
    holder, claimant = await register(app, full_name="Dona Primeira"), await register(app, full_name="Dona Segunda")
    here = await dispute(app, holder, claimant)
    async with desk_of(app, "atendente") as joana, desk_of(app, "atendente") as ivo:
        listed = await joana.get(f"{DISPUTES}?como=operator")
        assert "Dona Primeira" in listed.text
        assert holder.cpf not in listed.answer.text
        assert "Dona Primeira" not in (await joana.get(f"{DISPUTES}?como=govbr")).text
        hers, his = await joana.get(f"{here}/manter"), await ivo.get(f"{here}/retirar")
        assert "não se abre de novo" in hers.text
        assert "o CPF fica com quem está" in (await joana.follow(await joana.send(hers, f"{here}/manter"))).text
        late = await ivo.send(his, f"{here}/retirar")
        assert (late.status, "Isto mudou depois de ser mostrado" in late.text) == (412, True)
        assert "Ficou na mesma conta" in (await ivo.get(f"{DISPUTES}?situacao=decididos")).text
        again = {"cpf": holder.cpf, "paper": "rg"}
        refused = await app.person("identity:prove").post(f"/users/{claimant.id}/cpf-proof", again)
        assert refused.json()["code"] == "cpf_disputed"
        assert "Dona Primeira" not in (await ivo.get(DISPUTES)).text, "decided once"
        path = f"/console/pessoas/{holder.id}/retirar-comprovacao"
        assert path in (await ivo.get(here)).links
        assert path in (await ivo.get(f"/console/pessoas/{holder.id}")).links
        his, hers = await ivo.get(path), await joana.get(path)
        assert "o CPF está só como digitado" in (await ivo.follow(await ivo.send(his, path))).text
        assert (await joana.send(hers, path)).status == 412
        assert path not in (await ivo.get(here)).links
    looks = (await (await sign_in(claimant)).get("/users/me/accesses", limit=100)).json()["items"]
    assert "cpf_disputes_listed" in {one["action"] for one in looks}
    moved = await app.person("identity:prove").post(f"/users/{claimant.id}/cpf-proof", again)
    assert moved.status_code == 200, moved.text


async def test_a_disputed_cpf_moves_once_its_holders_proof_is_withdrawn(app: RunningApp) -> None:
    holder, claimant = await register(app), await register(app, full_name="Dona Certa")
    here = await dispute(app, holder, claimant)
    async with desk_of(app, "atendente") as browser:
        asked = await browser.get(f"{here}/retirar")
        gone = await browser.follow(await browser.send(asked, f"{here}/retirar"))
        assert "Agora comprove o CPF de Dona Certa." in gone.text
        assert "o CPF passa para a conta de quem o comprovar agora" in gone.text
        prove = f"/console/pessoas/{claimant.id}/comprovar-cpf"
        assert prove in gone.links
        done = await browser.send(await browser.get(prove), prove, None, cpf=holder.cpf, paper="rg")
        assert done.status == 303, done.text
        assert "Passou para a outra conta" in (await browser.get(here)).text


async def test_erased_people_are_shown_as_such_in_their_case(app: RunningApp) -> None:
    holder, claimant = await register(app, full_name="Dona Restante"), await register(app)
    here = await dispute(app, holder, claimant)
    gone = await (await sign_in(claimant)).call("DELETE", f"/users/{claimant.id}")
    assert gone.status_code == 204, gone.text
    async with desk_of(app, "atendente") as browser:
        assert "conta apagada" in (await browser.get(here)).text
        asked = await browser.get(f"{here}/manter")
        assert "conta apagada continua sem este CPF" in asked.text
        assert (await browser.send(asked, f"{here}/manter")).status == 303


async def test_people_in_a_case_do_not_decide_it(app: RunningApp) -> None:
    holder = await register(app)
    operator = await operator_of(app, "atendente")
    here = await dispute(app, holder, operator)
    browser = PlainBrowser(app)
    await browser.sign_in(operator)
    assert f"{here}/manter" not in (await browser.get(here)).links
    for act in ("manter", "retirar"):
        sent = await browser.send(await browser.get(f"{here}/{act}"), f"{here}/{act}")
        assert (sent.status, "Ninguém comprova o próprio CPF" in sent.text) == (403, True), act
    await browser.client.aclose()


async def test_older_requests_are_on_the_next_page(app: RunningApp) -> None:
    person = await register(app)
    asked = (
        "INSERT INTO data_requests"
        " (id, user_id, kind, message, asked_by, created_at, due_on, answered_at, outcome, answer)"
    )
    async with app.database.transaction() as tx:
        for number in range(21):
            values = " VALUES (:id, :user, 'other', :message, :user, now(), current_date, now(), 'fulfilled', 'Feito.')"
            told = {"id": uuid7(), "user": person.id, "message": f"pedido {number:02}"}
            await tx.execute(text(asked + values), told)
    browser = PlainBrowser(app)
    await browser.sign_in(person)
    first = await browser.get("/app/dados/pedidos")
    assert ("pedido 20" in first.text, "pedido 00" in first.text) == (True, False)
    older = next(link for link in first.links if "?antes=" in link)
    second = await browser.get(older)
    assert ("pedido 20" in second.text, "pedido 00" in second.text) == (False, True)
    await browser.client.aclose()


async def test_nobody_answers_their_own_ticket(app: RunningApp) -> None:
    operator, other = await operator_of(app, "atendente"), await register(app)
    async with app.database.transaction() as tx:
        own, theirs = [await open_ticket(tx, person.id, "Falar com alguém") for person in (operator, other)]
    browser = PlainBrowser(app)
    await browser.sign_in(operator)
    assert "Este atendimento é seu" in (await browser.get(f"/console/atendimentos/{own.id}")).text
    path = f"/console/atendimentos/{own.id}/responder"
    assert path not in (await browser.get(f"/console/atendimentos/{own.id}")).links
    sent = await browser.send(await browser.get(path), path, None, answer="Resolvido.")
    assert (sent.status, "Ninguém responde o próprio atendimento" in sent.text) == (403, True)
    path = f"/console/atendimentos/{theirs.id}/responder"
    assert (await browser.send(await browser.get(path), path, None, answer="Resolvido.")).status == 303
    await browser.client.aclose()
