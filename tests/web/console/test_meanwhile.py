"""A change that another person makes meanwhile is neither overwritten nor approved, on pages and by the API."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import TextClause, text
from validate_docbr import CNPJ

from tests.support import files
from tests.support.app import RunningApp
from tests.support.benefits import benefit_balances, open_benefit_account
from tests.support.console import desk_of
from tests.support.documents import upload
from tests.support.machines import new_machine
from tests.support.pages import PlainBrowser, Shown
from tests.support.people import Person, register
from tests.support.resellers import approved_purchase, new_month, new_operator, new_reseller
from tests.web.console.test_acts import marked, sure

PURCHASES = "/console/compras"
REJECT = f"{PURCHASES}/reprovar"
CHANGED = "Isto mudou depois de ser mostrado a você."


async def new_employer(maker: Person) -> UUID:
    made = await maker.post("/benefits/employers", {"cnpj": CNPJ().generate(), "name": "Padaria"})
    assert made.status_code == 201, made.text
    return UUID(made.json()["id"])


async def post(browser: PlainBrowser, page: Shown, action: str, form: str = "", **fields: object) -> Shown:
    """Send a page's form, in which a name may occur several times, by a button with an action of its own."""
    return Shown(await browser.client.post(action, data=page.form(form or action).fields | fields))


def mark_of(page: Shown, purchase_id: str) -> str:
    """Return the value of a purchase's tick in the list."""
    return next(value for name, value in page.attributes if name == "value" and value.startswith(purchase_id))


async def test_purchases_that_changed_are_not_approved_and_the_others_are(app: RunningApp) -> None:
    seller, clerk = await new_reseller(app), new_operator(app)
    dear, cheap, gone = [await seller.buy(10_000, new_month()) for _ in range(3)]
    approve = f"{PURCHASES}/aprovar"

    async def change(bought: Mapping[str, Any], amount: int) -> None:
        body = {"code": bought["code"], "amount": amount, "date": bought["date"]}
        changed = await clerk.call("PUT", f"/purchases/{bought['id']}", json=body)
        assert changed.status_code == 200, changed.text

    async with desk_of(app, "aprovador") as browser:
        page = await browser.get(PURCHASES)
        marks = [mark_of(page, one["id"]) for one in (dear, cheap, gone)]
        await change(dear, 90_000)
        asked = await post(browser, page, approve, REJECT, id=marks)
        assert "Aprovar 2 compras?" in asked.text, "what changed since the list is left out"
        assert f"{dear['code']} mudou depois de mostrada" in asked.text
        assert "agora são R$ 900,00" in asked.text
        await clerk.call("DELETE", f"/purchases/{gone['id']}")
        done = await browser.follow(await post(browser, asked, approve, id=marks[1:]))
        assert "1 aprovada." in done.text
        assert (await clerk.read(f"/purchases/{dear['id']}"))["status"] == "Em validação"
        assert (await clerk.read(f"/purchases/{cheap['id']}"))["status"] == "Aprovado"

        fresh = await browser.get(PURCHASES)
        asked = await post(browser, fresh, approve, REJECT, id=[mark_of(fresh, dear["id"])])
        await change(dear, 70_000)
        late = await browser.follow(await post(browser, asked, approve))
        assert f"{dear['code']} mudou depois de mostrada e não foi decidida: agora são R$ 700,00" in late.text
        assert (await clerk.read(f"/purchases/{dear['id']}"))["status"] == "Em validação"

        other = await seller.buy(10_000, new_month())
        fresh = await browser.get(PURCHASES)
        marks = [mark_of(fresh, one["id"]) for one in (dear, other)]
        asked = await post(browser, fresh, approve, REJECT, id=marks)
        await change(dear, 60_000)
        await change(other, 60_000)
        none = await browser.follow(await post(browser, asked, approve, id=marks))
        assert none.text.count(f"{dear['code']} mudou depois de mostrada") == 1, "told once of each"


