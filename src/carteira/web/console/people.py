"""People: searched by POST, a person's page, and operators' acts on them."""

from datetime import datetime
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from fastapi import Response

from carteira import identity
from carteira.kit.db.session import Tx
from carteira.kit.values.cpf import Cpf, format_cpf, mask_cpf
from carteira.kit.web.access import acts, claims, looks, reads, step_up
from carteira.kit.web.idempotency import Answered
from carteira.kit.web.pagination import BY_ID, Page
from carteira.web.console.acts import ActField, Confirmation, VersionForm, ask, ask_again, version_seen
from carteira.web.console.cells import Cell, badge, instant, words
from carteira.web.console.pendings import desk_of
from carteira.web.console.tables import OLDEST, Filter, Listed, Table, TableAsked, TableColumn, offer_csv
from carteira.web.console.words import SUSPENSIONS
from carteira.web.forms import FormBody
from carteira.web.page import REFUSALS, SignedPage, WebPage
from carteira.web.routing import pages
from carteira.web.wallet.privacy import CONSENT_TEXTS

router = pages()
HOME = "/console/pessoas"
CLAIM = "users:read"
_SUSPENDED = (("sim", "Suspensas"), ("nao", "Não suspensas"))
PAPERS = (
    ("cin", "Carteira de identidade nacional"),
    ("rg", "RG"),
    ("cnh", "CNH"),
    ("passport", "Passaporte"),
    ("professional_card", "Carteira profissional"),
    ("work_card", "Carteira de trabalho"),
    ("rne", "RNE"),
)
_PROVEN = {
    "proven": ("CPF comprovado", "ok", "check"),
    "declared": ("CPF só digitado", "warn", "alert"),
    "none": ("Sem CPF", "", ""),
    "moved": ("CPF comprovado por outra pessoa", "bad", "alert"),
}


class PersonList(NamedTuple):
    """A list to which a person's page leads, with their id: its module, its claim, its address, its name."""

    module: str
    claim: str
    path: str
    icon: str
    name: str


_LISTS = (
    PersonList("benefits", "benefits:read", "/console/contas?pessoa=", "coins", "Contas de benefícios"),
    PersonList("benefits", "benefits:read", "/console/autorizacoes?pessoa=", "card", "Autorizações"),
    PersonList("resellers", "purchases:read", "/console/revendedores?pessoa=", "cal", "Vendas e meses"),
    PersonList("payments", "payments:read", "/console/cobrancas?pessoa=", "qr", "Cobranças Pix"),
    PersonList("documents", "documents:review", "/console/documentos?pessoa=", "doc", "Documentos"),
    PersonList("transit", "transit:review", "/console/cartoes?pessoa=", "bus", "Cartões de transporte"),
    PersonList("", "audit:read", "/console/auditoria?de_quem=", "shield", "O que a auditoria tem"),
)


def lists_of(page: WebPage) -> list[PersonList]:
    """Return the lists of a person's things that an operator may see."""
    return [one for one in _LISTS if (not one.module or page.has(one.module)) and page.holds(one.claim)]


def _standing_of(row: identity.PersonView) -> Cell:
    return badge("Suspensa", "warn", "lock") if row.suspended_at else badge("Ativa", "ok", "check")


TABLE: Table[identity.PersonView] = Table(
    HOME,
    "pessoas",
    (
        TableColumn("Nome", lambda row: words(row.full_name), "full"),
        TableColumn("CPF", lambda row: words(mask_cpf(row.cpf) if row.cpf else ""), "nowrap"),
        TableColumn("E-mail", lambda row: words(masked_email(row.email)), "full"),
        TableColumn("Papel", lambda row: words(row.role)),
        TableColumn("Situação", _standing_of, "stack-end"),
        TableColumn("Desde", lambda row: instant(row.created_at), "nowrap", order=OLDEST),
    ),
    key=lambda row: row.id,
    filters=(
        Filter("busca", "Nome, e-mail ou CPF inteiro", grows=True),
        Filter("papel", "Papel", pattern=r"[^\x00-\x1f\x7f]{1,100}"),
        Filter("suspensa", "Acesso", "choice", _SUSPENDED),
    ),
    opens=lambda row: f"{HOME}/{row.id}",
    export_needs=("users:export",),
)


def masked_email(email: str) -> str:
    """Return a masked address that people who know it recognise."""
    name, _, domain = email.partition("@")
    return f"{name[:1]}•••@{domain}" if domain else ""


