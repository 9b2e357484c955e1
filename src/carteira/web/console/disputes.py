"""CPFs that two people have proved: the list of cases, and the decision of each.

In a dispute no CPF changes accounts without an operator.
"""

from functools import partial
from typing import Any
from uuid import UUID

from fastapi import Response

from carteira import identity
from carteira.kit.db.session import Tx
from carteira.kit.web.access import acts, claims, looks, step_up
from carteira.kit.web.pagination import BY_ID, Page
from carteira.web.console.acts import (
    Confirmation,
    Detail,
    DetailStep,
    VersionForm,
    ask,
    ask_again,
    show_detail,
    version_seen,
)
from carteira.web.console.cells import Cell, badge, instant, mono, words
from carteira.web.console.people import HOME as PEOPLE
from carteira.web.console.tables import OLDEST, Filter, Table, TableAsked, TableColumn, offer_csv
from carteira.web.formats import moment
from carteira.web.page import REFUSALS, SignedPage, WebPage
from carteira.web.routing import pages

router = pages()
HOME = "/console/cpfs-em-disputa"
CLAIM = "identity:prove"
ALL = "todos"
_LOOK = "cpf_disputes_listed"
_HELD = "Confira as duas pessoas por um documento com foto. Enquanto a comprovação vale, o CPF não muda de conta."
_WITHDRAWN = "A comprovação foi retirada: o CPF passa para a conta de quem o comprovar agora."
_PROVEN_BY = {"govbr": "gov.br", "operator": "por um operador"}


def _state(row: identity.desk.CpfDisputeView) -> Cell:
    if row.outcome is None:
        return badge("Aberto", "warn", "clock")
    if row.outcome == "moved":
        return badge("Passou para a outra conta", "ok", "check")
    return badge("Ficou na mesma conta")


TABLE: Table[identity.desk.CpfDisputeView] = Table(
    HOME,
    "casos",
    (
        TableColumn("Desde", lambda row: instant(row.created_at), "nowrap", order=OLDEST),
        TableColumn("CPF", lambda row: mono(row.cpf)),
        TableColumn("Quem tem", lambda row: words(row.holder), "full"),
        TableColumn("Quem também comprovou", lambda row: words(row.claimant, _PROVEN_BY[row.proven_by]), "full"),
        TableColumn("Decidido", lambda row: instant(row.closed_at), "nowrap"),
        TableColumn("Situação", _state, "stack-end"),
    ),
    key=lambda row: row.id,
    filters=(
        Filter("situacao", "Situação", "choice", (("decididos", "Decididos"), (ALL, "Todos")), otherwise="Abertos"),
        Filter("como", "Comprovado", "choice", tuple(_PROVEN_BY.items()), otherwise="De qualquer jeito"),
        Filter("de", "De", "day"),
        Filter("ate", "Até", "day"),
    ),
    opens=lambda row: f"{HOME}/{row.id}",
    panel=True,
    empty=("Nenhum CPF em disputa", "Quando duas pessoas comprovarem o mesmo CPF, o caso aparece aqui."),
)


async def _read(_page: WebPage, tx: Tx, asked: TableAsked, limit: int) -> Page[identity.desk.CpfDisputeView]:
    is_open = {"decididos": False, ALL: None}.get(asked.get("situacao") or "", True)
    how: Any = asked.get("como")
    wanted = identity.desk.DisputeFilter(is_open, how, asked.since(), asked.until())
    return await identity.desk.disputes(tx, wanted, asked.page_request(BY_ID, limit))


@router.get(HOME, dependencies=[claims(CLAIM), looks(_LOOK)])
async def show_disputes(page: SignedPage) -> Response:
    """List the cases: by default the open ones."""
    return await TABLE.answer(page, partial(_read, page), template="console/disputes.html")


offer_csv(router, TABLE, _read, CLAIM)


async def _one(page: WebPage, dispute_id: UUID) -> identity.desk.CpfDisputeView:
    return await page.read(lambda tx: identity.desk.dispute(tx, dispute_id))