async def test_a_role_that_somebody_else_changed_is_not_overwritten(app: RunningApp) -> None:
    maker = app.operator()
    known = {one["description"]: one["id"] for one in (await maker.get("/claims", limit=100)).json()["items"]}
    made = await maker.post("/roles", {"description": f"papel {uuid4().hex[:6]}", "claim_ids": []})
    path = f"/console/papeis/{made.json()['id']}"
    async with desk_of(app, "administrador") as first, desk_of(app, "administrador") as second:
        hers, his = await first.get(path), await second.get(path)
        asked = await first.send(hers, path, None, claim=str(known["benefits:read"]))
        assert (await first.send(asked, path)).status == 303
        late = await second.send(his, path, None, claim=str(known["users:read"]))
        assert CHANGED in late.text
        sent = await second.send(late, path)
        assert (sent.status, CHANGED in sent.text) == (412, True)
    held = (await maker.get(f"/roles/{made.json()['id']}")).json()["claims"]
    assert [claim["description"] for claim in held] == ["benefits:read"]


async def test_a_persons_role_that_somebody_else_changed_is_not_overwritten(app: RunningApp) -> None:
    person = await register(app)
    roles = (await app.operator().get("/roles", limit=100)).json()["items"]
    ids = {one["description"]: str(one["id"]) for one in roles}
    path = f"/console/pessoas/{person.id}/papel"
    async with desk_of(app, "administrador") as first, desk_of(app, "administrador") as second:
        hers, his = await first.get(path), await second.get(path)
        assert (await first.send(hers, path, None, role=ids["atendente"])).status == 303
        late = await second.send(his, path, None, role=ids["RH"])
        assert (late.status, CHANGED in late.text) == (412, True)
    assert (await app.operator().get(f"/users/{person.id}/role")).json()["description"] == "atendente"


async def test_a_clients_claims_that_somebody_else_changed_are_not_overwritten(app: RunningApp) -> None:
    machine = await new_machine(app.operator(), "benefits:read", name=f"ERP {uuid4().hex[:6]}")
    path = f"/console/clientes/{machine.id}/permissoes"
    async with desk_of(app, "administrador") as first, desk_of(app, "administrador") as second:
        hers, his = await first.get(path), await second.get(path)
        assert (await post(first, hers, path, claims=["webhooks:read"])).status == 303
        late = await post(second, his, path, claims=["benefits:read", "users:read"])
        assert (late.status, CHANGED in late.text, "Ver como está agora" in late.text) == (412, True, True)
        shown = await first.get(f"/console/clientes/{machine.id}")
        assert "users:read" not in shown.text
        fresh = await second.get(path)
        assert (await post(second, fresh, path, claims=["benefits:read"])).status == 303


async def test_a_category_and_a_rule_that_somebody_else_changed_are_not_overwritten(app: RunningApp) -> None:
    name, shop = f"FUEL_{uuid4().hex[:4].upper()}", f"POSTO {uuid4().hex[:6].upper()}"
    path, rule = "/console/estabelecimentos/categoria", "/console/estabelecimentos/regra"
    async with desk_of(app, "administrador") as first, desk_of(app, "administrador") as second:
        new = await first.get(path)
        asked = await first.send(new, path, None, category=name, regime="free", mccs="5541")
        assert (await first.send(asked, path)).status == 303
        twice = await second.send(
            await second.get(path), path, None, category=name, regime="free", mccs="5542", certo="sim"
        )
        assert (twice.status, "Já há uma categoria com este nome." in twice.text) == (422, True)
        his = await second.get(f"{path}?nome={name}")
        hers = await first.send(await first.get(f"{path}?nome={name}"), path, None, mccs="5541 5542", regime="free")
        assert (await first.send(hers, path)).status == 303
        late = await second.send(his, path, None, mccs="5541", regime="free")
        assert CHANGED in late.text
        assert (await second.send(late, path)).status == 412
        assert "5541 5542" in (await first.get(f"{path}?nome={name}")).answer.text

        asked = await first.send(await first.get(rule), rule, None, name=shop, mcc="5411")
        assert (await first.send(asked, rule)).status == 303
        again = await second.send(await second.get(rule), rule, None, name=shop.lower(), mcc="5811")
        assert (again.status, "Já há uma regra para este nome." in again.text) == (422, True)
        his = await second.get(f"{rule}?nome={shop}&mcc=5411")
        asked = await first.send(await first.get(f"{rule}?nome={shop}&mcc=5411"), rule, None, mcc="5811")
        assert (await first.send(asked, rule)).status == 303
        late = await second.send(his, rule, None, mcc="5999", certo="sim")
        assert (late.status, CHANGED in late.text) == (412, True)
        gone = await second.client.post(
            "/console/estabelecimentos/tirar", data=his.form(rule).fields | {"certo": "sim"}
        )
        assert gone.status_code == 412