async def _read(_page: WebPage, tx: Tx, asked: TableAsked, limit: int) -> Page[identity.PersonView]:
    suspended = {"sim": True, "nao": False}.get(asked.get("suspensa") or "")
    wanted = identity.desk.Filters(asked.get("busca"), asked.get("papel"), None, suspended)
    return await identity.desk.search_people(tx, wanted, asked.page_request(BY_ID, limit))


async def _nobody(_tx: Tx, _asked: TableAsked, _limit: int) -> Listed[identity.PersonView]:
    return Listed(())


@router.get(HOME, dependencies=[claims(CLAIM), reads("a form to look for people by, without anybody's data")])
async def show_search(page: SignedPage) -> Response:
    """Show the search; typed terms never appear in an address."""
    return await TABLE.answer(
        page, _nobody, asked=TableAsked({}, private=True), template="console/people.html", searched=False
    )


@router.post(HOME, dependencies=[claims(CLAIM), looks("user_listed")])
async def search(page: SignedPage) -> Response:
    """List the people who match a form."""
    asked = await TABLE.asked_by_form(page)
    try:
        return await TABLE.answer(
            page, partial(_read, page), asked=asked, template="console/people.html", searched=True
        )
    except REFUSALS as error:
        fault = TableAsked(asked.values, asked.typed, {"papel": getattr(error, "errors", [{}])[0].get("message", "")})
        return await TABLE.answer(page, _nobody, asked=fault, template="console/people.html", searched=True)


offer_csv(router, TABLE, _read, CLAIM, asked_by_form=TABLE.asked_by_form)


@router.get(HOME + "/{user_id}", dependencies=[claims(CLAIM), looks("user_read")])
async def show_person(user_id: UUID, page: SignedPage) -> Response:
    """Show a person; the look is recorded, and shown to them."""

    async def read(tx: Tx) -> tuple[identity.PersonView, list[tuple[str, bool, datetime]]]:
        return await identity.desk.look_at(tx, user_id), [
            (CONSENT_TEXTS[purpose][0], granted, at)
            for purpose, granted, at in await identity.consents_of(tx, user_id)
            if purpose in CONSENT_TEXTS
        ]

    person, consents = await page.read(read)
    whole_cpf = identity.desk.may_see_cpf(page.who, user_id)
    return page.show(
        "console/person.html",
        home=HOME,
        person=person,
        cpf=(format_cpf(person.cpf) if whole_cpf else mask_cpf(person.cpf)) if person.cpf else "",
        email=person.email if whole_cpf else masked_email(person.email),
        proven=_PROVEN[person.cpf_state],
        themself=user_id == page.who.id,
        consents=consents,
        lists=lists_of(page),
    )


def _named(person: identity.PersonView, act: str) -> dict[str, Any]:
    return {"path": f"{HOME}/{person.id}/{act}", "back": f"{HOME}/{person.id}"}


def _suspension(person: identity.PersonView) -> Confirmation:
    return Confirmation(
        title=f"Suspender {person.full_name}?",
        says=(
            "A pessoa sai de todos os aparelhos agora e não consegue entrar.",
            "O saldo fica guardado, e as compras com cartão continuam.",
        ),
        way_back="Para voltar atrás: “Acabar com a suspensão”, nesta mesma página.",
        button="Suspender",
        danger=True,
        fields=(ActField("reason", "Motivo", "choice", choices=SUSPENSIONS),),
        **_named(person, "suspender"),
    )


def _unsuspension(person: identity.PersonView) -> Confirmation:
    return Confirmation(
        title=f"Acabar com a suspensão de {person.full_name}?",
        says=("A pessoa volta a poder entrar. As sessões encerradas continuam encerradas.",),
        way_back="Pode ser suspensa de novo.",
        button="Acabar com a suspensão",
        **_named(person, "reativar"),
    )


def _signing_out(person: identity.PersonView) -> Confirmation:
    return Confirmation(
        title=f"Encerrar as sessões de {person.full_name}?",
        says=("A pessoa sai de todos os aparelhos agora. A senha continua a mesma.",),
        way_back="Ela pode entrar de novo quando quiser.",
        button="Encerrar sessões",
        danger=True,
        **_named(person, "sair"),
    )


