"""The credit desk: it asks for the purpose first; the CPF is sent by POST and appears in no address."""

from fastapi import Response

from carteira import credit
from carteira.kit.values.cpf import Cpf, mask_cpf
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


@router.get(HOME, dependencies=[claims(*CLAIMS), reads("a form, and nobody yet")])
async def show_desk(page: SignedPage) -> Response:
    """Ask for the purpose and the CPF."""
    return page.show(_PAGE, seen=None, purposes=PURPOSES, purpose="", masked="")


@router.post(HOME, dependencies=[claims(*CLAIMS), looks("credit_profile_read")])
async def look(page: SignedPage) -> Response:
    """Show the three bases and the score with its reasons, and which bases are down."""
    form = await page.form(LookForm)
    if form.value is None:
        return page.show(_PAGE, status=422, form=form, seen=None, purposes=PURPOSES, purpose="", masked="")
    asked, app = form.value, page.request.app
    try:
        seen = await credit.desk.look(
            credit.STORES.of(app), page.database, AUDIT_TRAIL.of(app), page.who, asked.cpf, asked.purpose
        )
    except REFUSALS as error:
        return page.again(_PAGE, form, error, seen=None, purposes=PURPOSES, purpose="", masked="")
    return page.show(
        _PAGE,
        form=form,
        seen=seen,
        purposes=PURPOSES,
        purpose=dict(PURPOSES)[asked.purpose],
        masked=mask_cpf(asked.cpf),
    )
