"""Settings that the composition root passes to the pages."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from carteira.kit.web.state import StateKey

if TYPE_CHECKING:
    from carteira.web.rendering import Renderer


@dataclass(frozen=True, slots=True)
class HouseAge:
    """The age of a key or of a backup, and whether it is too old."""

    what: str
    at: datetime | None
    tone: Literal["ok", "warn", "bad"]
    said: str
    advice: str = ""


HouseAges = Callable[[], Awaitable[Sequence[HouseAge]]]
"""Reads the ages of keys and backups, which lie outside of the database."""


async def _no_ages() -> Sequence[HouseAge]:
    return ()


@dataclass(frozen=True, slots=True)
class WebConfig:
    """The pages' settings."""

    modules: frozenset[str]
    """The optional modules that are on; others have no entry, no block and no page."""
    https: bool
    """Whether people reach the server over TLS: cookies are then `__Host-` and Secure."""
    root_path: str = ""
    """The prefix that a proxy in front serves under; every address on a page begins with it."""
    providers: tuple[str, ...] = ()
    """The providers at which people may sign in, in the order of the buttons: `govbr`, `google`, `meta`."""
    free_recharges: bool = False
    """Whether a person's recharge of a transport card needs no payment."""
    pix: bool = False
    """Whether people pay by Pix."""
    docs: bool = True
    """Whether the contract's pages are served, so that the front page links to them."""
    texts: Path | None = None
    """The folder of the installation's own privacy notice and terms; missing ones are the product's."""
    demonstration: bool = False
    """Whether this is a development server: the console says so."""
    ages: HouseAges = _no_ages
    """Called when the ages are shown."""


RENDERER: "StateKey[Renderer]" = StateKey("web")
"""The renderer of this process."""