def _factor_reset(person: identity.PersonView) -> Confirmation:
    return Confirmation(
        title=f"Pedir para apagar o segundo fator de {person.full_name}?",
        says=(
            "Depois que outra pessoa aprovar, autenticador e chaves de acesso são apagados e as sessões terminam.",
            "Peça só se você viu a pessoa e um documento com foto.",
        ),
        way_back="Até a aprovação, você pode desistir em Pendências. Depois, a pessoa cadastra um novo.",
        button="Pedir a aprovação",
        danger=True,
        fields=(ActField("paper", "Documento que você comparou com o rosto", "choice", choices=PAPERS),),
        **_named(person, "segundo-fator"),
    )


def _proof(person: identity.PersonView) -> Confirmation:
    return Confirmation(
        title=f"Comprovar o CPF de {person.full_name}?",
        says=(
            "Você declara que viu a pessoa e o documento. O que é deste CPF passa a aparecer para ela.",
            "Se outra conta só digitou este CPF, ele sai de lá; em produção, outra pessoa confirma.",
        ),
        way_back="Uma comprovação errada é retirada nesta mesma página, por quem comprova CPFs.",
        button="Comprovar o CPF",
        fields=(
            ActField("cpf", "CPF que está no documento"),
            ActField("paper", "Documento que você comparou com o rosto", "choice", choices=PAPERS),
        ),
        **_named(person, "comprovar-cpf"),
    )


class SuspensionForm(FormBody):
    """The reason for suspending a person."""

    reason: identity.desk.SuspensionReason


class PaperForm(FormBody):
    """The paper that was seen."""

    paper: identity.desk.Paper


async def _person(page: WebPage, user_id: UUID) -> identity.PersonView:
    return await page.read(lambda tx: identity.desk.look_at(tx, user_id))


@router.get(HOME + "/{user_id}/suspender", dependencies=[claims("users:suspend"), looks("user_read")])
async def ask_suspension(user_id: UUID, page: SignedPage) -> Response:
    """Show what suspending does."""
    return ask(page, _suspension(await _person(page, user_id)))


@router.post(HOME + "/{user_id}/suspender", dependencies=[claims("users:suspend"), acts("user_suspended")])
async def suspend(user_id: UUID, page: SignedPage) -> Response:
    """Suspend a person."""
    form = await page.form(SuspensionForm)
    person = await _person(page, user_id)
    if form.value is None:
        return ask_again(page, _suspension(person), form)
    try:
        async with page.database.transaction() as tx:
            await identity.desk.suspend(tx, page.identity.access, page.who, user_id, form.value.reason)
    except REFUSALS as error:
        return ask_again(page, _suspension(person), form, error)
    return page.go(f"{HOME}/{user_id}", "Acesso suspenso.")


@router.get(HOME + "/{user_id}/reativar", dependencies=[claims("users:suspend"), looks("user_read")])
async def ask_unsuspension(user_id: UUID, page: SignedPage) -> Response:
    """Show what ending a suspension does."""
    return ask(page, _unsuspension(await _person(page, user_id)))


@router.post(HOME + "/{user_id}/reativar", dependencies=[claims("users:suspend"), acts("user_unsuspended")])
async def unsuspend(user_id: UUID, page: SignedPage) -> Response:
    """End a suspension."""
    form = await page.form(FormBody)
    person = await _person(page, user_id)
    try:
        async with page.database.transaction() as tx:
            await identity.desk.unsuspend(tx, page.identity.access, page.who, user_id)
    except REFUSALS as error:
        return ask_again(page, _unsuspension(person), form, error)
    return page.go(f"{HOME}/{user_id}", "A pessoa pode entrar de novo.")


@router.get(HOME + "/{user_id}/sair", dependencies=[claims("users:write"), looks("user_read")])
async def ask_signing_out(user_id: UUID, page: SignedPage) -> Response:
    """Show what ending all sessions does."""
    return ask(page, _signing_out(await _person(page, user_id)))


@router.post(HOME + "/{user_id}/sair", dependencies=[claims("users:write"), acts("signed_out_everywhere")])
async def sign_out(user_id: UUID, page: SignedPage) -> Response:
    """End all sessions of a person."""
    form = await page.form(FormBody)
    person = await _person(page, user_id)
    try:
        async with page.database.transaction() as tx:
            await identity.desk.sign_out_everywhere(tx, page.identity.access, user_id, actor=page.who.id)
    except REFUSALS as error:
        return ask_again(page, _signing_out(person), form, error)
    return page.go(f"{HOME}/{user_id}", "Sessões encerradas.")