@router.get(HOME + "/{dispute_id}", dependencies=[claims(CLAIM), looks(_LOOK)])
async def show_dispute(dispute_id: UUID, page: SignedPage) -> Response:
    """Show a case: both people, and the possible decisions."""
    row = await _one(page, dispute_id)
    here = f"{HOME}/{row.id}"
    steps = []
    if page.holds("users:read"):
        steps += [DetailStep(f"{PEOPLE}/{row.holder_id}", "Ver quem tem o CPF")]
        steps += [DetailStep(f"{PEOPLE}/{row.claimant_id}", "Ver quem também comprovou")]
    if row.outcome is None and page.user_id not in {row.holder_id, row.claimant_id}:
        steps.append(DetailStep(f"{here}/manter", "Manter o CPF com quem o tem…"))
        if row.is_proven:
            steps.append(DetailStep(f"{here}/retirar", "Retirar a comprovação de quem tem…", danger=True))
        else:
            steps.append(DetailStep(f"{PEOPLE}/{row.claimant_id}/comprovar-cpf", "Comprovar o CPF de quem pede…"))
    if row.outcome == "kept" and row.is_proven and page.user_id != row.holder_id:
        steps.append(DetailStep(f"{PEOPLE}/{row.holder_id}/retirar-comprovacao", "Retirar a comprovação…", danger=True))
    facts = (
        ("CPF", row.cpf),
        ("Quem tem", row.holder),
        ("Comprovação de quem tem", "vale" if row.is_proven else "retirada"),
        ("Quem também comprovou", row.claimant),
        ("Como comprovou", _PROVEN_BY[row.proven_by]),
        ("Desde", moment(row.created_at)),
        ("Decidido", moment(row.closed_at) if row.closed_at else ""),
    )
    note = "" if row.outcome is not None else _HELD if row.is_proven else _WITHDRAWN
    return show_detail(page, Detail("CPF em disputa", (HOME, "CPFs em disputa"), facts, steps, _state(row), note))


def _keeping(row: identity.desk.CpfDisputeView) -> Confirmation:
    return Confirmation(
        title=f"O CPF fica com {row.holder}?",
        says=(f"O caso é encerrado, e {row.claimant} continua sem este CPF.",),
        way_back="Um caso decidido não se abre de novo, nem por outra comprovação da segunda pessoa. Para mudar "
        "depois: retire a comprovação na página de quem tem o CPF, e comprove o da outra pessoa.",
        button="Fica com quem está",
        path=f"{HOME}/{row.id}/manter",
        back=f"{HOME}/{row.id}",
        facts=(("CPF", row.cpf),),
        seen=version_seen(row.version),
    )


def _withdrawing(row: identity.desk.CpfDisputeView) -> Confirmation:
    return Confirmation(
        title=f"Retirar a comprovação do CPF de {row.holder}?",
        says=(
            "O CPF continua na conta, mas só como digitado, e a pessoa é avisada.",
            f"Depois comprove o CPF de {row.claimant}: ele passa de conta, e o caso se encerra.",
        ),
        way_back="A pessoa pode comprovar de novo, por gov.br ou com um operador.",
        button="Retirar a comprovação",
        path=f"{HOME}/{row.id}/retirar",
        back=f"{HOME}/{row.id}",
        danger=True,
        facts=(("CPF", row.cpf),),
        seen=version_seen(row.version),
    )


@router.get(HOME + "/{dispute_id}/manter", dependencies=[claims(CLAIM), step_up(), looks(_LOOK)])
async def ask_keeping(dispute_id: UUID, page: SignedPage) -> Response:
    """Show the confirmation of keeping the CPF where it is."""
    return ask(page, _keeping(await _one(page, dispute_id)))


@router.post(HOME + "/{dispute_id}/manter", dependencies=[claims(CLAIM), step_up(), acts("cpf_dispute_closed")])
async def keep(dispute_id: UUID, page: SignedPage) -> Response:
    """Close a case and leave the CPF where it is."""
    form = await page.form(VersionForm)
    act = _keeping(await _one(page, dispute_id))
    if form.value is None:
        return ask_again(page, act, form)
    try:
        async with page.database.transaction() as tx:
            await identity.desk.keep(tx, page.who, dispute_id, form.value.known)
    except REFUSALS as error:
        return ask_again(page, act, form, error)
    return page.go(HOME, "Caso encerrado: o CPF fica com quem está.")


@router.get(HOME + "/{dispute_id}/retirar", dependencies=[claims(CLAIM), step_up(), looks(_LOOK)])
async def ask_withdrawal(dispute_id: UUID, page: SignedPage) -> Response:
    """Show the confirmation of withdrawing the holder's proof."""
    return ask(page, _withdrawing(await _one(page, dispute_id)))


@router.post(HOME + "/{dispute_id}/retirar", dependencies=[claims(CLAIM), step_up(), acts("cpf_proof_withdrawn")])
async def withdraw(dispute_id: UUID, page: SignedPage) -> Response:
    """Withdraw the holder's proof, so that the claimant's next one moves the CPF."""
    form = await page.form(VersionForm)
    row = await _one(page, dispute_id)
    act = _withdrawing(row)
    if form.value is None:
        return ask_again(page, act, form)
    try:
        async with page.database.transaction() as tx:
            await identity.desk.withdraw_holders(tx, page.who, dispute_id, form.value.known)
    except REFUSALS as error:
        return ask_again(page, act, form, error)
    return page.go(f"{HOME}/{dispute_id}", f"Comprovação retirada. Agora comprove o CPF de {row.claimant}.")
