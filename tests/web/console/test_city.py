"""The city's desk: rides with an impossible clock, riders' debts, and documents beside what was declared."""

import re

from tests.support import files
from tests.support.app import RunningApp
from tests.support.console import desk_of
from tests.support.documents import upload
from tests.support.people import Person, register
from tests.transit.test_taps import balance, debt, send, tap

TAPS, DEBTS, DOCUMENTS = "/console/viagens", "/console/dividas", "/console/documentos"


async def rider_of(app: RunningApp, name: str, coins: int) -> tuple[Person, str]:
    """Register somebody with so much on their card; return the card's number, too."""
    person = await register(app, full_name=name)
    number: str = (await person.get("/transport-cards")).json()["items"][0]["card_number"]
    assert (await person.post(f"/transport-cards/{number}/recharge", {"amount": coins})).status_code == 200
    return person, number


async def looks_at(person: Person) -> set[str]:
    return {one["action"] for one in (await person.get("/users/me/accesses", limit=100)).json()["items"]}


async def test_a_waiting_ride_is_charged_or_not_and_what_it_leaves_is_a_debt(app: RunningApp) -> None:
    person, number = await rider_of(app, "Rita Passageira", 300)
    held = [tap(number, tapped_at="1970-01-01T00:00:00Z") for _ in range(2)]
    await send(app.person("transit:validate"), held)
    async with desk_of(app, "atendente") as joana, desk_of(app, "atendente") as ivo:
        listed = await joana.get(TAPS)
        assert sum(f"final {number[-4:]} 474 R$ 4,70" in row for row in listed.rows) == 2
        assert number not in listed.answer.text
        rides: dict[str, str] = {}
        for link in {link for link in listed.links if link.startswith(f"{TAPS}/")}:
            shown = await joana.get(link)
            rides |= {one["id"]: link for one in held if one["id"] in shown.text}
        charge, dismiss = f"{rides[held[0]['id']]}/cobrar", f"{rides[held[1]['id']]}/recusar"
        hers, his = await joana.get(charge), await ivo.get(charge)
        assert "Conta como feita quando chegou" in hers.text
        done = await joana.follow(await joana.send(hers, charge))
        assert "Viagem cobrada." in done.text
        assert rides[held[0]["id"]] not in done.links
        assert (await ivo.send(his, charge)).status == 404, "it waits no more"
        asked = await joana.get(dismiss)
        assert (await joana.send(asked, dismiss)).status == 422, "without a reason"
        gone = await joana.follow(await joana.send(asked, dismiss, None, reason="Validador em teste"))
        assert "Viagem recusada: ninguém paga." in gone.text
        (owed,) = [row for row in (await joana.get(DEBTS)).rows if row.startswith("Rita Passageira")]
        assert re.fullmatch(rf"Rita Passageira final {number[-4:]} .+ 474 R\$ 4,70 R\$ 1,70", owed), owed
    assert (await balance(person, number), await debt(person)) == (0, 170)
    assert {"waiting_taps_listed", "ride_debts_listed"} <= await looks_at(person)


async def test_a_picture_stands_beside_what_was_declared(app: RunningApp) -> None:
    person = await register(app, full_name="Dora <b>Documentada</b>")
    picture = files.png()
    made = await upload(person, picture, "rg.png", "image/png", document_type="RG", document_number="1234567")
    assert made.status_code == 201, made.text
    here = f"{DOCUMENTS}/{made.json()['id']}"
    async with desk_of(app, "atendente") as browser:
        assert f"{here}/comparar" in (await browser.get(here)).links
        shown = await browser.get(f"{here}/comparar")
        declared = shown.section("h-dec")
        assert "1234567" in declared
        assert "Dora <b>Documentada</b>" in shown.text
        assert "Dora <b>Documentada</b>" not in shown.answer.text
        assert {f"{here}/conferir", f"{here}/recusar"} <= set(shown.links)
        found = re.search(r'<img class="compare__file" src="([^"]+)"', shown.section("h-arq"))
        assert found is not None, shown.text
        drawn = await app.client.get(found[1].replace("&amp;", "&"))
        assert (drawn.headers["content-type"], drawn.content) == ("image/png", picture)
    assert "document_file_read" in await looks_at(person)


async def test_a_pdf_stands_beside_what_was_declared_in_a_sandbox(app: RunningApp) -> None:
    person, paper = await register(app, full_name="Paula Papel"), files.pdf()
    first, other = [(await upload(person, paper)).json()["id"] for _ in range(2)]
    here = f"{DOCUMENTS}/{first}"
    async with desk_of(app, "atendente") as browser, desk_of(app, "auditor") as auditor:
        shown = await browser.get(f"{here}/comparar")
        found = re.search(r'<iframe class="compare__pdf" src="([^"]+)"', shown.section("h-arq"))
        assert found is not None, shown.text
        framed = found[1].replace("&amp;", "&")
        assert "frame-src 'self'" in shown.answer.headers["content-security-policy"]
        assert "frame-src" not in (await browser.get(here)).answer.headers["content-security-policy"]
        drawn = await browser.client.get(framed)
        assert (drawn.headers["content-type"], drawn.content) == ("application/pdf", paper)
        assert drawn.headers["content-disposition"].startswith("inline")
        assert drawn.headers["content-security-policy"] == "default-src 'none'; sandbox; frame-ancestors 'self'"
        assert drawn.headers["x-frame-options"] == "SAMEORIGIN"
        assert (await auditor.client.get(framed)).status_code == 403, "the claim is asked for again"
        for wrong, status in ((framed.replace(first, other), 403), (framed[:-4] + "AAAA", 403), (f"{here}/pdf", 404)):
            assert (await browser.client.get(wrong)).status_code == status, wrong
        picture = (await upload(person, files.png(), "rg.png", "image/png")).json()["id"]
        beside = await browser.get(f"{DOCUMENTS}/{picture}/comparar")
        link = re.search(r'src="/documents/[^?]+\?([^"]+)"', beside.section("h-arq"))
        assert link is not None
        as_pdf = await browser.client.get(f"{DOCUMENTS}/{picture}/pdf?{link[1]}")
        assert as_pdf.status_code == 404, "only a PDF is sent to a frame"
        outside = await app.client.get(framed.replace("/console/documentos", "/documents").replace("/pdf?", "/file?"))
        assert outside.headers["content-disposition"].startswith("attachment"), "elsewhere it is a download"
