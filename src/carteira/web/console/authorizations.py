"""The authorizer's decisions: listed, searched, and each explained."""

from typing import NamedTuple
from uuid import UUID

from fastapi import Response

from carteira import benefits, identity
from carteira.kit.db.session import Tx
from carteira.kit.web.access import claims, looks
from carteira.kit.web.pagination import BY_ID, Page
from carteira.web.console.cells import amount, answer_code, instant, mono, words
from carteira.web.console.tables import NEWEST, PERSON, Filter, Table, TableAsked, TableColumn, offer_csv
from carteira.web.formats import plain_money
from carteira.web.page import SignedPage, WebPage
from carteira.web.routing import pages

router = pages("benefits")
HOME = "/console/autorizacoes"
CLAIM = "benefits:read"
_REFERENCE = r"[A-Za-z0-9._:-]{1,64}"
_CODES = (
    ("recusadas", "Recusadas (51 e 07)"),
    ("00", "00, passou"),
    ("51", "51, faltou saldo"),
    ("07", "07, outro motivo"),
)
_REASONS = tuple((reason, benefits.desk.reason_name(reason)) for reason in sorted(benefits.desk.DECLINES))

TABLE: Table[benefits.DecisionView] = Table(
    HOME,
    "autorizações",
    (
        TableColumn("Hora", lambda row: instant(row.created_at), "nowrap", order=NEWEST),
        TableColumn("Conta", lambda row: mono(row.account), "stack-end"),
        TableColumn("Estabelecimento", lambda row: words(row.merchant), "full"),
        TableColumn("MCC", lambda row: words(row.mcc)),
        TableColumn("Valor", lambda row: amount(row.amount), "end nowrap"),
        TableColumn("Resposta e motivo", lambda row: answer_code(row.code, briefly(row)), "full"),
    ),
    key=lambda row: row.id,
    filters=(
        Filter("estabelecimento", "Estabelecimento", grows=True),
        Filter("conta", "Conta", pattern=_REFERENCE, wrong="Uma conta tem letras, números e . _ : -"),
        Filter("resposta", "Resposta", "choice", _CODES),
        Filter("motivo", "Por que não passou", "choice", _REASONS),
        PERSON,
        Filter("id", "Id da processadora", pattern=r"[!-~]{1,64}", wrong="Escreva o id inteiro, sem espaços."),
        Filter("de", "De", "day"),
        Filter("ate", "Até", "day"),
    ),
    opens=lambda row: f"{HOME}/{row.id}",
    panel=True,
    empty=("Nenhuma autorização ainda", "A primeira compra de um cartão aparece aqui na hora."),
)


def briefly(row: benefits.DecisionView) -> str:
    """Return a decision's reason in a few words, for a list."""
    if row.short_by and row.category_tried:
        return f"{benefits.pocket_name(row.category_tried)}: faltaram {plain_money(row.short_by)}"
    if row.approved and row.category_used:
        return benefits.pocket_name(row.category_used) + (" (saldo livre)" if row.reason.endswith("fallback") else "")
    return row.explanation.removeprefix("Compra recusada: ")


async def _read(page: WebPage, tx: Tx, asked: TableAsked, limit: int) -> Page[benefits.DecisionView]:
    code = asked.get("resposta")
    wanted = benefits.DecisionFilter(
        account=asked.get("conta"),
        person=asked.id("pessoa"),
        code=None if code == "recusadas" else code,
        declined=code == "recusadas",
        reference=asked.get("id"),
        merchant=asked.get("estabelecimento"),
        reason=asked.get("motivo"),
        since=asked.since(),
        until=asked.until(),
        oldest_first=asked.turned,
    )
    return await benefits.decisions(tx, page.who, wanted, asked.page_request(BY_ID, limit))


@router.get(HOME, dependencies=[claims(CLAIM), looks("transactions_listed")])
async def show_decisions(page: SignedPage) -> Response:
    """List decisions that match the filters."""
    return await TABLE.answer(
        page,
        lambda tx, asked, limit: _read(page, tx, asked, limit),
        template="console/authorizations.html",
        walked=f"{benefits.desk.WALKED:,}".replace(",", "."),
    )


