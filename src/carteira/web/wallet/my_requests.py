"""My requests about my data (LGPD, art. 18), and their answers."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Response
from pydantic import Field

from carteira import identity
from carteira.kit.db.session import Tx
from carteira.kit.web.pagination import PageRequest
from carteira.web.formats import REQUESTS
from carteira.web.forms import EMPTY, FormBody, Lines, Reading
from carteira.web.page import REFUSALS, SignedPage, WebPage
from carteira.web.routing import pages

router = pages()
HOME = "/app/dados/pedidos"
_PAGE = "wallet/requests.html"
_SHOWN = 20


class OwnRequestForm(FormBody):
    """My request."""

    kind: identity.desk.data_requests.Kind
    message: Annotated[Lines, Field(min_length=3, max_length=1_000)]


async def _drawn(
    page: WebPage, form: Reading[OwnRequestForm] | None = None, status: int = 200, before: UUID | None = None
) -> Response:
    asked = PageRequest(_SHOWN, before)
    found = await page.read(lambda tx: identity.desk.data_requests.own(tx, page.user_id, asked))
    older = found.items[-1].id if found.next_cursor else None
    return page.show(
        _PAGE, status=status, requests=found.items, kinds=REQUESTS, form=form or EMPTY, before=before, older=older
    )


@router.get(HOME)
async def show_requests(page: SignedPage, before: Annotated[UUID | None, Query(alias="antes")] = None) -> Response:
    """Show my requests and their answers, the newest first."""
    return await _drawn(page, before=before)


@router.post(HOME)
async def ask(page: SignedPage) -> Response:
    """Ask for something about my data, once however often the form is sent."""
    form = await page.form(OwnRequestForm)
    if form.value is None:
        return await _drawn(page, form, 422)
    asked = form.value

    async def work(tx: Tx) -> object:
        made = await identity.desk.data_requests.ask(tx, page.who, page.user_id, asked.kind, asked.message)
        return {"id": str(made.id)}

    try:
        outcome = await page.once(work, payload=asked.model_dump(), money=False)
    except REFUSALS as error:
        problem = getattr(error, "detail", str(error))
        return await _drawn(page, form.saying(problem), getattr(error, "status", 429))
    return page.go(HOME, outcome.said("Pedido enviado. A resposta vem em até 15 dias."))
