"""Paying by Pix: a charge's code as a picture and as a text, and its state, which the page updates itself."""

from uuid import UUID

from fastapi import Response

from carteira import payments, transit
from carteira.web.page import SignedPage
from carteira.web.qr import qr_code
from carteira.web.routing import pages

router = pages("payments")
_PAGE = "wallet/payment.html"
_UP = "/app/transporte"


@router.get("/app/pagamentos/{charge_id}")
async def show_payment(charge_id: UUID, page: SignedPage) -> Response:
    """Show a charge; htmx polls the part with its state."""
    desk = payments.desk_of(page.request)
    charge = await desk.view(page.who, charge_id)
    card = None
    if charge.purpose == payments.TRANSPORT_RECHARGE and page.has("transit"):
        async with page.database.transaction() as tx:
            card = next((one for one in await transit.cards(tx, page.user_id) if one.id == charge.target_id), None)
    return page.show(
        _PAGE,
        block="state",
        charge=charge,
        card=card,
        qr=qr_code(charge.code, "Código QR do Pix") if charge.code else None,
        waits=charge.state in {"creating", "active"},
        at=f"/app/pagamentos/{charge.id}",
        back=f"{_UP}?cartao={card.id}" if card else "/app",
        up=f"{_UP}?cartao={card.id}" if card else "/app",
    )