async def test_tiers_that_somebody_else_changed_are_not_overwritten_nor_removed(app: RunningApp) -> None:
    path, month = "/console/faixas/nova", "2091-03"
    async with desk_of(app, "aprovador") as first, desk_of(app, "aprovador") as second:
        hers, his = await first.get(path), await second.get(path)
        assert (await first.send(hers, path, None, valid_from=month, tiers="0,00;5")).status == 303
        taken = await second.send(his, path, None, valid_from=month, tiers="0,00;7")
        assert (taken.status, "Já há faixas que começam neste mês." in taken.text) == (422, True)
        hers, his = [await one.get(f"/console/faixas/{month}/mudar") for one in (first, second)]
        removal = f"/console/faixas/{month}/tirar"
        asked = await second.get(removal)
        assert (await first.send(hers, path, None, tiers="0,00;6", valid_from=month)).status == 303
        late = await second.send(his, path, None, tiers="0,00;8", valid_from=month)
        assert (late.status, CHANGED in late.text) == (412, True)
        kept = await second.send(asked, removal)
        assert (kept.status, CHANGED in kept.text) == (412, True)
        assert "6%" in (await first.get(f"/console/faixas/{month}")).text
        assert (await first.send(await first.get(removal), removal)).status == 303


async def test_a_month_that_would_credit_something_else_is_not_closed(app: RunningApp) -> None:
    seller, day = await new_reseller(app), new_month()
    await approved_purchase(app, seller, 10_000, day)
    path = f"/console/meses/{day:%Y-%m}/fechar"
    async with desk_of(app, "aprovador") as browser:
        asked = await browser.get(path)
        assert "R$ 10,00, é creditado" in asked.text
        await approved_purchase(app, seller, 20_000, day)
        late = await browser.send(asked, path)
        assert (late.status, CHANGED in late.text) == (412, True)
        done = await browser.follow(await browser.send(await browser.get(path), path))
        assert "R$ 30,00 creditados." in done.text


async def test_an_employer_that_somebody_else_changed_is_not_overwritten(app: RunningApp) -> None:
    employer = await new_employer(app.operator())
    path = f"/console/empresas/{employer}/mudar"
    async with desk_of(app, "administrador") as first, desk_of(app, "administrador") as second:
        hers, his = await first.get(path), await second.get(path)
        assert (await first.send(hers, path, None, name="Padaria Nova")).status == 303
        late = await second.send(his, path, None, name="Padaria Velha")
        assert (late.status, CHANGED in late.text) == (412, True)
    assert (await app.operator().get(f"/benefits/employers/{employer}")).json()["name"] == "Padaria Nova"


async def test_a_form_without_the_version_that_was_shown_is_refused_and_drawn_again(app: RunningApp) -> None:
    person, employer = await register(app), await new_employer(app.operator())
    machine = await new_machine(app.operator(), "benefits:read", name=f"ERP {uuid4().hex[:6]}")
    role = (await app.operator().post("/roles", {"description": f"papel {uuid4().hex[:6]}", "claim_ids": []})).json()
    cases: list[tuple[str, str, dict[str, str]]] = [
        (f"/console/papeis/{role['id']}", "", {"certo": "sim"}),
        (f"/console/pessoas/{person.id}/papel", "", {}),
        (f"/console/pessoas/{person.id}/contatos", "", {"email": "outra@exemplo.com.br"}),
        (f"/console/clientes/{machine.id}/permissoes", "", {}),
        (f"/console/empresas/{employer}/mudar", "", {"name": "Padaria Cega"}),
        ("/console/faixas/dia", "", {"valid_from": "2093-01", "day": "7"}),
        ("/console/faixas/nova", "", {"valid_from": "2093-01", "tiers": "0,00;5"}),
        ("/console/estabelecimentos/categoria", "?nome=FOOD", {"certo": "sim"}),
        ("/console/estabelecimentos/regra", "", {"name": "LOJA CEGA", "mcc": "5411", "certo": "sim"}),
    ]
    async with desk_of(app, "administrador") as browser:
        for path, query, typed in cases:
            shown = (await browser.get(path + query)).form(path)
            blind = {name: text for name, text in shown.fields.items() if name != "visto"}
            refused = Shown(await browser.client.post(path, data=blind | typed))
            assert refused.status == 422, (path, refused.text)
            assert "chegou sem dizer o que você viu" in refused.text, path
            assert refused.form(path).fields["visto"], path
        page = await browser.get(PURCHASES)
        bought = await (await new_reseller(app)).buy(10_000, new_month())
        unseen = await browser.follow(await post(browser, page, f"{PURCHASES}/aprovar", REJECT, id=[bought["id"]]))
        assert f"{bought['code']} mudou depois de mostrada" in unseen.text
    assert (await app.operator().get(f"/benefits/employers/{employer}")).json()["name"] == "Padaria"


