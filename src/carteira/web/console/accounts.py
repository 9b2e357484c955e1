"""Employers' benefit accounts: searched by POST (no personal data in addresses), blocked, closed, invited."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, Any

from fastapi import Response
from pydantic import Field

from carteira import benefits
from carteira.kit.db.session import Tx
from carteira.kit.security import audit
from carteira.kit.values.cpf import InvalidCpf, parse_cpf
from carteira.kit.web.access import acts, claims, looks
from carteira.kit.web.pagination import BY_ID, Page
from carteira.kit.web.problems import InvalidInput
from carteira.web.console.acts import ActField, Confirmation, Detail, ask, ask_again, marked_in, show_detail
from carteira.web.console.cells import NOTHING, Cell, badge, instant, mono, words
from carteira.web.console.tables import OLDEST, PERSON, ROWS, BulkAct, Filter, Table, TableAsked, TableColumn, offer_csv
from carteira.web.formats import plain_money
from carteira.web.forms import FormBody
from carteira.web.page import REFUSALS, SignedPage, WebPage
from carteira.web.routing import pages

router = pages("benefits")
HOME = "/console/contas"
_INVITE = f"{HOME}/convidar"
READS, WRITES = "benefits:read", "benefits:write"
_STATES = (("active", "Ativas"), ("blocked", "Bloqueadas"), ("closed", "Encerradas"))
BLOCKINGS = (
    ("lost_or_stolen", "Cartão perdido ou roubado"),
    ("suspected_fraud", "Suspeita de fraude"),
    ("holder_asked", "O titular pediu"),
    ("court_order", "Ordem judicial"),
)
"""The reasons for blocking an account."""


def _state(row: benefits.desk.ListedAccountOut) -> Cell:
    if row.state == "active":
        return badge("Ativa", "ok", "check")
    return badge("Bloqueada", "warn", "lock") if row.state == "blocked" else badge("Encerrada", "", "block")


def _balances(row: benefits.desk.ListedAccountOut) -> Cell:
    held = [f"{benefits.pocket_name(name)} {plain_money(amount)}" for name, amount in row.balances.items() if amount]
    return words(" · ".join(held) or "sem saldo")


_INVITATIONS: dict[str, Cell] = {
    "sending": badge("A caminho", "info", "clock"),
    "sent": badge("Enviado", "info", "send"),
    "opened": badge("Aberto", "ok", "eye"),
    "expired": badge("Venceu", "warn", "clock"),
}


def _invitation(row: benefits.desk.ListedAccountOut) -> Cell:
    return NOTHING if row.invitation is None else _INVITATIONS[row.invitation.state]


_ACCOUNT = Filter("conta", "Conta", pattern=r"[A-Za-z0-9._:-]{1,64}", wrong="Letras, números e . _ : -")
TABLE: Table[benefits.desk.ListedAccountOut] = Table(
    HOME,
    "contas",
    (
        TableColumn("Conta", lambda row: mono(row.account)),
        TableColumn("Nome", lambda row: words(row.name), "full"),
        TableColumn("CPF", lambda row: words(row.cpf), "nowrap"),
        TableColumn("Saldos", _balances, "full"),
        TableColumn("Dono", lambda row: badge("Ligada", "ok", "check") if row.user_id else badge("Sem dono", "warn")),
        TableColumn("Convite", _invitation),
        TableColumn("Situação", _state, "stack-end"),
        TableColumn("Aberta", lambda row: instant(row.created_at), "nowrap", order=OLDEST),
    ),
    key=lambda row: row.account,
    filters=(
        Filter("cpf", "CPF inteiro", grows=True),
        _ACCOUNT,
        PERSON,
        Filter("situacao", "Situação", "choice", _STATES),
    ),
    opens=lambda row: f"{HOME}/{row.account}",
    acts=(BulkAct(_INVITE, "Mandar convites…", "c"),),
    empty=("Nenhuma conta", "Uma conta aparece aqui quando o RH a abre."),
)


async def _read(page: WebPage, tx: Tx, asked: TableAsked, limit: int) -> Page[benefits.desk.ListedAccountOut]:
    cpf = asked.get("cpf")
    state: Any = asked.get("situacao")
    wanted = benefits.desk.AccountSearchIn(
        cpf=parse_cpf(cpf) if cpf else None,
        account=asked.get("conta"),
        user_id=asked.id("pessoa"),
        state=state,
    )
    return await benefits.desk.accounts(tx, page.who, wanted, asked.page_request(BY_ID, limit))


@router.get(HOME, dependencies=[claims(READS), looks("benefit_accounts_listed")])
async def show_accounts(page: SignedPage) -> Response:
    """List accounts, of a state or a person; personal search terms never appear in an address."""
    return await _list(page, TABLE.asked_openly(page, "pessoa", "situacao"))


async def _list(page: WebPage, asked: TableAsked) -> Response:
    may = [_INVITE] if page.holds(WRITES) else []
    return await TABLE.answer(page, partial(_read, page), asked=asked, template="console/accounts.html", may_act=may)


@router.post(HOME, dependencies=[claims(READS), looks("benefit_accounts_listed")])
async def search(page: SignedPage) -> Response:
    """List the accounts that match a form."""
    return await _list(page, await _asked(page))


async def _asked(page: WebPage) -> TableAsked:
    """Parse a search by form."""
    asked = await TABLE.asked_by_form(page)
    try:
        parse_cpf(asked.get("cpf") or "52998224725")
    except InvalidCpf as error:
        return replace(asked, errors={"cpf": str(error)})
    return asked


offer_csv(router, TABLE, _read, READS, asked_by_form=_asked)


async def _one(page: WebPage, account: str) -> benefits.desk.ListedAccountOut:
    return await page.read(lambda tx: benefits.desk.account(tx, page.who, account))


@router.get(HOME + "/{account}", dependencies=[claims(READS), looks("benefit_accounts_listed")])
async def show_account(account: str, page: SignedPage) -> Response:
    """Show one account: its balances, its person, and the possible acts."""
    one = await _one(page, account)
    return page.show(
        "console/account.html",
        home=HOME,
        one=one,
        state=_state(one),
        invited=_invitation(one),
        pocket_name=benefits.pocket_name,
    )


def _named(one: benefits.desk.ListedAccountOut, act: str) -> dict[str, Any]:
    return {"path": f"{HOME}/{one.account}/{act}", "back": f"{HOME}/{one.account}"}


def _blocking(one: benefits.desk.ListedAccountOut) -> Confirmation:
    return Confirmation(
        title=f"Bloquear a conta {one.account}?",
        says=("As compras param agora. O saldo fica, e o que chega continua chegando. Demissão não é motivo.",),
        way_back="“Reativar”, na página da conta.",
        button="Bloquear",
        danger=True,
        fields=(ActField("reason", "Motivo", "choice", choices=BLOCKINGS),),
        **_named(one, "bloquear"),
    )


def _unblocking(one: benefits.desk.ListedAccountOut) -> Confirmation:
    return Confirmation(
        title=f"Reativar a conta {one.account}?",
        says=("As compras voltam a passar agora.",),
        way_back="A conta pode ser bloqueada de novo.",
        button="Reativar",
        **_named(one, "reativar"),
    )


def _closing(one: benefits.desk.ListedAccountOut) -> Confirmation:
    return Confirmation(
        title=f"Encerrar a conta {one.account}?",
        says=("Nada mais se credita a ela. Só uma conta sem saldo se encerra: o saldo é do trabalhador.",),
        way_back="“Reativar”, na página da conta.",
        button="Encerrar",
        danger=True,
        **_named(one, "encerrar"),
    )


def _inviting(one: benefits.desk.ListedAccountOut) -> Confirmation:
    return Confirmation(
        title=f"{'Reenviar o convite' if one.invitation else 'Convidar o titular'} da conta {one.account}?",
        says=("Um convite vai ao contato cadastrado e vale 7 dias. Um convite anterior deixa de valer.",),
        way_back="Um convite que ninguém usa vence sozinho.",
        button="Mandar o convite",
        **_named(one, "convidar"),
    )


class BlockForm(FormBody):
    """The reason for blocking an account."""

    reason: benefits.desk.BlockReason


@router.get(HOME + "/{account}/bloquear", dependencies=[claims(READS, WRITES), looks("benefit_accounts_listed")])
async def ask_block(account: str, page: SignedPage) -> Response:
    """Show what blocking does."""
    return ask(page, _blocking(await _one(page, account)))


@router.post(HOME + "/{account}/bloquear", dependencies=[claims(READS, WRITES), acts("benefit_account_blocked")])
async def block(account: str, page: SignedPage) -> Response:
    """Block an account's purchases."""
    form = await page.form(BlockForm)
    one = await _one(page, account)
    if form.value is None:
        return ask_again(page, _blocking(one), form)
    try:
        async with page.database.transaction() as tx:
            await benefits.desk.block(tx, account, form.value.reason, page.who.actor)
    except REFUSALS as error:
        return ask_again(page, _blocking(one), form, error)
    return page.go(f"{HOME}/{account}", "Conta bloqueada.")


