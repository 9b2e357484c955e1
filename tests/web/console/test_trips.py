"""How often each screen of the console travels to PostgreSQL: three times at most, or it says why."""

from carteira.identity.roles.shipped import ADMINISTRATOR
from carteira.web.console.screens import GROUPS
from tests.support.app import RunningApp
from tests.support.console import desk_of
from tests.support.trips import Trips, counted

MOST = 3
ASKS = 4
"""The first one prepares statements, and who asks is read of PostgreSQL once in a while: the fewest trips count."""
EXCEPTIONS = {
    "/console": 10,
    "/console/contas": 5,
    "/console/compras": 5,
    "/console/meses": 4,
}
"""Screens that travel more often, as often as they do now: the panel, whose parts are asked for side by side, and lists
that the API reads by the same verbs (`tests/house/test_trips.py` says why). The list can only shrink."""


async def test_a_screen_travels_three_times_at_most(app: RunningApp) -> None:
    paths = [screen.path for group in GROUPS for screen in group.screens]
    faults = []
    async with desk_of(app, ADMINISTRATOR) as browser:
        for path in paths:
            best: Trips | None = None
            for _ in range(ASKS):
                with counted() as trips:
                    assert (await browser.get(path)).status == 200, path
                best = trips if best is None or len(trips.postgres) < len(best.postgres) else best
            assert best is not None
            if len(best.postgres) != EXCEPTIONS.get(path, len(best.postgres)) or (
                path not in EXCEPTIONS and len(best.postgres) > MOST
            ):
                faults.append("\n  ".join([f"{path}: {len(best.postgres)}", *(one[:160] for one in best.postgres)]))
    assert not faults, "\n".join(faults)
