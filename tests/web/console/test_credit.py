"""The credit desk's records: outcomes of loans, by form, CSV and API, and who looked at a CPF."""

import re

from sqlalchemy import text

from carteira.credit.desk import KEPT_FOR
from carteira.credit.score import shipped
from carteira.kit.values.cpf import mask_cpf
from carteira.kit.web.state import REDIS
from tests.support.app import RunningApp
from tests.support.console import desk_of
from tests.support.credit import PURPOSE, fill_bases, store_model
from tests.support.pages import plain
from tests.support.people import new_cpf


async def test_outcomes_are_recorded_by_form_and_from_a_file(app: RunningApp) -> None:
    known, unknown = new_cpf(), new_cpf()
    operator = app.operator()
    operator.headers |= PURPOSE
    await fill_bases(operator, known)
    async with desk_of(app, "analista de crédito") as browser:
        form = await browser.get("/console/desfechos")
        path = "/console/desfechos/um"
        assert (await browser.send(form, path, None, cpf=known)).status == 422
        assert (await browser.send(form, path, None, cpf=unknown, defaulted="sim")).status == 404
        done = await browser.follow(await browser.send(form, path, None, cpf=known, defaulted="nao"))
        assert "registrado." in done.text
        assert known not in str(done.answer.url)
        path = "/console/desfechos/arquivo"
        assert (await browser.send(form, path, None, lines="isto não é uma planilha")).status == 422
        lines = f"cpf;inadimplente\n{known};sim\n{unknown};não\n{known};talvez\n"
        many = await browser.send(form, path, None, lines=lines)
        assert "1 registrado, 2 com erro" in many.text
        assert "Escreva sim ou não." in many.text
        assert unknown not in many.answer.text
    async with desk_of(app, "auditor") as browser:
        page = await browser.get("/console/consultas-de-credito")
        assert (await browser.send(page, "/console/consultas-de-credito", None, cpf="1")).status == 422
        found = await browser.send(page, "/console/consultas-de-credito", None, cpf=known)
        assert found.status == 200
        assert known not in str(found.answer.url)


async def looks_at_credit(app: RunningApp) -> int:
    async with app.database.transaction() as tx:
        return int(await tx.scalar(text("SELECT count(*) FROM audit_log WHERE action = 'credit_profile_read'")))


async def test_a_look_has_an_address_of_its_own_for_its_maker_and_some_minutes(app: RunningApp) -> None:
    cpf = new_cpf()
    operator = app.operator()
    operator.headers |= PURPOSE
    await fill_bases(operator, cpf)
    home = "/console/credito"
    async with desk_of(app, "analista de crédito") as maker, desk_of(app, "analista de crédito") as other:
        sent = await maker.send(await maker.get(home), home, None, cpf=cpf, purpose="credit_analysis")
        assert sent.status == 303
        place = sent.answer.headers["location"]
        before = await looks_at_credit(app)
        for _ in range(2):
            shown = await maker.get(place)
            assert (shown.status, "Análise de crédito" in shown.text, "de 1000" in shown.text) == (200, True, True)
            assert mask_cpf(cpf) in shown.text
            assert cpf not in shown.answer.text
        assert await looks_at_credit(app) == before, "reading it again is no look"
        refused = await other.get(place)
        assert (refused.status, mask_cpf(cpf) in refused.text) == (404, False)
        redis = REDIS.of(app.api)
        assert redis is not None
        name = f"credit-look:{place.rpartition('/')[2]}"
        assert 0 < await redis.ttl(name) <= KEPT_FOR.total_seconds()
        stored = await redis.get(name)
        assert stored is not None
        assert b"base_a" not in stored, "it is sealed"
        await redis.delete(name)
        assert "Esta consulta não está mais aqui" in (await maker.get(place)).text


