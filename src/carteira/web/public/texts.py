"""The privacy notice and the terms, public so that people read them before they register."""

from fastapi import Response

from carteira.kit.web.access import public
from carteira.web.page import OpenPage
from carteira.web.routing import pages

router = pages()
_OPEN = [public("everybody may read it before they register")]


def _show(page: OpenPage, name: str) -> Response:
    title, *rest = page.renderer.texts[name]
    return page.show("public/text.html", title=title.lines[0], blocks=rest)


@router.get("/privacidade", dependencies=_OPEN)
async def show_privacy(page: OpenPage) -> Response:
    """Show the privacy notice."""
    return _show(page, "privacidade")


@router.get("/termos", dependencies=_OPEN)
async def show_terms(page: OpenPage) -> Response:
    """Show the terms of use."""
    return _show(page, "termos")
