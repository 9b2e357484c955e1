"""The credit desk's records: what became of people, by form, from a CSV and by the API, and who looked at a CPF."""

from tests.support.app import RunningApp
from tests.support.console import desk_of
from tests.support.credit import PURPOSE, fill_bases
from tests.support.people import new_cpf


async def test_what_became_of_people_is_recorded_by_form_and_from_a_file(app: RunningApp) -> None:
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
        assert "1 registrado(s), 2 com erro" in many.text
        assert "Escreva sim ou não." in many.text
        assert unknown not in many.answer.text
    async with desk_of(app, "auditor") as browser:
        page = await browser.get("/console/consultas-de-credito")
        assert (await browser.send(page, "/console/consultas-de-credito", None, cpf="1")).status == 422
        found = await browser.send(page, "/console/consultas-de-credito", None, cpf=known)
        assert found.status == 200
        assert known not in str(found.answer.url)


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
