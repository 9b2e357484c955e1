"""The home page: balances and the last movements; three concurrent reads."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from fastapi import Response

from carteira import benefits, identity, ledger, resellers, transit
from carteira.kit.values.clock import business_month, clock
from carteira.web.formats import first_name, greeting
from carteira.web.page import SignedPage, WebPage
from carteira.web.routing import pages
from carteira.web.wallet import movements
from carteira.web.wallet.movements import MoneyMovement
from carteira.web.wallet.notices import inbox_of
from carteira.web.wallet.pockets import BENEFITS, CASHBACK, Pocket, place, pocket_of

router = pages()
_SHOWN = 6
_REFUSAL_HOURS = 24
_LOOKED_BACK = timedelta(days=180)


@dataclass(frozen=True, slots=True)
class Balance:
    """A pocket's balance, in centavos."""

    pocket: Pocket
    available: int


@dataclass(frozen=True, slots=True)
class BenefitCard:
    """The pockets that one employer fills."""

    employer: str
    balances: list[Balance]


@dataclass(frozen=True, slots=True)
class _Money:
    name: str
    accounts: list[ledger.LedgerAccountView]
    lines: list[ledger.StatementLine]


@dataclass(frozen=True, slots=True)
class _Benefits:
    accounts: list[benefits.OwnBenefit]
    decisions: list[benefits.OwnDecision]


@dataclass(frozen=True, slots=True)
class _Products:
    cards: list[transit.Card]
    month: resellers.MonthOut | None
    unread: int


async def _money(page: WebPage) -> _Money:
    async with page.database.transaction() as tx:
        names = await identity.names(tx, [page.user_id])
        accounts = await ledger.accounts_of_owner(tx, page.user_id)
        lines = await ledger.statement(tx, [account.id for account in accounts], limit=_SHOWN)
    return _Money(names.get(page.user_id, ""), accounts, lines)


async def _benefits(page: WebPage) -> _Benefits:
    if not page.has("benefits"):
        return _Benefits([], [])
    now = clock.now()
    async with page.database.transaction() as tx:
        accounts = await benefits.benefits_of_person(tx, page.user_id)
        decisions = await benefits.decisions_of_person(
            tx, page.user_id, since=now - _LOOKED_BACK, until=now + timedelta(minutes=1), limit=_SHOWN
        )
    return _Benefits(accounts, decisions)


async def _products(page: WebPage) -> _Products:
    async with page.database.transaction() as tx:
        cards = await transit.cards(tx, page.user_id) if page.has("transit") else []
        month = None
        if page.has("resellers") and resellers.CLAIM in page.who.claims:
            month = await resellers.own_month(tx, page.who, business_month(clock.now()))
        unread = await inbox_of(page).unread(tx)
    return _Products(cards, month, unread)


@router.get("/app")
async def show_home(page: SignedPage) -> Response:
    """Show balances by purpose and the last movements of all products."""
    money, own, products = await asyncio.gather(_money(page), _benefits(page), _products(page))
    kinds = {account.id: account.kind for account in money.accounts}
    decisions = {decision.id: decision for decision in own.decisions}
    refusals = movements.of_refusals(own.decisions)
    last = movements.newest_first([*movements.of_lines(money.lines, kinds, decisions), *refusals])[:_SHOWN]
    cards = [card for card in products.cards if card.status != "cancelled"]
    return page.show(
        "wallet/home.html",
        block="main",
        greeting=greeting(clock.now()),
        today=clock.today(),
        name=first_name(money.name),
        full_name=money.name,
        benefit_cards=benefit_cards(own.accounts, money.accounts),
        cards=cards,
        days=movements.by_day(last),
        refused=_just_refused(refusals),
        month=products.month,
        unread=products.unread,
        cashback=sum(account.available for account in money.accounts if account.kind == CASHBACK),
        has_cashback=any(account.kind == CASHBACK for account in money.accounts),
    )


def benefit_cards(own: list[benefits.OwnBenefit], accounts: list[ledger.LedgerAccountView]) -> list[BenefitCard]:
    """Group a person's benefit balances by employer."""
    held: dict[UUID, list[ledger.LedgerAccountView]] = {}
    for account in accounts:
        if account.kind.startswith(BENEFITS) and account.holder_id is not None:
            held.setdefault(account.holder_id, []).append(account)
    return [
        BenefitCard(
            benefit.employer,
            [
                Balance(pocket_of(account.kind), account.available)
                for account in sorted(held.get(benefit.account_id, []), key=lambda account: place(account.kind))
            ],
        )
        for benefit in own
    ]


def _just_refused(refusals: list[MoneyMovement]) -> MoneyMovement | None:
    """Return the newest declined purchase, while it is recent."""
    since = clock.now() - timedelta(hours=_REFUSAL_HOURS)
    newest = max(refusals, key=lambda movement: movement.at, default=None)
    return newest if newest is not None and newest.at > since else None
