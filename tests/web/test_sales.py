"""Sales: becoming a reseller, registering purchases, tiers, months and what others may not see; without scripts."""

from uuid import uuid4

import pytest

from carteira.kit.values.clock import clock
from carteira.resellers import TierStep
from carteira.web.wallet.sales import NextTier, next_tier
from tests.support.app import RunningApp
from tests.support.pages import PlainBrowser, Shown
from tests.support.people import Person, register

HOSTILE = "<img src=x onerror=alert(1)>"
TIERS = [TierStep(0, 10), TierStep(100_000, 15), TierStep(150_000, 20)]


@pytest.mark.parametrize(
    ("total", "percentage", "ahead"),
    [
        (0, 10, NextTier(100_000, 100_001, 15)),
        (100_000, 10, NextTier(100_000, 1, 15)),
        (100_001, 15, NextTier(150_000, 50_000, 20)),
        (150_001, 20, None),
    ],
)
def test_the_next_tier_is_the_one_that_the_total_has_not_passed(
    total: int, percentage: int, ahead: NextTier | None
) -> None:
    assert next_tier(total, TIERS, percentage) == ahead


async def reseller(app: RunningApp, browser: PlainBrowser) -> Person:
    person = await register(app)
    await browser.sign_in(person)
    page = await browser.open("/app/vendas")
    assert "Quem revende recebe cashback das compras" in page.text
    done = await browser.follow(await browser.send(page, "/app/vendas/revender"))
    assert "Pronto: você é revendedor." in done.text
    return person


async def registered(browser: PlainBrowser, code: str, amount: str, **more: str) -> Shown:
    page = await browser.open("/app/vendas/nova")
    return await browser.send(page, "/app/vendas/nova", None, reference=code, amount=amount, **more)


def path_of(page: Shown) -> str:
    return next(link for link in page.links if link.startswith("/app/vendas/0"))


async def test_a_purchase_is_registered_and_counts_and_is_notified(app: RunningApp, browser: PlainBrowser) -> None:
    await reseller(app, browser)
    code = f"NF <b>{uuid4().hex[:6]}"
    page = await browser.follow(await registered(browser, code, "1.200,50"))
    assert "Compra de R$ 1.200,50 registrada." in page.text
    assert "15% de cashback" in page.text
    assert "R$ 180,08" in page.text  # 15 % of 1200,50 is 180,075: half to even
    assert "Faltam R$ 299,51 em compras para o mês inteiro render 20%." in page.text
    assert code in page.text
    assert code not in page.answer.text
    shown = await browser.open(path_of(page))
    assert "Uma pessoa ainda vai conferir." in shown.text
    assert shown.answer.headers["cache-control"] == "no-store"


async def test_errors_stand_at_their_fields_and_typed_values_stay(app: RunningApp, browser: PlainBrowser) -> None:
    await reseller(app, browser)
    wrong = await registered(browser, "", "vinte", date="2999-01-01")
    assert wrong.status == 422
    assert "Preencha este campo." in wrong.text
    assert "Escreva um valor em reais" in wrong.text
    assert wrong.form("/app/vendas/nova").fields["amount"] == "vinte"
    late = await registered(browser, f"NF-{uuid4()}", "10", date="2999-01-01")
    assert late.status == 422
    assert "A data não pode estar no futuro." in late.text
    code = f"NF-{uuid4()}"
    assert (await registered(browser, code, "10")).status == 303
    twice = await registered(browser, code, "10")
    assert (twice.status, "Já existe uma compra com este código." in twice.text) == (409, True)
    spent = await registered(browser, f"NF-{uuid4()}", "10", spend="5")
    assert (spent.status, "Saldo de cashback insuficiente" in spent.text) == (409, True)
    more = await registered(browser, f"NF-{uuid4()}", "10", spend="11")
    assert (more.status, "não pode passar do valor da compra" in more.text) == (422, True)