@router.get(HOME + "/{account}/reativar", dependencies=[claims(READS, WRITES), looks("benefit_accounts_listed")])
async def ask_unblock(account: str, page: SignedPage) -> Response:
    """Show what reactivating does."""
    return ask(page, _unblocking(await _one(page, account)))


@router.post(HOME + "/{account}/reativar", dependencies=[claims(READS, WRITES), acts("benefit_account_unblocked")])
async def unblock(account: str, page: SignedPage) -> Response:
    """Let an account be used again."""
    form = await page.form(FormBody)
    one = await _one(page, account)
    try:
        async with page.database.transaction() as tx:
            await benefits.desk.unblock(tx, account, page.who.actor)
    except REFUSALS as error:
        return ask_again(page, _unblocking(one), form, error)
    return page.go(f"{HOME}/{account}", "Conta reativada.")


@router.get(HOME + "/{account}/encerrar", dependencies=[claims(READS, WRITES), looks("benefit_accounts_listed")])
async def ask_close(account: str, page: SignedPage) -> Response:
    """Show what closing does."""
    return ask(page, _closing(await _one(page, account)))


@router.post(HOME + "/{account}/encerrar", dependencies=[claims(READS, WRITES), acts("benefit_account_closed")])
async def close(account: str, page: SignedPage) -> Response:
    """Close an account without money."""
    form = await page.form(FormBody)
    one = await _one(page, account)
    try:
        async with page.database.transaction() as tx:
            await benefits.desk.close(tx, account, page.who.actor)
    except REFUSALS as error:
        return ask_again(page, _closing(one), form, error)
    return page.go(f"{HOME}/{account}", "Conta encerrada.")


