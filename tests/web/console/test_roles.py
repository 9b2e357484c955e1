"""Roles: what each claim opens, what a change gains and loses, a new name, and the end of a role that nobody has."""

from uuid import uuid4

from sqlalchemy import text

from carteira.kit.web.access import EVERY_CLAIM
from carteira.web.console.claim_words import opened_by, opens_of
from carteira.web.console.credit import CLAIMS as CREDIT
from carteira.web.console.screens import GROUPS
from tests.support.app import RunningApp
from tests.support.console import desk_of, operator_of
from tests.support.pages import PlainBrowser
from tests.support.people import Person, register


async def new_role(maker: Person, *claims: str) -> int:
    known = {one["description"]: one["id"] for one in (await maker.get("/claims", limit=100)).json()["items"]}
    body = {"description": f"papel {uuid4().hex[:8]}", "claim_ids": [known[claim] for claim in claims]}
    made = await maker.post("/roles", body)
    assert made.status_code == 201, made.text
    return int(made.json()["id"])


async def acts_on(app: RunningApp, role: int) -> list[str]:
    query = text("SELECT action FROM audit_log WHERE CAST(details ->> 'role_id' AS int) = :role ORDER BY id")
    async with app.database.transaction() as tx:
        return list(await tx.scalars(query, {"role": role}))


async def test_each_claim_stands_with_its_words_and_the_screens_that_it_opens(app: RunningApp) -> None:
    role = await new_role(app.operator(), "benefits:read")
    async with desk_of(app, "administrador") as browser:
        page = await browser.get(f"/console/papeis/{role}")
        assert "Ver contas, compras e empresas de benefícios benefits:read Abre Autorizações, Simulador," in page.text
        opened = {screen.name for group in GROUPS for screen in group.screens if screen.claims}
        assert not [name for name in opened if name not in page.text]


async def test_a_role_of_one_claim_is_shown_only_what_it_opens(app: RunningApp) -> None:
    maker = app.operator()
    known = {one["description"]: one["id"] for one in (await maker.get("/claims", limit=100)).json()["items"]}
    role, person = await new_role(maker), await operator_of(app, "auditor")
    given = await maker.call("PUT", f"/users/{person.id}/role", json={"role_id": role})
    assert given.status_code == 200, given.text
    screens = [screen for group in GROUPS for screen in group.screens]
    browser, wallet = PlainBrowser(app), f"/console/pessoas/{(await register(app)).id}/carteira"
    await browser.sign_in(person)

    async def gets(*claims: str) -> None:
        changed = await maker.call(
            "PUT", f"/roles/{role}/claims", json={"claim_ids": [known[claim] for claim in claims]}
        )
        assert changed.status_code == 200, changed.text

    demanded = {claim for screen in screens for claim in screen.claims}
    assert {"audit:read", *CREDIT} <= demanded
    for claim in sorted(demanded):
        await gets(claim)
        led = {link for link in (await browser.open("/console")).links if link.startswith("/console/")}
        assert {"/console/pendencias", *(one.path for one in screens if one.claims == (claim,))} <= led, claim
        refused = [link for link in sorted(led) if (await browser.get(link)).status >= 400]
        assert not refused, (claim, refused)
    await gets("users:read", CREDIT[0])
    seen = await browser.get(wallet)
    assert (seen.status, "Consultar com a finalidade" in seen.text) == (200, False)
    await gets("users:read", *CREDIT)
    assert "Consultar com a finalidade" in (await browser.get(wallet)).text
    assert (await browser.get("/console/credito")).status == 200
    await browser.client.aclose()


def test_the_claim_to_everything_opens_every_screen() -> None:
    screens = [screen for group in GROUPS for screen in group.screens if screen.claims]
    assert opens_of(GROUPS, EVERY_CLAIM) == [screen.name for screen in screens]
    assert opened_by(GROUPS, [EVERY_CLAIM]) == screens
    assert opened_by(GROUPS, CREDIT[:2]) == []
    assert [screen.name for screen in opened_by(GROUPS, CREDIT)] == ["Consulta"]