async def test_a_score_tells_its_reasons_and_a_look_is_listed_with_its_purpose(app: RunningApp) -> None:
    cpf, operator = new_cpf(), app.operator()
    operator.headers |= PURPOSE
    await fill_bases(operator, cpf)
    score = (await operator.get(f"/credit/{cpf}/score")).json()
    assert len(score["reasons"]) == 3
    home = "/console/credito"
    async with desk_of(app, "analista de crédito", full_name="Fábia Analista") as browser:
        asked = {"cpf": cpf, "purpose": "fraud_prevention"}
        shown = await browser.follow(await browser.send(await browser.get(home), home, None, **asked))
        told = plain(shown.section("h-sco"))
        assert f"{score['score']} de 1000, faixa {score['band']} {score['band_description']}" in told
        for reason in score["reasons"]:
            assert f"{reason['code']} {reason['text']} {reason['points']} de {reason['max_points']}" in told, reason
    looks = "/console/consultas-de-credito"
    async with desk_of(app, "auditor") as browser:
        found = await browser.send(await browser.get(looks), looks, None, cpf=cpf)
        (row, *earlier) = found.rows
        assert re.search("Fábia Analista .+ Prevenção a fraude Sim$", row), row
        assert not [one for one in earlier if "Fábia Analista" in one], "one look, one row"
        nobody = await browser.send(await browser.get(looks), looks, None, cpf=new_cpf())
        assert nobody.rows == []


async def test_the_api_records_the_same(app: RunningApp) -> None:
    cpf = new_cpf()
    operator = app.operator()
    operator.headers |= PURPOSE
    await fill_bases(operator, cpf)
    analyst = app.person("credit:outcomes:write")
    assert (await analyst.call("PUT", f"/credit/{cpf}/outcome", json={"defaulted": True})).status_code == 204
    wrong = await analyst.call("PUT", f"/credit/{cpf}/outcome", json={"defaulted": "sim"})
    assert wrong.status_code == 422
    csv = {"Content-Type": "text/csv"}
    sent = await analyst.call("POST", "/credit/outcomes", content=f"cpf;inadimplente\n{cpf};não\n", headers=csv)
    assert sent.status_code == 200, sent.text
    assert (sent.json()["recorded"], sent.json()["failed"]) == (1, 0)
    assert (await analyst.call("POST", "/credit/outcomes", json=[])).status_code == 415
    assert (await app.person().call("POST", "/credit/outcomes", content="x", headers=csv)).status_code == 403


async def test_a_model_is_put_in_force_by_two_and_gone_back_from_by_one(app: RunningApp) -> None:
    model = await store_model(app.database, "console", -40)
    async with (
        desk_of(app, "analista de crédito", full_name="Nélio Faria") as nelio,
        desk_of(app, "analista de crédito", full_name="Berta Lins") as berta,
    ):
        listed = await nelio.get("/console/modelos")
        assert "Nunca valeu" in listed.text
        path = f"/console/modelos/{model}"
        shown = await nelio.get(path)
        assert "0,7412" in shown.text
        asked = await nelio.get(f"{path}/escolher")
        assert "Outra pessoa aprova antes" in asked.text
        assert (await nelio.send(asked, f"{path}/escolher")).status == 422
        changed = await nelio.send(asked, f"{path}/escolher", None, reason="Sem olhar", instead_of="NÃO HÁ!")
        assert changed.status == 422
        sent = await nelio.follow(await nelio.send(asked, f"{path}/escolher", None, reason="12 meses de desfechos"))
        assert "outra pessoa aprova aqui" in sent.text
        waiting = next(link for link in (await berta.get("/console/pendencias")).links if "/pendencias/" in link)
        assert "12 meses de desfechos" in (await berta.get(waiting)).text
        approve = f"{waiting}/aprovar"
        assert (await berta.send(await berta.get(approve), approve)).status == 303
        assert "Em vigor desde" in (await nelio.get(path)).text
        assert "Nélio Faria, aprovado por Berta Lins" in (await nelio.get(path)).text
        stale = await nelio.send(await nelio.get(f"{path}/escolher"), f"{path}/escolher", None, reason="De novo")
        assert (stale.status, "já está em vigor" in stale.text) == (409, True)
        back = f"/console/modelos/{shipped().model_version}/escolher"
        done = await berta.follow(await berta.send(await berta.get(back), back, None, reason="Pior na prática"))
        assert "está em vigor." in done.text
    async with desk_of(app, "auditor") as browser:
        assert f"{path}/escolher" not in (await browser.get(path)).links, "a reader sees no buttons"
        assert (await browser.get("/console/modelos/nenhum")).status == 404
