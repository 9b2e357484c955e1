"""The purposes that people and employers pay for.

Payments knows no cards and funds: the composition root passes it purposes, made of other modules' verbs.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from carteira.kit.db.session import Tx
from carteira.kit.security.approvals import Act, Gains
from carteira.kit.web.access import Principal

TRANSPORT_RECHARGE = "transport_recharge"
BENEFIT_FUNDING = "benefit_funding"


class PlacedMoney(NamedTuple):
    """Money to, or back from, a target: centavos, and the system account on the other side."""

    target_id: UUID
    amount: int
    account: UUID


@dataclass(frozen=True)
class Purpose:
    """A purpose of payments.

    Attributes:
        name: Its name in the API.
        text: The payer's bank's text, in Portuguese.
        aim: Returns the id of a charge's target (by a card's number, an employer's id); raises a problem if the caller
            may not pay for it, or it accepts no money now.
        credit: Posts the payment and returns the entry's id; raises a problem if the target accepts no money now.
        debit: Debits the target for a return and returns the entry's id; raises a problem if it has been spent.
        returnable: Locks the target and returns the centavos that could be debited for a return.
        gains: The people who gain by a payment.
    """

    name: str
    text: str
    aim: Callable[[Tx, Principal, str | None], Awaitable[UUID]]
    credit: Callable[[Tx, PlacedMoney, Act], Awaitable[UUID]]
    debit: Callable[[Tx, PlacedMoney, Act], Awaitable[UUID]]
    returnable: Callable[[Tx, UUID], Awaitable[int]]
    gains: Callable[[Tx, UUID], Awaitable[Gains]]


Purposes = Mapping[str, Purpose]