async def test_a_form_sent_twice_registers_once(app: RunningApp, browser: PlainBrowser) -> None:
    await reseller(app, browser)
    page = await browser.open("/app/vendas/nova")
    typed = {"reference": f"NF-{uuid4()}", "amount": "30"}
    await browser.follow(await browser.send(page, "/app/vendas/nova", None, **typed))
    again = await browser.follow(await browser.send(page, "/app/vendas/nova", None, **typed))
    assert "Já recebemos este pedido às" in again.text
    assert again.answer.text.count(typed["reference"]) == 1


async def test_a_purchase_is_changed_and_deleted_while_nobody_has_decided_it(
    app: RunningApp, browser: PlainBrowser
) -> None:
    await reseller(app, browser)
    path = path_of(await browser.follow(await registered(browser, f"NF-{uuid4()}", "50")))
    form = await browser.open(f"{path}/alterar")
    assert form.form(f"{path}/alterar").fields["amount"] == "50,00"
    changed = await browser.follow(await browser.send(form, f"{path}/alterar", None, amount="70,25"))
    assert "R$ 70,25" in changed.text
    asked = await browser.open(f"{path}/excluir")
    assert "sai do mês e deixa de render cashback" in asked.text
    gone = await browser.follow(await browser.send(asked, f"{path}/excluir"))
    assert "Nenhuma compra em" in gone.text
    assert (await browser.get(path)).status == 404


async def test_a_rejected_purchase_says_why_and_is_not_changed(app: RunningApp, browser: PlainBrowser) -> None:
    await reseller(app, browser)
    path = path_of(await browser.follow(await registered(browser, f"NF-{uuid4()}", "50")))
    form = await browser.open(f"{path}/alterar")
    rejected = await app.operator().post(f"/purchases/{path.rpartition('/')[2]}/reject", {"reason": HOSTILE})
    assert rejected.status_code == 200, rejected.text
    shown = await browser.open(path)
    assert f"Motivo: {HOSTILE}" in shown.text
    assert HOSTILE not in shown.answer.text
    late = await browser.send(form, f"{path}/alterar", None, amount="1")
    assert (late.status, "Esta compra não está mais em validação." in late.text) == (409, True)


async def test_another_resellers_purchase_is_not_found_even_with_the_right_to_read_all(
    app: RunningApp, browser: PlainBrowser
) -> None:
    await reseller(app, browser)
    path = path_of(await browser.follow(await registered(browser, f"NF-{uuid4()}", "50")))
    other = PlainBrowser(app)
    person = await reseller(app, other)
    for address in (path, f"{path}/alterar", f"{path}/excluir"):
        assert (await other.get(address)).status == 404
    mine = await other.open("/app/vendas/nova")
    form = mine.form("/app/vendas/nova")
    for act in ("alterar", "excluir"):
        fields = {"csrf": form.fields["csrf"], "reference": "X", "amount": "1", "date": str(clock.today())}
        assert (await other.client.post(f"{path}/{act}", data=fields)).status_code == 404, person.id
    await other.client.aclose()
    assert "R$ 50,00" in (await browser.get(path)).text


async def test_addresses_that_make_no_sense_show_this_month(app: RunningApp, browser: PlainBrowser) -> None:
    await reseller(app, browser)
    for question in ("?mes=2999-01", "?mes=abc", "?depois=abc", "?mes=1800-01"):
        assert (await browser.get(f"/app/vendas{question}")).status == 200, question


async def test_where_the_external_service_is_down_the_page_says_so(app: RunningApp, browser: PlainBrowser) -> None:
    await reseller(app, browser)
    shown = await browser.get("/app/vendas/acumulado")
    assert shown.status == 503
    assert "Seus saldos e o resto estão certos." in shown.text


@pytest.mark.parametrize("path", ["/app/vendas/nova", "/app/vendas/acumulado"])
async def test_a_person_who_is_no_reseller_is_led_to_the_registration(
    app: RunningApp, browser: PlainBrowser, path: str
) -> None:
    await browser.sign_in(await register(app))
    led = await browser.open(path)
    assert led.answer.url.path == "/app/vendas"
    assert "Quem revende recebe cashback das compras" in led.text
