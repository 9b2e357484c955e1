"""Refunds purchases, whole or in part; and simulates purchases."""

from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

from fastapi import Response
from pydantic import Field

from carteira import benefits
from carteira.kit.db.session import Tx
from carteira.kit.web.access import acts, claims, looks, reads
from carteira.kit.web.approvals import OperatorRoom
from carteira.web.console.acts import ActField, Confirmation, ask, ask_again
from carteira.web.console.authorizations import HOME
from carteira.web.console.pendings import desk_of
from carteira.web.console.words import room_facts
from carteira.web.formats import Reais, plain_money
from carteira.web.forms import FormBody
from carteira.web.page import REFUSALS, SignedPage, WebPage
from carteira.web.routing import pages

router = pages("benefits")
CLAIM = "benefits:write"
SIMULATOR = "/console/simulador"
_PAGE = "console/simulator.html"
_REVERSALS, _REFUNDS = "reversals", "refunds"


class ReturnedPurchase(NamedTuple):
    """A purchase, and what the operator may return of it alone."""

    whole: benefits.WholeDecisionView
    room: OperatorRoom


async def _purchase(page: WebPage, decision_id: UUID, limit: str) -> ReturnedPurchase:
    async def read(tx: Tx) -> ReturnedPurchase:
        whole = await benefits.decision(tx, page.who, decision_id)
        return ReturnedPurchase(whole, await desk_of(page).room(tx, limit, page.who))

    return await page.read(read)


def _about(asked: ReturnedPurchase) -> dict[str, Any]:
    whole = asked.whole
    one = whole.decision
    return {
        "back": f"{HOME}/{one.id}",
        "danger": True,
        "facts": (
            ("Compra", plain_money(one.amount or 0)),
            ("Estabelecimento", one.merchant or ""),
            ("Conta", one.account),
            ("Ainda se pode devolver", plain_money(whole.left)),
            *room_facts(asked.room),
        ),
    }


def _reversal(asked: ReturnedPurchase) -> Confirmation:
    whole = asked.whole
    return Confirmation(
        title="Estornar a compra inteira?",
        says=(
            f"{plain_money(whole.left)} voltam agora ao saldo que pagou.",
            "O que passar do seu limite espera uma segunda pessoa, em Pendências.",
        ),
        way_back="Um estorno não se desfaz: a pessoa pode usar o dinheiro na mesma hora.",
        button="Estornar",
        path=f"{HOME}/{whole.decision.id}/estornar",
        **_about(asked),
    )


def _refund(asked: ReturnedPurchase) -> Confirmation:
    whole = asked.whole
    return Confirmation(
        title="Devolver uma parte da compra?",
        says=(
            "O valor volta agora ao saldo que pagou.",
            "O que passar do seu limite espera uma segunda pessoa, em Pendências.",
        ),
        way_back="Uma devolução não se desfaz: a pessoa pode usar o dinheiro na mesma hora.",
        button="Devolver",
        path=f"{HOME}/{whole.decision.id}/devolver",
        fields=(ActField("amount", "Valor a devolver", "money", f"Até {plain_money(whole.left)}."),),
        **_about(asked),
    )


class AmountForm(FormBody):
    """The amount to refund."""

    amount: Reais


@router.get(HOME + "/{decision_id}/estornar", dependencies=[claims(CLAIM, "benefits:read"), looks("transaction_read")])
async def ask_reversal(decision_id: UUID, page: SignedPage) -> Response:
    """Show what a reversal does."""
    return ask(page, _reversal(await _purchase(page, decision_id, _REVERSALS)))


@router.post(
    HOME + "/{decision_id}/estornar", dependencies=[claims(CLAIM, "benefits:read"), acts("transaction_reversed")]
)
async def reverse(decision_id: UUID, page: SignedPage) -> Response:
    """Refund a whole purchase, or store the operation as pending."""
    form = await page.form(FormBody)
    asked = await _purchase(page, decision_id, _REVERSALS)

    async def work(tx: Tx) -> object:
        return {"now": await benefits.desk.reverse(tx, desk_of(page), page.who, decision_id)}

    try:
        outcome = await page.once(work, payload={"decision": str(decision_id)})
    except REFUSALS as error:
        return ask_again(page, _reversal(asked), form, error)
    if outcome.refused:
        return ask_again(page, _reversal(asked), form.saying(outcome.refused))
    now = outcome.body.get("now")
    return page.go(f"{HOME}/{decision_id}", outcome.said("Estornado." if now else "Pedido: espera outra pessoa."))


@router.get(HOME + "/{decision_id}/devolver", dependencies=[claims(CLAIM, "benefits:read"), looks("transaction_read")])
async def ask_refund(decision_id: UUID, page: SignedPage) -> Response:
    """Show what a refund does."""
    return ask(page, _refund(await _purchase(page, decision_id, _REFUNDS)))


@router.post(
    HOME + "/{decision_id}/devolver", dependencies=[claims(CLAIM, "benefits:read"), acts("transaction_refunded")]
)
async def refund(decision_id: UUID, page: SignedPage) -> Response:
    """Refund a part of a purchase, or store the operation as pending."""
    form = await page.form(AmountForm)
    asked = await _purchase(page, decision_id, _REFUNDS)
    if form.value is None:
        return ask_again(page, _refund(asked), form)
    amount = int(form.value.amount)

    async def work(tx: Tx) -> object:
        return {"now": await benefits.desk.refund(tx, desk_of(page), page.who, decision_id, amount)}

    try:
        outcome = await page.once(work, payload={"decision": str(decision_id), "amount": amount})
    except REFUSALS as error:
        return ask_again(page, _refund(asked), form, error)
    if outcome.refused:
        return ask_again(page, _refund(asked), form.saying(outcome.refused))
    now = outcome.body.get("now")
    done = f"{plain_money(amount)} devolvidos." if now else "Pedido: espera outra pessoa."
    return page.go(f"{HOME}/{decision_id}", outcome.said(done))


class TrialForm(FormBody):
    """A purchase to simulate."""

    account: Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,64}$")]
    amount: Reais
    mcc: Annotated[str, Field(pattern=r"^[0-9]{4}$")]
    merchant: Annotated[str, Field(min_length=1, max_length=100)]
    fallback: Literal["sim"] | None = None


@router.get(SIMULATOR, dependencies=[claims("benefits:read"), reads("a form, without anybody's data")])
async def show_simulator(page: SignedPage) -> Response:
    """Show the simulator's form."""
    return page.show(_PAGE, outcome=None, pocket_name=benefits.pocket_name)


@router.post(SIMULATOR, dependencies=[claims("benefits:read"), looks("transaction_simulated")])
async def simulate(page: SignedPage) -> Response:
    """Show the simulated answer; nothing moves."""
    form = await page.form(TrialForm)
    if form.value is None:
        return page.show(_PAGE, status=422, form=form, outcome=None, pocket_name=benefits.pocket_name)
    tried = form.value
    asked = benefits.desk.AskedPurchase(
        tried.account, int(tried.amount), tried.mcc, tried.merchant, tried.fallback is not None
    )
    try:
        async with page.database.transaction() as tx:
            outcome = await benefits.desk.simulate(tx, page.who, asked)
    except REFUSALS as error:
        return page.again(_PAGE, form, error, outcome=None, pocket_name=benefits.pocket_name)
    return page.show(_PAGE, form=form, outcome=outcome, pocket_name=benefits.pocket_name)
