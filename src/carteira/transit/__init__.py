"""Transit: a person's transport cards, and the rides that validators record.

It owns cards, the times they were blocked, and taps. Money is the ledger's. Invariants:

- a person has a card from the first read on, exactly one however many reads are concurrent; more are issued on request;
- a card's balance is its ledger account's and never goes below zero; only an active card recharges or debits;
- a tap is accounted for once by its id, whoever sends it, in any order: `paid + owed` is its fare, and the sum of
  `outstanding` is minus the balance of the system account `transit.receivable`;
- a tap with an impossible clock is stored, charges nothing, and waits for an operator (`waiting`);
- a recharge is paid by Pix (from `payments`' account) or in cash at a counter (`transit.cash`), or needs no payment if
  the settings say so;
- people's own debits and recharges use the ledger's lane (`mover`, `moves`); recharges for cash and taps read and
  write once (`counter`, `taps.account_at_once`); all other cases are done in a session's transaction (`service`,
  `taps`);
- incoming money (a recharge, a moved balance) pays the person's outstanding rides first, the oldest first.

Events: `transit.recharged`, `transit.debited`, `transit.ride_paid` (a tap, when and as far as a balance pays it),
`transit.reversed` (by an operator; its amount is negative where the card loses it), all with `user_id, card_id,
entry_id, amount, at`; `transit.card_cancelled`, `transit.card_blocked`, `transit.card_unblocked` (`user_id, card_id,
at`). Sources: rules.md, transit; ADR 0010.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from carteira import ledger
from carteira.kit.module import Module
from carteira.kit.web.state import DATABASE
from carteira.transit import desk
from carteira.transit.errors import (
    BalanceRemains,
    CardCancelled,
    CardNotActive,
    CardNotFound,
    CardOfAnother,
    InsufficientBalance,
    PaymentRequired,
    SameCard,
    TooManyCards,
)
from carteira.transit.mover import Mover, mover_of
from carteira.transit.queries import (
    CardMovement,
    Ride,
    RideDebt,
    balance,
    cards,
    debt_total,
    debts,
    export_person,
    history,
    known_cards,
    rides,
)
from carteira.transit.seed import seed
from carteira.transit.service import (
    Card,
    block,
    cancel,
    card_to_recharge,
    debit,
    emit_reversed,
    erase_person,
    holder_of,
    issue,
    recharge,
    recharge_paid,
    refuse_erasure,
    return_recharge,
    returnable_balance,
    unblock,
)
from carteira.transit.taps import (
    TAP_BOUNDS,
    ClockBounds,
    TapResult,
    account_for,
    forgive_reversed,
    refuse_reversal,
)
from carteira.transit.waiting import observe

__all__ = [
    "TAP_BOUNDS",
    "BalanceRemains",
    "Card",
    "CardCancelled",
    "CardMovement",
    "CardNotActive",
    "CardNotFound",
    "CardOfAnother",
    "ClockBounds",
    "InsufficientBalance",
    "Mover",
    "PaymentRequired",
    "Ride",
    "RideDebt",
    "SameCard",
    "TapResult",
    "TooManyCards",
    "account_for",
    "balance",
    "block",
    "cancel",
    "card_to_recharge",
    "cards",
    "debit",
    "debt_total",
    "debts",
    "desk",
    "erase_person",
    "export_person",
    "history",
    "holder_of",
    "issue",
    "known_cards",
    "module",
    "mover_of",
    "recharge",
    "recharge_paid",
    "refuse_erasure",
    "return_recharge",
    "returnable_balance",
    "rides",
    "seed",
    "unblock",
]


def module(*, recharge_without_payment: bool, tap_bounds: ClockBounds) -> Module:
    """Hand transit to the composition root; with `recharge_without_payment` people's own recharges are free."""
    from carteira.transit.moves import CARD_MOVES, CardMoves, MoveQueue, deferred_gauge
    from carteira.transit.operations import OPERATIONS, RECHARGE_WITHOUT_PAYMENT
    from carteira.transit.routes import cards_router, transit_router

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        RECHARGE_WITHOUT_PAYMENT.set(app, recharge_without_payment)
        TAP_BOUNDS.set(app, tap_bounds)
        queue = MoveQueue(CardMoves(DATABASE.of(app)), deferred_gauge=deferred_gauge)
        async with queue.running():
            CARD_MOVES.set(app, queue)
            yield

    ledger.guard_reversal("transit.recharge", emit_reversed)
    ledger.guard_reversal("transit.debit", emit_reversed)
    ledger.guard_reversal("transit.tap", forgive_reversed)
    ledger.guard_reversal("transit.debt_payment", refuse_reversal)
    ledger.guard_reversal("transit.payment_returned", emit_reversed)
    return Module(
        name="transit",
        routers=(cards_router, transit_router),
        operations=OPERATIONS,
        lifespan=lifespan,
        observe=observe,
        export_person=export_person,
        refuse_erasure=refuse_erasure,
        erase_person=erase_person,
    )
