"""The pages that people see: the wallet under `/app`, the operators' console under `/console`, and the first page.

It owns no data and no rule: pages call the modules' doors with the verbs of the API, under the same limits and with the
same audit, and never call the API over HTTP. Invariants:

- only a browser's cookie opens a page, and only a bearer token opens the API;
- every change is a POST from a form of ours, checked by the browser's form token and its Fetch Metadata;
- every form works without scripts; nothing inline runs, and nothing is loaded from another host;
- pages with personal data are never cached; no CPF, e-mail or phone appears in an address.

`docs/how-to/add-a-page.md` says how to add a page. Sources: RFC 6265bis; CSP level 3; Fetch Metadata; WCAG 2.2.
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
"""The page that a browser returns to from a provider."""

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
    """Return the renderer of this process; the composition root sets it as `RENDERER`."""
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
    """Return the function that answers problems: to people by a page, to clients by JSON."""
    from carteira.web.errors import answer_with as make

    return make(renderer)


def draw_link_with(renderer: "Renderer") -> "identity.DrawLink":
    """Return the function that draws the pages behind links in messages."""
    from carteira.web.public.link import draw_link_with as make

    return make(renderer)
