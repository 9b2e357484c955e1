"""Files of accounts and top-ups for a later day, above a limit: the money records who approved it."""

from datetime import date, timedelta
from typing import Any
from uuid import UUID, uuid4

from carteira.benefits import imports, scheduled
from carteira.kit.db.session import Tx
from carteira.kit.values.actor import Actor
from carteira.kit.values.clock import clock
from carteira.kit.values.cpf import mask_cpf
from tests.four_eyes.world import LIMIT, World, approve
from tests.support.console import desk_of, operator_of
from tests.support.people import Person, new_cpf, sign_in

CSV = {"Content-Type": "text/csv"}
IMPORTS, SCHEDULES = "/benefits/accounts/bulk", "/benefits/scheduled-credits"


async def may(_tx: Tx, _actor: Actor, _claim: str) -> bool:
    """Let everybody's operations be carried out: these makers have a developer's token, and no row."""
    return True


def file_of(cpfs: list[str], amount: int) -> str:
    return "cpf;amount FOOD\n" + "".join(f"{cpf};{amount}\n" for cpf in cpfs)


async def propose_file(maker: Person, path: str, **content: Any) -> str:  # noqa: ANN401 - any JSON body
    answer = await maker.call("POST", path, **content)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["pending"]["id"])


async def accounts_of(world: World, cpf: str) -> list[dict[str, Any]]:
    answer = await world.checker().post("/benefits/accounts/search", {"cpf": cpf})
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


async def entries_of(world: World, account: str) -> set[tuple[str, str | None]]:
    """Return who posted what an account received, and who approved it."""
    answer = await world.checker().get(f"/benefits/accounts/{account}/statement")
    return {(line["actor"]["id"], line["approved_by"]) for line in answer.json()["items"]}


