"""What the console asks of transit: taps that wait for an operator, and the decision on each."""

from uuid import UUID

from carteira.kit.db.session import Tx
from carteira.kit.security import audit
from carteira.kit.web.pagination import Page, PageRequest
from carteira.transit import waiting
from carteira.transit.errors import TapNotFound
from carteira.transit.waiting import WaitingTap, charge, dismiss

__all__ = ["WaitingTap", "charge", "dismiss", "taps", "waiting_tap"]


async def taps(tx: Tx, asked: PageRequest[UUID]) -> Page[WaitingTap]:
    """List the taps that wait, those that came first first; each person shown is looked at."""
    page = asked.page(await waiting.listed(tx, limit=asked.limit + 1, after=asked.after), lambda tap: tap.id)
    await audit.record_looks(tx, "waiting_taps_listed", waiting.people_of(page.items))
    return page


async def waiting_tap(tx: Tx, tap_id: UUID) -> WaitingTap:
    """Give a tap that waits.

    Raises:
        TapNotFound: it does not, or there is none.
    """
    before = UUID(int=tap_id.int - 1) if tap_id.int else tap_id
    page = await taps(tx, PageRequest(1, before))
    if not page.items or page.items[0].id != tap_id:
        raise TapNotFound
    return page.items[0]
