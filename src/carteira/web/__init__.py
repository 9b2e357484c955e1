"""The pages that people see: the wallet under `/app`, the operators' console under `/console`, and the first page.

It owns no data and no rule: each page calls the doors of the modules with the verbs of the API, under the same limits
and with the same audit, and never HTTP to itself. Invariants:

- a page is opened by its browser's cookie alone, and the API by a bearer token alone;
- what changes something is a POST from a form of ours: by a token of that browser, and by what it says of the sender;
- all that a form does works without scripts; nothing inline runs, and nothing is loaded from another host;
- pages with what is a person's are never stored; no CPF, e-mail or phone stands in an address.

`docs/explanation/pages.md` says how a page is made. Sources: RFC 6265bis; CSP level 3; Fetch Metadata; WCAG 2.2.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from fastapi import Request, Response

from carteira.kit.module import Module
from carteira.web.config import RENDERER, HouseAge, HouseAges, WebConfig

if TYPE_CHECKING:
    from carteira import identity
    from carteira.kit.web.problems import Problem
    from carteira.web.rendering import Renderer

SOCIAL_PAGE = "/app/entrar/com/{provider}/volta"
"""Where a browser that set out to a provider from a page comes back to."""

__all__ = [
    "RENDERER",
    "SOCIAL_PAGE",
    "HouseAge",
    "HouseAges",
    "WebConfig",
    "answer_with",
    "draw_link_with",
    "module",
    "renderer",
]


def module() -> Module:
    """Hand the pages to the composition root."""
    from carteira import documents
    from carteira.web.console.live import running
    from carteira.web.routers import ROUTERS, UPLOADS

    return Module(
        name="web",
        routers=ROUTERS,
        body_limits=dict.fromkeys(UPLOADS, documents.MAX_BODY_BYTES),
        time_limits=dict.fromkeys(UPLOADS, documents.UPLOAD_SECONDS),
        lifespan=running,
    )


def renderer(config: WebConfig) -> "Renderer":
    """Make what draws the pages in this process; the composition root sets it as `RENDERER`."""
    from carteira.web import texts
    from carteira.web.console.screens import console_navigation
    from carteira.web.rendering import Renderer
    from carteira.web.routers import PATHS
    from carteira.web.wallet.navigation import navigation

    made = Renderer.of(config)
    made.templates.globals |= {
        "navigation": navigation(config, PATHS),
        "console": console_navigation(config, PATHS),
        "has_page": PATHS.__contains__,
        "has_docs": config.docs,
    }
    made.texts.update({name: texts.read(config.texts, name) for name in texts.NAMES})
    made.templates.tests["known_page"] = PATHS.__contains__
    return made


def answer_with(renderer: "Renderer") -> "Callable[[Request, Problem], Response]":
    """Make what tells people of problems by a page, and clients by JSON."""
    from carteira.web.errors import answer_with as make

    return make(renderer)


def draw_link_with(renderer: "Renderer") -> "identity.DrawLink":
    """Make what draws the pages that links in messages open."""
    from carteira.web.public.link import draw_link_with as make

    return make(renderer)