async def test_a_file_above_the_limit_opens_nothing_before_a_second_person(world: World) -> None:
    cpfs, maker, checker = [new_cpf() for _ in range(3)], world.checker(), world.checker()
    operation = await propose_file(maker, IMPORTS, content=file_of(cpfs, LIMIT // 2), headers=CSV)
    seen = await world.pending(maker, operation)
    assert seen["order"] == {"lines": 3, "employer_id": None, "invite": True}, "no CPF is shown"
    assert "Abrir 3 contas" in seen["summary"]
    assert (await approve(maker, operation)).json()["code"] == "own_operation"
    assert await accounts_of(world, cpfs[0]) == []

    answer = await approve(checker, operation)
    assert answer.status_code == 200, answer.text
    import_id = answer.json()["outcome"]["id"]
    while await imports.open_next(world.app.database, UUID(import_id)):
        pass
    for cpf in cpfs:
        (opened,) = await accounts_of(world, cpf)
        assert opened["balances"]["FOOD"] == LIMIT // 2
        assert await entries_of(world, opened["account"]) == {(str(maker.id), str(checker.id))}
    assert (await approve(checker, operation)).json()["code"] == "pending_decided"


async def test_the_checker_of_a_file_sees_its_lines_with_masked_cpfs(world: World) -> None:
    cpf, other, known, maker = new_cpf(), new_cpf(), new_cpf(), world.maker()
    opened = await maker.call("POST", IMPORTS, content=file_of([known], 1), headers=CSV)
    while await imports.open_next(world.app.database, UUID(opened.json()["id"])):
        pass
    content = file_of([cpf, known, "123"], LIMIT) + f"{other};\n"
    operation = await propose_file(maker, IMPORTS, content=content, headers=CSV)
    async with desk_of(world.app, "aprovador") as browser:
        page = await browser.get(f"/console/pendencias/{operation}")
        assert page.facts["Já têm conta"] == "1 linha, R$ 100,00: nada muda nela"
        assert page.facts["Com erro"] == "1 linha: não é feita"
        listed = await browser.get(f"/console/pendencias/{operation}/linhas")
        assert mask_cpf(cpf) in listed.text
        assert not [one for one in (cpf, other, known) if one in listed.answer.text]
        assert "Já tem conta nesta empresa: nada muda." in listed.text
        assert (await browser.get(f"/console/pendencias/{operation}/linhas?situacao=nada")).status == 422


WARNED = "Se for aprovado agora, nada é feito:"


async def test_the_checker_is_told_that_one_wrong_line_refuses_the_whole(world: World) -> None:
    account, closed = [await world.open({"cpf": new_cpf()}) for _ in range(2)]
    lines = [{"account": one, "category": "FOOD", "amount": LIMIT} for one in (account, closed)]
    maker = world.maker()
    whole, parts = [
        await propose_file(maker, f"/benefits/credits?atomic={atomic}", json=lines) for atomic in ("true", "false")
    ]
    async with desk_of(world.app, "aprovador") as browser:
        assert WARNED not in (await browser.get(f"/console/pendencias/{whole}")).text
        assert (await world.checker().post(f"/benefits/accounts/{closed}/close")).is_success
        page = await browser.get(f"/console/pendencias/{whole}")
        assert f"{WARNED} 1 linha com erro, e o pedido é tudo ou nada." in page.text
        assert page.facts["Com erro"] == "1 linha"
        listed = await browser.get(f"/console/pendencias/{whole}/linhas")
        assert "nada é feito: 1 linha com erro, e o pedido é tudo ou nada." in listed.text
        other = await browser.get(f"/console/pendencias/{parts}")
        assert (WARNED in other.text, other.facts["Com erro"]) == (False, "1 linha: não é feita")
    assert (await approve(world.checker(), whole)).json()["code"] == "pending_failed"
    assert (await approve(world.checker(), parts)).status_code == 200
    assert await world.balance(account) == LIMIT


async def test_the_checker_is_told_that_a_fund_does_not_cover_the_lines(world: World) -> None:
    admin, account = world.checker(), f"f-{uuid4()}"
    company = {"cnpj": "11.222.333/0001-81", "name": "Padaria Paga", "prefunded": True}
    made = await admin.post("/benefits/employers", company)
    assert made.status_code == 201, made.text
    opened = {"account": account, "cpf": new_cpf(), "employer_id": made.json()["id"], "balances": {}}
    assert (await admin.post("/benefits/accounts", opened)).status_code == 201
    lines = [{"account": account, "category": "FOOD", "amount": LIMIT + 1}]
    day = clock.today() + timedelta(days=2)
    now = await propose_file(world.maker(), "/benefits/credits", json=lines)
    later = await propose_file(world.maker(), f"{SCHEDULES}?day={day}", json=lines)
    async with desk_of(world.app, "aprovador") as browser:
        page = await browser.get(f"/console/pendencias/{now}")
        lacks = "A empresa Padaria Paga é pré-paga e tem R$ 0,00: faltam R$ 100,01."
        assert f"{WARNED} {lacks}" in page.text
        assert "Ver a linha" in page.text
        assert lacks in (await browser.get(f"/console/pendencias/{now}/linhas")).text
        assert WARNED not in (await browser.get(f"/console/pendencias/{later}")).text, "it may be paid until then"
        listed = await browser.get(f"/console/pendencias/{later}/linhas")
        assert f"O pedido é feito em {day:%d/%m/%Y}." in listed.text
        assert "se for aprovada agora" not in listed.text
    failed = (await approve(world.checker(), now)).json()
    assert (failed["code"], failed["reason"]["code"]) == ("pending_failed", "insufficient_fund")
    assert await world.balance(account) == 0


async def test_the_checker_is_told_that_the_maker_no_longer_reaches_the_employer(world: World) -> None:
    admin = world.checker()
    made = await admin.post("/benefits/employers", {"cnpj": "12.abc.345/01de-35", "name": "Mercado da Vila"})
    assert made.status_code == 201, made.text
    maker = await sign_in(await operator_of(world.app, "RH"))
    binding = f"/benefits/employers/{made.json()['id']}/members/{maker.id}"
    assert (await admin.call("PUT", binding)).is_success
    operation = await propose_file(maker, IMPORTS, content=file_of([new_cpf()], LIMIT + 1), headers=CSV)
    async with desk_of(world.app, "aprovador") as browser:
        path = f"/console/pendencias/{operation}"
        page = await browser.get(path)
        assert (WARNED in page.text, page.facts["Linhas"]) == (False, "1")
        assert (await admin.call("DELETE", binding)).is_success
        page = await browser.get(path)
        assert f"{WARNED} Empresa não encontrada." in page.text
        assert "Linhas" not in page.facts, "nothing was read"
        ended = await admin.call("PUT", f"/users/{maker.id}/suspension", json={"reason": "left_company"})
        assert ended.is_success, ended.text
        assert f"{WARNED} Quem pediu a operação já não pode pedi-la." in (await browser.get(path)).text


async def test_beneficiaries_of_a_file_do_not_approve_it(world: World) -> None:
    gainer, maker = await world.gainer(), world.maker()
    operation = await propose_file(maker, IMPORTS, content=file_of([gainer.cpf, new_cpf()], LIMIT), headers=CSV)
    refused = await approve(gainer, operation)
    assert (refused.status_code, refused.json()["code"]) == (403, "own_operation")
    assert (await world.checker().post(f"/pending/{operation}/refuse", {})).json()["status"] == "refused"
    assert await accounts_of(world, gainer.cpf) == []


async def test_a_file_up_to_the_limit_is_opened_alone(world: World) -> None:
    cpf, maker = new_cpf(), world.maker()
    answer = await maker.call("POST", IMPORTS, content=file_of([cpf], LIMIT), headers=CSV)
    assert answer.status_code == 201, answer.text
    while await imports.open_next(world.app.database, UUID(answer.json()["id"])):
        pass
    (opened,) = await accounts_of(world, cpf)
    assert await entries_of(world, opened["account"]) == {(str(maker.id), None)}


async def _on(world: World, day: date) -> None:
    clock.set(clock.now() + (day - clock.today()))
    await scheduled.carry_out_due(world.app.database, may)


async def test_a_schedule_above_the_limit_is_made_on_its_day_by_both(world: World) -> None:
    account, maker, checker = await world.open({"cpf": new_cpf()}), world.maker(), world.checker()
    day = clock.today() + timedelta(days=2)
    lines = [
        {"account": account, "category": "FOOD", "amount": LIMIT},
        {"account": account, "category": "MEAL", "amount": 1},
    ]
    operation = await propose_file(maker, f"{SCHEDULES}?day={day}", json=lines)
    assert f"{day:%d/%m/%Y}" in (await world.pending(maker, operation))["summary"]
    await _on(world, day - timedelta(days=1))
    assert await world.balance(account) == 0
    assert (await approve(checker, operation)).status_code == 200
    for _ in range(2):
        await _on(world, day)
    assert await world.balance(account) == LIMIT + 1
    assert await entries_of(world, account) == {(str(maker.id), str(checker.id))}


async def test_lines_without_an_account_when_weighed_are_not_made_on_their_day(world: World) -> None:
    """Accounts and categories created after a top-up was weighed would otherwise be credited unapproved."""
    maker, reference = world.maker(), f"later-{uuid4()}"
    day = clock.today() + timedelta(days=2)
    account = await world.open({"cpf": new_cpf()})
    lines = [
        {"account": reference, "category": "FOOD", "amount": 100 * LIMIT},
        {"account": account, "category": "FOOD", "amount": 1},
    ]
    made = await maker.call("POST", f"{SCHEDULES}?day={day}", json=lines)
    assert (made.status_code, made.json()["lines"], made.json()["amount"]) == (201, 1, 1), made.text
    opened = await maker.post("/benefits/accounts", {"account": reference, "cpf": new_cpf(), "balances": {}})
    assert opened.status_code == 201, opened.text
    await _on(world, day)
    assert (await world.balance(reference), await world.balance(account)) == (0, 1)
    outcome = (await maker.get(f"{SCHEDULES}/{made.json()['id']}")).json()["outcome"]
    assert [(line["line"], line["status"]) for line in outcome["results"]] == [(1, "failed"), (2, "credited")]


async def test_a_schedule_above_its_weighed_total_is_not_made(world: World) -> None:
    """So are top-ups that were scheduled before each line was stored as it was weighed."""
    maker, account = world.maker(), await world.open({"cpf": new_cpf()})
    day = clock.today() + timedelta(days=2)
    lines = [{"account": account, "category": "FOOD", "amount": 100}]
    made = await maker.call("POST", f"{SCHEDULES}?day={day}", json=lines)
    await world.run("UPDATE benefits_scheduled_credits SET amount = 99 WHERE id = :id", id=UUID(made.json()["id"]))
    await _on(world, day)
    assert await world.balance(account) == 0
    failed = (await maker.get(f"{SCHEDULES}/{made.json()['id']}")).json()
    assert (failed["state"], failed["code"]) == ("failed", "operation_changed")


async def test_a_schedule_approved_after_its_day_is_not_made(world: World) -> None:
    account, maker = await world.open({"cpf": new_cpf()}), world.maker()
    day = clock.today() + timedelta(days=1)
    lines = [{"account": account, "category": "FOOD", "amount": LIMIT + 1}]
    operation = await propose_file(maker, f"{SCHEDULES}?day={day}", json=lines)
    clock.set(clock.now() + timedelta(days=1))
    answer = await approve(world.checker(), operation)
    assert (answer.status_code, answer.json()["reason"]["code"]) == (409, "scheduled_day_unfit")
    await _on(world, day + timedelta(days=1))
    assert await world.balance(account) == 0