offer_csv(router, TABLE, _read, CLAIM)


class DecisionStep(NamedTuple):
    """One of the authorizer's checks, in their order; `tone` is ok, bad, warn or empty."""

    tone: str
    icon: str
    what: str
    detail: str


@router.get(HOME + "/{decision_id}", dependencies=[claims(CLAIM), looks("transaction_read")])
async def show_decision(decision_id: UUID, page: SignedPage) -> Response:
    """Show one decision: the request, the checks, the person's notice, and the refunds."""

    async def read(tx: Tx) -> tuple[benefits.WholeDecisionView, str]:
        whole = await benefits.decision(tx, page.who, decision_id)
        names = await identity.names(tx, [whole.user_id] if whole.user_id else [])
        return whole, names.get(whole.user_id, "") if whole.user_id else whole.holder or ""

    whole, name = await page.read(read)
    return page.show(
        "console/authorization.html",
        block="panel",
        whole=whole,
        one=whole.decision,
        holder=name,
        steps=steps_of(whole),
        home=HOME,
    )


def steps_of(whole: benefits.WholeDecisionView) -> list[DecisionStep]:
    """Return a decision's checks in order, ending in its code."""
    one = whole.decision
    steps: list[DecisionStep] = []
    if one.category_tried is None or one.amount is None:
        steps.append(DecisionStep("bad", "x", "O pedido não passou das conferências", _sentence(one.explanation)))
        return [*steps, _ending(one)]
    owner = whole.employer or ""
    steps.append(DecisionStep("ok", "check", f"A conta {one.account} existe e está ativa", owner))
    pocket = benefits.pocket_name(one.category_tried)
    if one.rule == "merchant":
        steps.append(
            DecisionStep("ok", "check", f"O nome do estabelecimento é de {pocket}", "Vale mais que o MCC do pedido")
        )
    else:
        steps.append(DecisionStep("", "chev", "Nenhuma regra para o nome", "Vale o MCC do pedido"))
        known = f"O MCC {one.mcc} é de {pocket}"
        steps.append(
            DecisionStep(
                "ok", "check", known if one.rule == "mcc" else f"O MCC {one.mcc} não é de nenhum saldo", pocket
            )
        )
    if one.short_by:
        had = plain_money(one.amount - one.short_by)
        steps.append(DecisionStep("bad", "x", f"{pocket} tinha {had}", f"Faltaram {plain_money(one.short_by)}"))
        steps.append(_fallback(one))
    elif one.category_used == one.category_tried:
        steps.append(
            DecisionStep("ok", "check", f"{pocket} cobria {plain_money(one.amount)}", "O valor sai de um saldo só")
        )
    else:
        steps += [DecisionStep("bad", "x", f"{pocket} não cobria o valor", "Um valor nunca é dividido"), _fallback(one)]
    return [*steps, _ending(one)]


def _fallback(one: benefits.DecisionView) -> DecisionStep:
    if one.approved:
        return DecisionStep("ok", "check", "O saldo livre cobriu", "O pedido permitia usá-lo")
    if one.category_tried == "CASH":
        return DecisionStep("", "block", "Não há outro saldo a tentar", "O saldo livre é o último")
    if one.fallback:
        return DecisionStep("bad", "x", "O saldo livre também não cobria", "Foi tentado inteiro")
    return DecisionStep("warn", "block", "O saldo livre não foi tentado", "O pedido veio com fallback=false")


def _ending(one: benefits.DecisionView) -> DecisionStep:
    did = f"{plain_money(one.amount or 0)} debitados" if one.approved else "Nada foi debitado"
    return DecisionStep(
        "ok" if one.approved else "bad", "check" if one.approved else "x", f"Respondemos {one.code}", did
    )


def _sentence(explanation: str) -> str:
    text = explanation.removeprefix("Compra recusada: ")
    return text[:1].upper() + text[1:]
