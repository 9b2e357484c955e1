"""The number of trips of each console screen to PostgreSQL: three at most, or with a reason."""

from carteira.identity.roles.shipped import ADMINISTRATOR
from carteira.web.console.screens import GROUPS
from tests.support.app import RunningApp
from tests.support.console import desk_of
from tests.support.pages import PlainBrowser
from tests.support.trips import counted

MOST = 3
ASKS = 4
"""How often each screen is opened. Standings are read again at times: the fewest trips count."""
EXCEPTIONS = {
    "/console": 5,
    "/console/contas": 4,
    "/console/compras": 4,
}
"""Screens that make more trips where there is something to show, and their maximum.

They are the panel, which asks for all counts in one statement, once it knows what is the operator's own, and lists that
use the API's verbs (`tests/house/test_trips.py` gives the reasons).
"""


async def fewest(browser: PlainBrowser, path: str) -> list[str]:
    """Open a screen a few times; return the fewest trips, without those that prepare a statement once a connection."""
    best: list[str] | None = None
    for _ in range(ASKS):
        with counted() as trips:
            assert (await browser.get(path)).status == 200, path
        asked = [one for one in trips.postgres if not one.startswith("prepare")]
        best = asked if best is None or len(asked) < len(best) else best
    assert best is not None
    return best


async def test_a_screen_travels_three_times_at_most(app: RunningApp) -> None:
    paths = [screen.path for group in GROUPS for screen in group.screens]
    faults = []
    async with desk_of(app, ADMINISTRATOR) as browser:
        for path in paths:
            best = await fewest(browser, path)
            if len(best) > EXCEPTIONS.get(path, MOST):
                faults.append("\n  ".join([f"{path}: {len(best)}", *(one[:160] for one in best)]))
    assert not faults, "\n".join(faults)
