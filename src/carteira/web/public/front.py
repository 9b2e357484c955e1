"""The front page: what the product is, for whom, and three links."""

from fastapi import Response

from carteira.kit.web.access import public
from carteira.web.page import OpenPage
from carteira.web.routing import pages

router = pages()
_THINGS = {
    "benefits": "saldos de alimentação e refeição",
    "transit": "cartão de transporte",
    "documents": "documentos",
    "resellers": "cashback de vendas",
}


@router.get("/", dependencies=[public("the first page")])
async def show_front(page: OpenPage) -> Response:
    """Show the front page."""
    things = [text for module, text in _THINGS.items() if page.has(module)]
    what = ", ".join(things[:-1]) + " e " + things[-1] if len(things) > 1 else "".join(things)
    return page.show("public/front.html", things=what)