async def test_a_closing_day_and_contacts_that_somebody_else_changed_are_not_overwritten(app: RunningApp) -> None:
    person = await register(app)
    day, contacts = "/console/faixas/dia", f"/console/pessoas/{person.id}/contatos"
    async with desk_of(app, "administrador") as first, desk_of(app, "administrador") as second:
        hers, his = await first.get(day), await second.get(day)
        assert (await first.send(hers, day, None, valid_from="2094-01", day="7")).status == 303
        late = await second.send(his, day, None, valid_from="2094-01", day="9")
        assert (late.status, CHANGED in late.text, "dia 7" in late.text) == (412, True, True)
        hers, his = await first.get(contacts), await second.get(contacts)
        assert (await first.send(hers, contacts, None, phone="11955554444")).status == 303
        late = await second.send(his, contacts, None, phone="11955553333")
        assert (late.status, CHANGED in late.text) == (412, True)


async def holds_its_version(person: Person, read: str, write: str, body: Mapping[str, Any], *, method: str) -> None:
    """Write with a stale version, with the present one, and without any."""
    stale = (await person.get(read)).headers["ETag"]
    done = await person.call(method, write, json=dict(body), headers={"If-Match": stale})
    assert done.status_code == 200, (write, done.text)
    late = await person.call(method, write, json=dict(body), headers={"If-Match": stale})
    assert (late.status_code, late.json()["code"]) == (412, "record_changed"), write
    absent = await person.call(method, write, json=dict(body), headers={"If-None-Match": "*"})
    assert absent.status_code == 412, write
    assert (await person.call(method, write, json=dict(body))).status_code == 200, "without a version, as ever"


