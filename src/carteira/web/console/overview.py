"""The panel: is money flowing, and does something wait for me. Each part by its claim; it shows nobody's data."""

import asyncio
from dataclasses import dataclass

from fastapi import Response

from carteira import benefits
from carteira.kit.values.clock import clock
from carteira.kit.web.access import Principal, reads
from carteira.kit.web.problems import NotFound
from carteira.web.console.screens import HOME, ConsoleNavigation, opens_console
from carteira.web.page import SignedPage, WebPage
from carteira.web.routing import pages

router = pages()
_MINUTES = 15


@dataclass(frozen=True, slots=True)
class Flow:
    """How authorizations go, for the panel."""

    totals: benefits.DecisionTotals
    per_second: float
    approved_percent: float | None


async def _flow(page: WebPage) -> Flow | None:
    if not (page.has("benefits") and page.holds("benefits:read") and page.who.scopes is None):
        return None
    totals = await page.read(lambda tx: benefits.decision_totals(tx, minutes=_MINUTES))
    seconds = max(1.0, (clock.now() - totals.since).total_seconds())
    approved = totals.by_code.get("00", 0)
    return Flow(totals, totals.total / seconds, 100 * approved / totals.total if totals.total else None)


@router.get(HOME, dependencies=[reads("totals and counts of the whole house, nobody's data")])
async def show_panel(page: SignedPage) -> Response:
    """Show how the house does; to whom one screen alone is open, that screen."""
    insist_on_staff(page.who)
    console = page.renderer.templates.globals["console"]
    assert isinstance(console, ConsoleNavigation), "every process has one"
    first = console.first_path(page.who)
    if first != HOME:
        return page.go(first)
    (flow,) = await asyncio.gather(_flow(page))
    return page.show("console/panel.html", flow=flow, now=clock.now(), minutes=_MINUTES)


def insist_on_staff(who: Principal) -> None:
    """Insist that somebody works here.

    Raises:
        NotFound: they do not; that there is a console is nothing to them.
        SecondFactorRequired: they would, once their session has shown a second factor.
    """
    if opens_console(who):
        return
    for claim in sorted(who.withheld):
        who.require(claim)
    raise NotFound