@router.get(HOME + "/{account}/convidar", dependencies=[claims(READS, WRITES), looks("benefit_accounts_listed")])
async def ask_invitation(account: str, page: SignedPage) -> Response:
    """Show what inviting does."""
    return ask(page, _inviting(await _one(page, account)))


@router.post(HOME + "/{account}/convidar", dependencies=[claims(READS, WRITES), acts("benefit_invited")])
async def invite(account: str, page: SignedPage) -> Response:
    """Queue an invitation to the recorded contact."""
    form = await page.form(FormBody)
    one = await _one(page, account)
    try:
        await benefits.desk.invite(page.identity, account, page.who.actor)
    except REFUSALS as error:
        return ask_again(page, _inviting(one), form, error)
    return page.go(f"{HOME}/{account}", "Convite a caminho.")


class SeveralForm(FormBody):
    """The confirmation of an act on marked accounts."""

    sure: Annotated[str, Field(alias="certo", max_length=3)] = ""


def _inviting_many(marked: Sequence[str]) -> Confirmation:
    many = f"os titulares de {len(marked)} contas" if len(marked) > 1 else f"o titular da conta {marked[0]}"
    return Confirmation(
        title=f"Convidar {many}?",
        says=(
            "Um convite vai ao contato cadastrado de cada conta e vale 7 dias. Um convite anterior deixa de valer.",
            "Uma conta que já tem dono, ou que não tem contato, fica como está, e as outras seguem.",
        ),
        way_back="Um convite que ninguém usa vence sozinho.",
        button="Mandar os convites" if len(marked) > 1 else "Mandar o convite",
        path=_INVITE,
        back=HOME,
        facts=[(f"Conta {number}", reference) for number, reference in enumerate(marked, 1)],
        hidden=[("id", reference) for reference in marked],
    )


@router.post(_INVITE, dependencies=[claims(READS, WRITES), acts("benefit_invited", each=True)])
async def invite_marked(page: SignedPage) -> Response:
    """Queue invitations of marked accounts after a confirmation; show the result of each."""
    marked = await marked_in(page, "id")
    form = await page.form(SeveralForm)
    if not marked:
        audit.nothing_done()
        return page.go(HOME, "Marque ao menos uma conta.")
    if len(marked) > ROWS or any(_ACCOUNT.fault(reference) for reference in marked):
        raise InvalidInput
    if form.value is None or not form.value.sure:
        return ask(page, _inviting_many(marked))
    done = await benefits.desk.invite_many(page.identity, marked, page.who.actor)
    facts = [(one.account, one.detail or "Convite a caminho.") for one in done.results]
    title = f"{done.sent} a caminho, {done.failed} não" if done.failed else f"{done.sent} a caminho"
    return show_detail(page, Detail(title, (HOME, "Contas"), facts))