async def test_routes_that_write_whole_hold_the_version_that_was_read(app: RunningApp) -> None:
    maker = app.operator()
    claims = {one["description"]: one["id"] for one in (await maker.get("/claims", limit=100)).json()["items"]}
    role = (await maker.post("/roles", {"description": f"papel {uuid4().hex[:6]}", "claim_ids": []})).json()["id"]
    machine = await new_machine(maker, "benefits:read", name=f"ERP {uuid4().hex[:6]}")
    employer = await new_employer(maker)
    name, shop = f"BOOKS_{uuid4().hex[:4].upper()}", f"livraria-{uuid4().hex[:6]}"
    category = f"/benefits/categories/{name}"
    made = await maker.call("PUT", category, json={"mccs": [], "regime": "free"})
    assert made.status_code == 200, made.text
    await maker.call("PUT", "/benefits/merchants", json={"name": shop, "mcc": "5411"})
    month = "/cashback/tiers/2092-01"
    await new_operator(app).call("PUT", month, json={"tiers": [{"above": 0, "percentage": 1}]})
    person, day = await register(app), "/cashback/closing-days/2092-01"
    whole = {"full_name": "Mais Uma", "email": person.email, "cpf": person.cpf, "birth_date": "1990-01-01"}
    await new_operator(app).call("PUT", day, json={"day": 8})
    seller, clerk = await new_reseller(app), new_operator(app)
    bought = await seller.buy(10_000, new_month())
    purchase = f"/purchases/{bought['id']}"
    change = {"code": bought["code"], "amount": 20_000, "date": bought["date"]}
    cases: list[tuple[Person, str, str, Mapping[str, Any], str]] = [
        (maker, f"/roles/{role}", f"/roles/{role}/claims", {"claim_ids": [claims["benefits:read"]]}, "PUT"),
        (maker, f"/clients/{machine.id}", f"/clients/{machine.id}", {"name": "Outro ERP"}, "PATCH"),
        (maker, f"/clients/{machine.id}", f"/clients/{machine.id}/claims", {"claims": ["users:read"]}, "PUT"),
        (maker, f"/benefits/employers/{employer}", f"/benefits/employers/{employer}", {"name": "Outra"}, "PATCH"),
        (maker, category, category, {"mccs": ["5942"], "regime": "free"}, "PUT"),
        (maker, f"/benefits/merchants/{shop}", f"/benefits/merchants/{shop}", {"mcc": "5942"}, "PUT"),
        (clerk, month, month, {"tiers": [{"above": 0, "percentage": 2}]}, "PUT"),
        (clerk, purchase, purchase, change, "PUT"),
        (maker, f"/roles/{role}", f"/roles/{role}", {"description": f"papel {uuid4().hex[:6]}"}, "PATCH"),
        (maker, f"/users/{person.id}", f"/users/{person.id}", {"full_name": "Outra Pessoa"}, "PATCH"),
        (maker, f"/users/{person.id}", f"/users/{person.id}", whole, "PUT"),
        (clerk, day, day, {"day": 9}, "PUT"),
    ]
    for person, read, write, body, method in cases:
        await holds_its_version(person, read, write, body, method=method)

    stale = (await clerk.get(purchase)).headers["ETag"]
    await clerk.call("PUT", purchase, json=change | {"amount": 30_000})
    decider = new_operator(app)
    for act in ("approve", "reject"):
        late = await decider.call("POST", f"{purchase}/{act}", headers={"If-Match": stale})
        assert (late.status_code, late.json()["code"]) == (412, "record_changed")
    fresh = (await clerk.get(purchase)).headers["ETag"]
    done = await decider.call("POST", f"{purchase}/approve", headers={"If-Match": fresh})
    assert done.status_code == 200, done.text
    gone = await clerk.call("DELETE", day, headers={"If-Match": '"0"'})
    assert (gone.status_code, gone.json()["code"]) == (412, "record_changed")
    fresh = (await clerk.get(day)).headers["ETag"]
    assert (await clerk.call("DELETE", day, headers={"If-Match": fresh})).status_code == 204
    assert (await clerk.get(day)).json()["code"] == "closing_day_not_found"


async def test_a_purchase_is_deleted_and_a_month_closed_as_they_were_read(app: RunningApp) -> None:
    seller, clerk, when = await new_reseller(app), new_operator(app), new_month()
    bought = await seller.buy(10_000, when)
    path = f"/purchases/{bought['id']}"
    stale = (await clerk.get(path)).headers["ETag"]
    await clerk.call("PUT", path, json={"code": bought["code"], "amount": 20_000, "date": bought["date"]})
    late = await clerk.call("DELETE", path, headers={"If-Match": stale})
    assert (late.status_code, late.json()["code"]) == (412, "record_changed")
    fresh = (await clerk.get(path)).headers["ETag"]
    assert (await clerk.call("DELETE", path, headers={"If-Match": fresh})).status_code == 204

    month = f"/cashback/months/{when:%Y-%m}"
    assert (await clerk.get(month)).json()["code"] == "month_not_found"
    await approved_purchase(app, seller, 10_000, when)
    stale = (await clerk.get(month)).headers["ETag"]
    await approved_purchase(app, seller, 20_000, when)
    decider = new_operator(app)
    late = await decider.call("POST", f"{month}/close", headers={"If-Match": stale})
    assert (late.status_code, late.json()["code"]) == (412, "record_changed")
    fresh = (await clerk.get(month)).headers["ETag"]
    done = await decider.call("POST", f"{month}/close", headers={"If-Match": fresh})
    assert (done.status_code, done.json()["cashback_amount"]) == (200, 3_000)


async def at_once(app: RunningApp, row: str, *sent: Awaitable[Shown]) -> list[Shown]:
    """Send forms while a row (`table:id`) is locked, until all of them wait; then let go of it, and return the answers.

    So each is in a transaction of its own that has begun before the other's commits.
    """
    table, _, key = row.partition(":")
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    async with app.database.transaction() as tx:
        await tx.execute(text(f"SELECT 1 FROM {table} WHERE id = CAST(:id AS uuid) FOR UPDATE"), {"id": key})
        answers = [asyncio.ensure_future(one) for one in sent]
        async with asyncio.timeout(60):
            while await count(app, waiting) < len(answers):  # noqa: ASYNC110 - nothing announces who waits for a lock
                await asyncio.sleep(0.01)
    return await asyncio.gather(*answers)