@router.get(HOME + "/{user_id}/segundo-fator", dependencies=[claims("users:write"), step_up(), looks("user_read")])
async def ask_factor_reset(user_id: UUID, page: SignedPage) -> Response:
    """Show what resetting a second factor does."""
    return ask(page, _factor_reset(await _person(page, user_id)))


@router.post(
    HOME + "/{user_id}/segundo-fator", dependencies=[claims("users:write"), step_up(), acts("second_factor_reset")]
)
async def reset_factor(user_id: UUID, page: SignedPage) -> Response:
    """Ask for a second factor to be reset; another operator approves."""
    form = await page.form(PaperForm)
    person = await _person(page, user_id)
    if form.value is None:
        return ask_again(page, _factor_reset(person), form)
    try:
        async with page.database.transaction() as tx:
            await identity.desk.propose_factor_reset(
                tx, desk_of(page), page.identity.access, page.who, user_id, form.value.paper
            )
    except REFUSALS as error:
        return ask_again(page, _factor_reset(person), form, error)
    return page.go(f"{HOME}/{user_id}", "Pedido. Outra pessoa aprova em Pendências.")


class SeenCpfForm(FormBody):
    """The facts that an operator saw."""

    cpf: Cpf
    paper: identity.desk.Paper


@router.get(HOME + "/{user_id}/comprovar-cpf", dependencies=[claims("identity:prove"), step_up(), looks("user_read")])
async def ask_proof(user_id: UUID, page: SignedPage) -> Response:
    """Show what proving a CPF does."""
    return ask(page, _proof(await _person(page, user_id)))


@router.post(
    HOME + "/{user_id}/comprovar-cpf",
    dependencies=[claims("identity:prove"), step_up(), acts("cpf_proven", "cpf_disputed")],
)
async def prove_cpf(user_id: UUID, page: SignedPage) -> Response:
    """Record that person and paper were seen."""
    form = await page.form(SeenCpfForm)
    person = await _person(page, user_id)
    if form.value is None:
        return ask_again(page, _proof(person), form)
    seen = identity.desk.CpfProofIn(cpf=form.value.cpf, paper=form.value.paper)
    try:
        async with page.database.transaction() as tx:
            done = await identity.desk.prove_cpf(tx, page.identity, desk_of(page), page.who, user_id, seen)
    except REFUSALS as error:
        return ask_again(page, _proof(person), form, error)
    waits = isinstance(done, Answered)
    return page.go(f"{HOME}/{user_id}", "Pedido: outra pessoa confirma." if waits else "CPF comprovado.")


def _withdrawal(person: identity.PersonView) -> Confirmation:
    return Confirmation(
        title=f"Retirar a comprovação do CPF de {person.full_name}?",
        says=(
            "O CPF continua na conta, mas só como digitado: o que é do CPF deixa de aparecer, e a pessoa é avisada.",
            "Se outra pessoa comprovar este CPF, ele passa para a conta dela.",
        ),
        way_back="A pessoa pode comprovar de novo, por gov.br ou com um operador.",
        button="Retirar a comprovação",
        danger=True,
        facts=(("CPF", mask_cpf(person.cpf) if person.cpf else ""),),
        seen=version_seen(identity.desk.version_of_proof(person.cpf_proven_at)),
        **_named(person, "retirar-comprovacao"),
    )


@router.get(
    HOME + "/{user_id}/retirar-comprovacao", dependencies=[claims("identity:prove"), step_up(), looks("user_read")]
)
async def ask_withdrawal(user_id: UUID, page: SignedPage) -> Response:
    """Show the effects of withdrawing a proof."""
    return ask(page, _withdrawal(await _person(page, user_id)))


@router.post(
    HOME + "/{user_id}/retirar-comprovacao",
    dependencies=[claims("identity:prove"), step_up(), acts("cpf_proof_withdrawn")],
)
async def withdraw_proof(user_id: UUID, page: SignedPage) -> Response:
    """Withdraw a wrong proof; the CPF stays in the account as declared."""
    form = await page.form(VersionForm)
    act = _withdrawal(await _person(page, user_id))
    if form.value is None:
        return ask_again(page, act, form)
    try:
        async with page.database.transaction() as tx:
            await identity.desk.withdraw_proof(tx, user_id, actor=page.user_id, seen=form.value.known)
    except REFUSALS as error:
        return ask_again(page, act, form, error)
    return page.go(f"{HOME}/{user_id}", "Comprovação retirada: o CPF está só como digitado.")
