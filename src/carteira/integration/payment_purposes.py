"""The purposes of Pix payments: recharges of transport cards, and deposits to pre-funded employers' funds."""

from uuid import UUID

from carteira import benefits, transit
from carteira.kit.db.session import Tx
from carteira.kit.security.approvals import Act, Gains
from carteira.kit.web.access import Principal
from carteira.payments import BENEFIT_FUNDING, TRANSPORT_RECHARGE, PlacedMoney, Purpose


def purposes(modules: frozenset[str]) -> dict[str, Purpose]:
    """Return the purposes of the modules that are on."""
    found = []
    if "transit" in modules:
        found.append(_TRANSPORT)
    if "benefits" in modules:
        found.append(_FUNDING)
    return {purpose.name: purpose for purpose in found}


async def aim_at_card(tx: Tx, who: Principal, target: str | None) -> UUID:
    """Return the id of the caller's card to recharge, by its number."""
    return await transit.card_to_recharge(tx, who.user_id, target or "")


async def recharge(tx: Tx, money: PlacedMoney, act: Act) -> UUID:
    """Credit a payment to a card."""
    return await transit.recharge_paid(tx, money.target_id, money.amount, source=money.account, act=act)


async def return_recharge(tx: Tx, money: PlacedMoney, act: Act) -> UUID:
    """Debit a returned payment from a card."""
    return await transit.return_recharge(tx, money.target_id, money.amount, target=money.account, act=act)


async def _holder(tx: Tx, card_id: UUID) -> Gains:
    return Gains.of(await transit.holder_of(tx, card_id))


async def aim_at_fund(tx: Tx, who: Principal, target: str | None) -> UUID:
    """Return the id of the employer whose fund the caller may pay into (`benefits:fund`)."""
    who.require("benefits:fund")
    return await benefits.fund_to_pay_into(tx, who, UUID(target) if target else None)


async def fund(tx: Tx, money: PlacedMoney, act: Act) -> UUID:
    """Credit a payment to a fund."""
    return await benefits.pay_in(tx, money.target_id, money.amount, source=money.account, act=act)


async def return_deposit(tx: Tx, money: PlacedMoney, act: Act) -> UUID:
    """Debit a returned payment from a fund."""
    return await benefits.pay_out(tx, money.target_id, money.amount, target=money.account, act=act)


async def _nobody(_tx: Tx, _employer_id: UUID) -> Gains:
    return Gains()


_TRANSPORT = Purpose(
    TRANSPORT_RECHARGE,
    "Recarga de cartão de transporte",
    aim=aim_at_card,
    credit=recharge,
    debit=return_recharge,
    returnable=transit.returnable_balance,
    gains=_holder,
)
_FUNDING = Purpose(
    BENEFIT_FUNDING,
    "Depósito para benefícios",
    aim=aim_at_fund,
    credit=fund,
    debit=return_deposit,
    returnable=benefits.returnable_fund,
    gains=_nobody,
)
