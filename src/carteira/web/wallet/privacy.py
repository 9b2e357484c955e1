"""My data: looks at them, consents, export and erasure."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

import orjson
from fastapi import Query, Response
from fastapi.encoders import jsonable_encoder
from pydantic import Field

from carteira import identity, ledger
from carteira.kit.values.clock import clock
from carteira.web.forms import FormBody
from carteira.web.page import REFUSALS, SignedPage, WebPage
from carteira.web.routing import pages
from carteira.web.wallet.pockets import Pocket, pocket_of

router = pages()
_LOOKS, _CONSENTS, _DOWNLOAD, _CLOSE = (
    "wallet/privacy.html",
    "wallet/consents.html",
    "wallet/download.html",
    "wallet/close_account.html",
)
_UP = "/app/dados"
_SHOWN = 20
_DAYS = {"30d": 30, "12m": 365, "tudo": None}
Period = Literal["30d", "12m", "tudo"]
_NOT_PEOPLE = {
    "client": ("Um sistema ligado à plataforma", "máquina"),
    "processor": ("A processadora dos cartões", "máquina"),
    "job": ("A própria plataforma", "trabalho automático"),
    "command": ("Quem cuida do servidor", "por comando"),
}
_PURPOSES = {
    "credit_analysis": "Análise de um pedido de crédito",
    "credit_protection": "Proteção do crédito",
    "fraud_prevention": "Prevenção de fraude",
    "collection": "Cobrança",
    "customer_request": "Pedido seu",
    "legal_obligation": "Obrigação legal",
    "audit": "Auditoria",
    "data_subject": "Pedido seu, como titular",
}
CONSENT_TEXTS: dict[str, tuple[str, str]] = {
    "marketing": ("Novidades e ofertas", "Receber mensagens sobre novidades e ofertas."),
    "credit_profile": ("Perfil de crédito", "Usar o que você faz aqui para compor o seu perfil de crédito."),
    "product_improvement": ("Melhoria do produto", "Usar como você usa a carteira para melhorá-la."),
}


@dataclass(frozen=True, slots=True)
class SeenLook:
    """A look, in words for the person."""

    access: identity.DataAccessView
    who: str
    role: str
    what: str
    purpose: str


@dataclass(frozen=True, slots=True)
class ConsentAnswer:
    """A purpose and its valid answer; `granted` is None without an answer."""

    purpose: identity.Purpose
    title: str
    text: str
    answer: tuple[str, bool, object] | None

    @property
    def granted(self) -> bool | None:
        """Whether the person agreed."""
        return None if self.answer is None else self.answer[1]


class ConsentForm(FormBody):
    """An answer to a purpose."""

    granted: Literal["sim", "nao"]


class CloseForm(FormBody):
    """One's own e-mail, typed as confirmation."""

    email: Annotated[str, Field(max_length=500)]


@router.get("/app/dados")
async def show_looks(
    page: SignedPage,
    period: Annotated[Period, Query(alias="periodo")] = "30d",
    before: Annotated[UUID | None, Query(alias="antes")] = None,
) -> Response:
    """Show the looks at my data: who, when, what and what for."""
    days = _DAYS[period]
    since = None if days is None else clock.now() - timedelta(days=days)
    async with page.database.transaction() as tx:
        found = await identity.accesses_to(
            tx, page.user_id, page.identity.ids_of, limit=_SHOWN + 1, before=before, since=since
        )
        person = await identity.person(tx, page.user_id)
    looks = [_look_row(page, access) for access in found[:_SHOWN]]
    older = looks[-1].access.id if len(found) > _SHOWN else None
    return page.show(
        _LOOKS, block="main", looks=looks, period=period, before=before, older=older, cpf_state=person.cpf_state
    )


