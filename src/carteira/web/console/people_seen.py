"""A person's wallet as they see it, read only: each part by the claim that opens its screens.

Credit is not among them: the law wants a purpose for each look, which the credit desk asks for.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from fastapi import Response

from carteira import benefits, documents, identity, inbox, ledger, transit
from carteira.kit.db.session import Tx
from carteira.kit.security import audit
from carteira.kit.values.clock import clock
from carteira.kit.web.access import claims, looks
from carteira.web.console.credit import CLAIMS as CREDIT
from carteira.web.console.people import CLAIM, HOME, lists_of
from carteira.web.page import SignedPage, WebPage
from carteira.web.routing import pages
from carteira.web.wallet import movements
from carteira.web.wallet.documents import ShownDocument
from carteira.web.wallet.home import Balance, BenefitCard, benefit_cards
from carteira.web.wallet.notices import NOTICE_ICONS
from carteira.web.wallet.pockets import BENEFITS, CASHBACK, TRANSIT, pocket_of

router = pages()
LOOK = "wallet_seen"
_MOVEMENTS, _LOOKED_BACK = 12, timedelta(days=180)
_DOCUMENTS, _CARDS, _NOTICES = 100, 100, 30


@dataclass(frozen=True, slots=True)
class WalletPart:
    """A part of a wallet: its name, its module, and the claim that opens it."""

    key: str
    name: str
    module: str
    claim: str


PARTS = (
    WalletPart("benefits", "Benefícios", "benefits", "benefits:read"),
    WalletPart("transit", "Cartões de transporte", "transit", "transit:review"),
    WalletPart("resellers", "Cashback", "resellers", "purchases:read"),
    WalletPart("documents", "Documentos", "documents", "documents:review"),
    WalletPart("account", "Avisos da conta", "", "users:read"),
    WalletPart("payments", "Avisos de Pix", "payments", "payments:read"),
    WalletPart("look", "Quem viu os dados", "", "audit:read"),
)
"""The parts of a wallet; a notice belongs to the part whose key is its topic's prefix."""
_MONEY = ((BENEFITS, "benefits"), (TRANSIT, "transit"), (CASHBACK, "resellers"))
"""The part of each kind of money, by the kind's prefix."""
_MONEYED = frozenset(part for _, part in _MONEY)


def parts_for(page: WebPage) -> tuple[WalletPart, ...]:
    """Return the parts that an operator may see; operators of some employers see no benefits of others."""
    return tuple(
        part
        for part in PARTS
        if (not part.module or page.has(part.module))
        and page.holds(part.claim)
        and (part.key != "benefits" or page.who.scopes is None)
    )


@dataclass(frozen=True, slots=True)
class SeenMoney:
    """Balances and the last movements."""

    benefits: list[BenefitCard] = field(default_factory=list)
    cashback: list[Balance] = field(default_factory=list)
    days: list[movements.Day] = field(default_factory=list)


def _part_of(kind: str) -> str:
    return next((part for begin, part in _MONEY if kind.startswith(begin)), "")


async def _money(page: WebPage, user_id: UUID, keys: frozenset[str]) -> SeenMoney:
    if not keys & _MONEYED:
        return SeenMoney()
    now = clock.now()

    async def read(tx: Tx) -> SeenMoney:
        held = await ledger.accounts_of_owner(tx, user_id)
        accounts = [account for account in held if _part_of(account.kind) in keys]
        lines = await ledger.statement(tx, [account.id for account in accounts], limit=_MOVEMENTS)
        own, decisions = list[benefits.OwnBenefit](), list[benefits.OwnDecision]()
        if "benefits" in keys:
            own = await benefits.benefits_of_person(tx, user_id)
            decisions = await benefits.decisions_of_person(
                tx, user_id, since=now - _LOOKED_BACK, until=now + timedelta(minutes=1), limit=_MOVEMENTS
            )
        kinds = {account.id: account.kind for account in accounts}
        moved = movements.of_lines(lines, kinds, {decision.id: decision for decision in decisions})
        last = movements.newest_first([*moved, *movements.of_refusals(decisions)])[:_MOVEMENTS]
        cashback = [
            Balance(pocket_of(account.kind), account.available) for account in accounts if account.kind == CASHBACK
        ]
        return SeenMoney(benefit_cards(own, accounts), cashback, movements.by_day(last))

    return await page.read(read)


async def _documents(page: WebPage, user_id: UUID, keys: frozenset[str]) -> list[ShownDocument]:
    if "documents" not in keys:
        return []
    found = await page.read(lambda tx: documents.listed(tx, user_id, limit=_DOCUMENTS))
    return [ShownDocument(row) for row in found]


async def _cards(page: WebPage, user_id: UUID, keys: frozenset[str]) -> list[transit.Card]:
    if "transit" not in keys:
        return []
    return await page.read(lambda tx: transit.desk.known_cards(tx, user_id, limit=_CARDS))


async def _notices(page: WebPage, user_id: UUID, keys: frozenset[str]) -> list[tuple[inbox.Notice, str]]:
    theirs = inbox.Inbox(page.identity, user_id, page.renderer.config.modules)
    found = await page.read(lambda tx: theirs.listed(tx, limit=_NOTICES))
    topics = [(notice, notice.topic.partition(".")[0]) for notice in found]
    return [(notice, NOTICE_ICONS.get(topic, "bell")) for notice, topic in topics if topic in keys]


async def _person(page: WebPage, user_id: UUID, keys: frozenset[str]) -> identity.PersonView:
    """Return the person; the look, with the parts that it showed, is recorded."""

    async def read(tx: Tx) -> identity.PersonView:
        found = await identity.desk.look_at(tx, user_id)
        await audit.record_looks(tx, LOOK, [user_id], parts=sorted(keys))
        return found

    return await page.read(read)


@router.get(HOME + "/{user_id}/carteira", dependencies=[claims(CLAIM), looks(LOOK)])
async def show_wallet(user_id: UUID, page: SignedPage) -> Response:
    """Show a person's wallet as they see it, in the parts that the operator's claims open."""
    parts = parts_for(page)
    keys = frozenset(part.key for part in parts)
    person = await _person(page, user_id, keys)
    money, papers, cards, notices = await asyncio.gather(
        _money(page, user_id, keys),
        _documents(page, user_id, keys),
        _cards(page, user_id, keys),
        _notices(page, user_id, keys),
    )
    hidden: Mapping[str, str] = {
        part.claim: part.name for part in PARTS if part not in parts and (not part.module or page.has(part.module))
    }
    return page.show(
        "console/person_wallet.html",
        home=HOME,
        person=person,
        shows=keys,
        shows_money=bool(keys & _MONEYED),
        money=money,
        documents=papers,
        cards=cards,
        notices=notices,
        hidden=hidden,
        lists=lists_of(page),
        opens_credit=page.has("credit") and all(page.holds(one) for one in CREDIT),
    )
