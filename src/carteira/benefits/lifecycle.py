"""An account's state: blocked, active again, closed. By claim, within one's own employers.

Blocked accounts are in the catalog, so that every authorizer process knows them from the next purchase on; they still
receive top-ups and refunds. Dismissal is no reason to block: credited food money stays the worker's to spend
(`pat.PatRule.AFTER_DISMISSAL`). For the same reason only an account without money can be closed.
"""

from typing import Literal

from sqlalchemy import select

from carteira import ledger
from carteira.benefits import pat
from carteira.benefits.accounts import find_for
from carteira.benefits.errors import BalanceLeft, BenefitAccountClosed
from carteira.benefits.models import BenefitAccount
from carteira.kit.db.session import Tx, locked_one
from carteira.kit.security import audit
from carteira.kit.values.actor import Actor

State = Literal["active", "blocked", "closed"]

_ACTIONS: dict[State, str] = {
    "blocked": "benefit_account_blocked",
    "active": "benefit_account_unblocked",
    "closed": "benefit_account_closed",
}


async def _change(tx: Tx, reference: str, actor: Actor, state: State, *, reason: str | None = None) -> State:
    """Change the state of a locked account, if it differs."""
    view = await find_for(tx, reference, actor)
    account = await locked_one(tx, BenefitAccount, view.id)
    if account.state == "closed" and state == "blocked":
        raise BenefitAccountClosed
    if state == "closed":
        held = [item.id for item in await ledger.accounts_of_holder(tx, account.id)]
        book = await ledger.lock(tx, held)
        if not pat.may_close(sum(item.balance for item in book.accounts.values())):
            raise BalanceLeft
    account.state = state
    await tx.flush()
    action = _ACTIONS[state]
    await audit.record(tx, action, actor=actor, subject=view.person, account_id=str(account.id), reason=reason)
    return state


async def block(tx: Tx, reference: str, reason: str, actor: Actor) -> State:
    """Block an account's purchases, at once. Repeating it changes nothing.

    Raises:
        BenefitAccountNotFound: there is none, or it is another employer's.
        BenefitAccountClosed: it is closed.
    """
    return await _change(tx, reference, actor, "blocked", reason=reason)


async def unblock(tx: Tx, reference: str, actor: Actor) -> State:
    """Reactivate a blocked or closed account.

    Raises:
        BenefitAccountNotFound: there is none, or it is another employer's.
    """
    return await _change(tx, reference, actor, "active")


async def close(tx: Tx, reference: str, actor: Actor) -> State:
    """Close an account without money: it cannot be credited any more.

    Raises:
        BenefitAccountNotFound: there is none, or it is another employer's.
        BalanceLeft: there is money in it, which is the worker's to spend.
    """
    return await _change(tx, reference, actor, "closed")


async def refuse_closed(tx: Tx, reference: str) -> None:
    """Refuse to credit a closed account; the account is locked until the transaction ends.

    Raises:
        BenefitAccountClosed: it is closed.
    """
    state = select(BenefitAccount.state).where(BenefitAccount.reference == reference).with_for_update(read=True)
    if await tx.scalar(state) == "closed":
        raise BenefitAccountClosed