def _look_row(page: WebPage, access: identity.DataAccessView) -> SeenLook:
    who, role = _NOT_PEOPLE.get(access.actor_kind or "command", ("Alguém que já não está aqui", ""))
    if access.actor_kind in {"person", "client"} and access.actor_name:
        who, role = access.actor_name, access.actor_role or role
    what = page.identity.looks.get(access.action, "Seus dados")
    return SeenLook(access, who, role, what, _PURPOSES.get(access.purpose or "", access.purpose or ""))


@router.get("/app/dados/consentimentos")
async def show_consents(page: SignedPage) -> Response:
    """Show my consents."""
    async with page.database.transaction() as tx:
        given = {row[0]: row for row in await identity.consents_of(tx, page.user_id)}
    answers = [ConsentAnswer(purpose, *CONSENT_TEXTS[purpose], given.get(purpose)) for purpose in identity.PURPOSES]
    return page.show(_CONSENTS, up=_UP, answers=answers)


@router.post("/app/dados/consentimentos/{purpose}")
async def answer_consent(purpose: identity.Purpose, page: SignedPage) -> Response:
    """Record that I give or withdraw a consent."""
    form = await page.form(ConsentForm)
    if form.value is None:
        return page.go("/app/dados/consentimentos")
    granted = form.value.granted == "sim"
    async with page.database.transaction() as tx:
        await identity.record_consent(tx, page.user_id, purpose, granted=granted)
    return page.go("/app/dados/consentimentos", "Consentimento dado." if granted else "Consentimento retirado.")


@router.get("/app/dados/baixar")
async def show_download(page: SignedPage) -> Response:
    """Show what the export holds, and offer it."""
    page.who.require_step_up()
    return page.show(_DOWNLOAD, up=_UP)


@router.post("/app/dados/baixar")
async def download(page: SignedPage) -> Response:
    """Download everything that is held about me."""
    page.who.require_step_up()
    async with page.database.transaction() as tx:
        held = await identity.everything_about(tx, page.identity, page.user_id)
    return Response(
        orjson.dumps(jsonable_encoder(held), option=orjson.OPT_INDENT_2),
        headers={
            "Content-Disposition": 'attachment; filename="meus-dados.json"',
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
        },
        media_type="application/json",
    )


@dataclass(frozen=True, slots=True)
class LeftBalance:
    """Money that is left in one account, in centavos."""

    pocket: Pocket
    balance: int
    held: int


async def _remaining(page: WebPage) -> list[LeftBalance]:
    async with page.database.transaction() as tx:
        accounts = await ledger.accounts_of_owner(tx, page.user_id)
    return [
        LeftBalance(pocket_of(account.kind), account.balance, account.held)
        for account in accounts
        if account.balance or account.held
    ]


async def _person(page: WebPage) -> identity.PersonView:
    async with page.database.transaction() as tx:
        return await identity.person(tx, page.user_id)


@router.get("/app/dados/encerrar")
async def show_close(page: SignedPage) -> Response:
    """Show what closing the account means, and what prevents it."""
    page.who.require_step_up()
    left, person = await asyncio.gather(_remaining(page), _person(page))
    return page.show(_CLOSE, up=_UP, left=left, email=person.email)


@router.post("/app/dados/encerrar")
async def close(page: SignedPage) -> Response:
    """Erase the person in every module, and sign them out."""
    page.who.require_step_up()
    form = await page.form(CloseForm)
    left, person = await asyncio.gather(_remaining(page), _person(page))
    context: dict[str, Any] = {"up": _UP, "left": left, "email": person.email}
    if form.value is None or form.value.email.strip().lower() != person.email.lower():
        return page.show(_CLOSE, status=422, form=form.at("email", "Escreva o e-mail da sua conta."), **context)
    try:
        async with page.database.transaction() as tx:
            await identity.erase_user(tx, page.identity, page.who, page.user_id)
    except REFUSALS as error:
        return page.again(_CLOSE, form, error, **context)
    response = page.go("/app/entrar", "Conta encerrada. Seus dados foram apagados.")
    page.browser.sign_out(response)
    return response
