"""What people and employers pay for.

Payments knows of no cards and no funds: the composition root hands it purposes, made of other modules' verbs.
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
    """Money on its way to, or back from, a target: centavos, and the operator's account on the other side."""

    target_id: UUID
    amount: int
    account: UUID


@dataclass(frozen=True)
class Purpose:
    """One thing that is paid for.

    Attributes:
        name: What clients call it.
        text: What the payer's bank shows, in Portuguese.
        aim: Finds the id of what somebody may pay for, by what the charge names (a card's number, an employer's id);
            raises a problem where they may not, or it takes no money now.
        credit: Posts what was paid and gives the entry's id; raises a problem where the target takes no money now.
        take_back: Posts the way back and gives the entry's id; raises a problem where the money has been spent.
        left: Gives what of it could be taken back, in centavos, and keeps it there until the transaction ends.
        gains: Who has what is paid for.
    """

    name: str
    text: str
    aim: Callable[[Tx, Principal, str | None], Awaitable[UUID]]
    credit: Callable[[Tx, PlacedMoney, Act], Awaitable[UUID]]
    take_back: Callable[[Tx, PlacedMoney, Act], Awaitable[UUID]]
    left: Callable[[Tx, UUID], Awaitable[int]]
    gains: Callable[[Tx, UUID], Awaitable[Gains]]


Purposes = Mapping[str, Purpose]