async def count(app: RunningApp, query: TextClause) -> int:
    async with app.database.transaction() as tx:
        return await tx.scalar(query) or 0


@asynccontextmanager
async def two_desks(app: RunningApp, role: str) -> AsyncIterator[tuple[PlainBrowser, PlainBrowser]]:
    async with (
        desk_of(app, role, full_name="Joana Prates") as joana,
        desk_of(app, role, full_name="Ivo Sampaio") as ivo,
    ):
        yield joana, ivo


async def test_of_two_who_decide_a_purchase_at_the_same_moment_one_does_and_the_other_reads_who(
    app: RunningApp,
) -> None:
    bought = (await (await new_reseller(app)).buy(10_000, new_month()))["id"]
    approve = f"{PURCHASES}/aprovar"
    async with two_desks(app, "aprovador") as (joana, ivo):
        hers, his = await marked(joana, "aprovar", bought), await marked(ivo, "reprovar", bought)
        answers = await at_once(
            app,
            f"resellers_purchases:{bought}",
            sure(joana, hers, approve, bought),
            sure(ivo, his, REJECT, bought, reason="Ilegível"),
        )
        told = [(await desk.follow(one)).text for desk, one in zip((joana, ivo), answers, strict=True)]
    state = (await new_operator(app).read(f"/purchases/{bought}"))["status"]
    assert state in {"Aprovado", "Reprovado"}
    by_her = state == "Aprovado"
    assert ("1 aprovada." in told[0], "1 reprovada." in told[1]) == (by_her, not by_her)
    winner = "Joana Prates" if by_her else "Ivo Sampaio"
    assert f"{winner} já decidiu ({state})." in told[by_her]


async def test_of_two_who_decide_a_document_at_the_same_moment_one_does_and_the_other_reads_who(
    app: RunningApp,
) -> None:
    holder = await register(app)
    document = (await upload(holder, files.pdf())).json()["id"]
    path = f"/console/documentos/{document}"
    async with two_desks(app, "atendente") as (joana, ivo):
        hers, his = await joana.get(f"{path}/conferir"), await ivo.get(f"{path}/recusar")
        answers = await at_once(
            app,
            f"documents:{document}",
            joana.send(hers, f"{path}/conferir", None, words="Foto e nome com a pessoa"),
            ivo.send(his, f"{path}/recusar", None, words="A foto está ilegível"),
        )
    assert sorted(answer.status for answer in answers) == [303, 409]
    by_her = answers[0].status == 303
    assert (await holder.get(f"/documents/{document}")).json()["state"] == ("reviewed" if by_her else "refused")
    winner = "Joana Prates" if by_her else "Ivo Sampaio"
    assert f"{winner} decidiu este documento." in answers[by_her].text


async def test_of_two_who_decide_an_operation_at_the_same_moment_one_does_and_the_other_reads_who(
    app: RunningApp,
) -> None:
    account = await open_benefit_account(app.operator(), FOOD=0)
    asked = {"category": "FOOD", "amount": 900_000_000}
    maker = app.person("benefits:read", "benefits:write")
    waiting = (await maker.post(f"/benefits/accounts/{account}/credits", asked)).json()["pending"]["id"]
    path = f"/console/pendencias/{waiting}"
    async with two_desks(app, "administrador") as (joana, ivo):
        hers, his = await joana.get(f"{path}/aprovar"), await ivo.get(f"{path}/recusar")
        answers = await at_once(
            app,
            f"pending_operations:{waiting}",
            joana.send(hers, f"{path}/aprovar", None, total="9.000.000,00"),
            ivo.send(his, f"{path}/recusar", None, reason="Não"),
        )
    assert sorted(answer.status for answer in answers) == [303, 409]
    by_her = answers[0].status == 303
    moved = await benefit_balances(app.operator(), account)
    assert moved["FOOD"] == (900_000_000 if by_her else 0)
    winner = "aprovada por Joana Prates" if by_her else "recusada por Ivo Sampaio"
    assert f"já foi {winner}" in answers[by_her].text
