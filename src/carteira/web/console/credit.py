"""The credit desk: it asks for the purpose first; the CPF is sent by POST and appears in no address.

A look gets an address of its own for some minutes, for its maker only: reading it again is no second look.
"""

from typing import Any
from uuid import UUID

from fastapi import Response

from carteira import credit
from carteira.kit.values.cpf import Cpf
from carteira.kit.web.access import claims, looks, reads
from carteira.kit.web.state import AUDIT_TRAIL
from carteira.web.forms import FormBody
from carteira.web.page import REFUSALS, SignedPage
from carteira.web.routing import pages

router = pages("credit")
HOME = "/console/credito"
CLAIMS = ("credit:a:read", "credit:b:read", "credit:c:read")
_PAGE = "console/credit.html"
PURPOSES = (
    ("credit_analysis", "Análise de crédito"),
    ("credit_protection", "Proteção do crédito"),
    ("fraud_prevention", "Prevenção a fraude"),
    ("collection", "Cobrança"),
    ("customer_request", "Pedido da pessoa"),
    ("legal_obligation", "Obrigação legal"),
    ("audit", "Auditoria"),
)


class LookForm(FormBody):
    """The CPF and the purpose of a look."""

    cpf: Cpf
    purpose: credit.desk.Purpose


def _values(seen: credit.desk.CreditSeen | None = None, **more: bool) -> dict[str, Any]:
    """Return the values of the page's template."""
    told: dict[str, Any] = {"seen": seen, "purposes": PURPOSES, "kept": False, "gone": False}
    return told | {"purpose": dict(PURPOSES)[seen.purpose] if seen else ""} | more


@router.get(HOME, dependencies=[claims(*CLAIMS), reads("a form, without anybody's data")])
async def show_desk(page: SignedPage) -> Response:
    """Ask for the purpose and the CPF."""
    return page.show(_PAGE, **_values())


@router.post(HOME, dependencies=[claims(*CLAIMS), looks("credit_profile_read")])
async def look(page: SignedPage) -> Response:
    """Look at the three bases and the score, and redirect to the look's own address; without Redis show it at once."""
    form = await page.form(LookForm)
    if form.value is None:
        return page.show(_PAGE, status=422, form=form, **_values())
    asked, app = form.value, page.request.app
    try:
        seen = await credit.desk.look(
            credit.STORES.of(app), page.database, AUDIT_TRAIL.of(app), page.who, asked.cpf, asked.purpose
        )
    except REFUSALS as error:
        return page.again(_PAGE, form, error, **_values())
    look_id = await credit.desk.KEPT_LOOKS.of(app).keep(page.identity.sealer, page.who, seen)
    if look_id is None:
        return page.show(_PAGE, **_values(seen))
    return page.go(f"{HOME}/{look_id}")


@router.get(
    HOME + "/{look_id}",
    dependencies=[claims(*CLAIMS), reads("a look that was recorded when it was made, for its maker only")],
)
async def show_look(look_id: UUID, page: SignedPage) -> Response:
    """Show a look again to its maker, for some minutes: the three bases, and the score with its reasons."""
    kept = credit.desk.KEPT_LOOKS.of(page.request.app)
    seen = await kept.find(page.identity.sealer, page.who, look_id)
    return page.show(_PAGE, status=404 if seen is None else 200, **_values(seen, kept=True, gone=seen is None))