async def test_the_editor_says_what_else_a_screen_needs(app: RunningApp) -> None:
    role = await new_role(app.operator(), "audit:read")
    async with desk_of(app, "administrador") as browser:
        page = await browser.get(f"/console/papeis/{role}")
        assert "Abre Consulta (com credit:b:read e credit:c:read)" in page.text
        assert "Abre Consulta (com credit:a:read e credit:b:read)" in page.text


async def test_a_change_says_which_screens_a_role_gains_and_loses(app: RunningApp) -> None:
    maker = app.operator()
    role = await new_role(maker, "audit:read", "users:read")
    known = {one["description"]: one["id"] for one in (await maker.get("/claims", limit=100)).json()["items"]}
    async with desk_of(app, "administrador") as browser:
        path = f"/console/papeis/{role}"
        fields = (await browser.get(path)).form(path).fields
        wanted = [str(known[claim]) for claim in ("users:read", "webhooks:read")]
        asked = await browser.client.post(path, data=fields | {"claim": wanted})
        assert asked.status_code == 200
        shown = asked.text
        for name, words in (("Passa a abrir", "Webhooks"), ("Deixa de abrir", "Auditoria")):
            assert words in shown.partition(name)[2].partition("</dd>")[0], name
        assert "Pessoas" not in shown.partition("Passa a abrir")[2].partition("</dd>")[0]
        assert "Ler e conferir a auditoria (audit:read)" in shown


async def test_a_role_gets_another_name_and_a_name_that_is_taken_is_refused(app: RunningApp) -> None:
    role, name = await new_role(app.operator()), f"leitora {uuid4().hex[:6]}"
    async with desk_of(app, "administrador") as browser:
        path = f"/console/papeis/{role}/nome"
        asked = await browser.get(path)
        assert (await browser.send(asked, path, None, description="")).status == 422
        assert (await browser.send(asked, path, None, description="auditor")).status == 409
        done = await browser.follow(await browser.send(asked, path, None, description=name))
        assert (name in done.text, "O nome mudou." in done.text) == (True, True)
        late = await browser.send(asked, path, None, description="tarde demais")
        assert late.status == 412, "the form was drawn of the former name"
    assert (await app.operator().get(f"/roles/{role}")).json()["description"] == name
    assert await acts_on(app, role) == ["role_added", "role_renamed"]


async def test_a_role_that_nobody_has_is_deleted_and_another_is_not(app: RunningApp) -> None:
    maker = app.operator()
    role = await new_role(maker, "audit:read")
    person = await operator_of(app, "auditor")
    given = await maker.call("PUT", f"/users/{person.id}/role", json={"role_id": role})
    assert given.status_code == 200, given.text
    async with desk_of(app, "administrador") as browser:
        path = f"/console/papeis/{role}/apagar"
        asked = await browser.get(path)
        assert "Ler e conferir a auditoria" in asked.text
        refused = await browser.send(asked, path)
        assert refused.status == 409
        assert (await maker.get(f"/roles/{role}")).status_code == 200
        listed = (await maker.get("/roles", limit=100)).json()["items"]
        citizen = next(one["id"] for one in listed if one["description"] == "cidadão")
        assert (await maker.call("PUT", f"/users/{person.id}/role", json={"role_id": citizen})).is_success
        done = await browser.follow(await browser.send(asked, path))
        assert "foi apagado" in done.text
        fixed = next(one["id"] for one in listed if one["description"] == "administrador")
        assert f"/console/papeis/{fixed}/apagar" not in (await browser.get(f"/console/papeis/{fixed}")).links
        path = f"/console/papeis/{fixed}/apagar"
        assert (await browser.send(await browser.get(path), path)).status == 409
    assert (await maker.get(f"/roles/{role}")).status_code == 404
    assert (await acts_on(app, role))[-1] == "role_deleted"
