"""Benefits: pockets and where they pay, declined purchases, and claiming an account."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

from fastapi import Query, Response
from pydantic import AfterValidator, StringConstraints

from carteira import benefits, identity, ledger
from carteira.kit.security.codes import MessageCode
from carteira.kit.values.clock import clock
from carteira.kit.values.texts import unspaced
from carteira.web.forms import FormBody
from carteira.web.page import REFUSALS, SignedPage, WebPage
from carteira.web.routing import pages
from carteira.web.wallet import movements
from carteira.web.wallet.benefit_uses import shops_named, uses
from carteira.web.wallet.home import benefit_cards
from carteira.web.wallet.pockets import BENEFITS

router = pages("benefits")
_HOME = "/app/beneficios"
_PAGE, _INVITATION, _CODE = "wallet/benefits.html", "wallet/benefits_invitation.html", "wallet/benefits_code.html"
_LOOKED_BACK = timedelta(days=180)
_REFUSALS = 5
_WAITING = 20
_MINE = "A conta de benefícios agora é sua."

_Typed = Annotated[str, AfterValidator(unspaced), StringConstraints(min_length=1, max_length=200)]


class InvitationForm(FormBody):
    """The invitation's token from the link."""

    convite: _Typed


class ClaimForm(FormBody):
    """The reference of an account."""

    account: _Typed


class ClaimCodeForm(ClaimForm):
    """The reference of an account and the code sent to its contact."""

    code: MessageCode


@dataclass(frozen=True, slots=True)
class _Own:
    accounts: list[benefits.OwnBenefit]
    refused: list[benefits.OwnDecision]
    accepted: list[benefits.AcceptedWhere]


async def _own(page: WebPage) -> _Own:
    now = clock.now()
    async with page.database.transaction() as tx:
        accounts = await benefits.benefits_of_person(tx, page.user_id)
        decisions = await benefits.decisions_of_person(
            tx, page.user_id, since=now - _LOOKED_BACK, until=now + timedelta(minutes=1), limit=_REFUSALS
        )
        accepted = await benefits.accepted_where(tx)
    refused = [decision for decision in decisions if not decision.approved]
    return _Own(accounts, refused[:_REFUSALS], accepted)


async def _held(page: WebPage) -> tuple[list[ledger.LedgerAccountView], list[benefits.WaitingAccount]]:
    async with page.database.transaction() as tx:
        held = await ledger.accounts_of_owner(tx, page.user_id)
        proven = await identity.proven_cpf(tx, page.user_id) is not None
        waiting = await benefits.waiting_accounts(tx, page.user_id, limit=_WAITING, after=None) if proven else []
    return held, list(waiting)


@router.get("/app/beneficios")
async def show_benefits(page: SignedPage, shop: Annotated[str, Query(alias="lugar", max_length=80)] = "") -> Response:
    """Show the pockets, where they pay, and the last declined purchases."""
    return page.show(_PAGE, **await _page_data(page, " ".join(shop.replace("\0", "").split())))


async def _page_data(page: WebPage, shop: str = "") -> dict[str, Any]:
    """Return the page's data, read concurrently."""
    own, (held, waiting) = await asyncio.gather(_own(page), _held(page))
    categories = {account.kind.removeprefix(BENEFITS) for account in held if account.kind.startswith(BENEFITS)}
    return {
        "cards": benefit_cards(own.accounts, held),
        "waiting": waiting,
        "refused": movements.by_day(movements.of_refusals(own.refused)),
        "uses": uses(own.accepted, categories),
        "shop": shop,
        "found": shops_named(own.accepted, shop) if shop and categories else [],
    }


@router.get("/app/beneficios/convite")
async def show_invitation(page: SignedPage, invitation: Annotated[str, Query(alias="convite")] = "") -> Response:
    """Show what an invitation does, before it is used; its sender sees that it was opened."""
    if invitation:
        async with page.database.transaction() as tx:
            await benefits.note_invitation_opened(tx, invitation[:200])
    return page.show(_INVITATION, invitation=invitation[:200], up=_HOME)


@router.post("/app/beneficios/convite")
async def accept_invitation(page: SignedPage) -> Response:
    """Claim the account of an invitation."""
    form = await page.form(InvitationForm)
    invitation = form.text("convite")[:200]
    if form.value is None:
        return page.show(_INVITATION, status=422, form=form, invitation=invitation, up=_HOME)
    token = form.value.convite
    try:
        outcome = await page.once(
            lambda tx: benefits.accept_invitation(tx, page.user_id, token), payload={"token": token}
        )
    except REFUSALS as error:
        return page.again(_INVITATION, form, error, invitation=invitation, up=_HOME)
    if outcome.refused:
        again = form.saying(outcome.refused)
        return page.show(_INVITATION, status=409, form=again, invitation=invitation, up=_HOME)
    return page.go(_HOME, outcome.said(_MINE))


@router.post("/app/beneficios/codigo")
async def ask_code(page: SignedPage) -> Response:
    """Queue a code to the contact that the employer recorded for an account."""
    form = await page.form(ClaimForm)
    if form.value is None:
        return page.show(_PAGE, status=422, form=form, **await _page_data(page))
    try:
        await benefits.ask_claim(page.identity, page.user_id, form.value.account)
    except benefits.AlreadyClaimed as error:
        return page.go(_HOME, error.detail)
    except REFUSALS as error:
        return page.again(_PAGE, form, error, **await _page_data(page))
    return page.show(_CODE, account=form.value.account, up=_HOME)


@router.post("/app/beneficios/ligar")
async def claim(page: SignedPage) -> Response:
    """Claim an account by its code."""
    form = await page.form(ClaimCodeForm)
    account = form.text("account")[:200]
    if form.value is None:
        return page.show(_CODE, status=422, form=form, account=account, up=_HOME)
    try:
        await benefits.confirm_claim(
            page.identity, page.user_id, page.client.address, form.value.account, form.value.code
        )
    except benefits.AlreadyClaimed as error:
        return page.go(_HOME, error.detail)
    except REFUSALS as error:
        return page.again(_CODE, form, error, account=account, up=_HOME)
    return page.go(_HOME, _MINE)


@router.post("/app/beneficios/ligar-com-cpf")
async def claim_by_cpf(page: SignedPage) -> Response:
    """Claim an account that waits for one's proven CPF."""
    form = await page.form(ClaimForm)
    if form.value is None:
        return page.show(_PAGE, status=422, form=form, **await _page_data(page))
    try:
        await benefits.confirm_claim(page.identity, page.user_id, page.client.address, form.value.account, None)
    except benefits.AlreadyClaimed as error:
        return page.go(_HOME, error.detail)
    except REFUSALS as error:
        return page.again(_PAGE, form, error, **await _page_data(page))
    return page.go(_HOME, _MINE)
