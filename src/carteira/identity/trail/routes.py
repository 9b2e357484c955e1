"""The audit over HTTP, for auditors."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from carteira.identity.trail import queries
from carteira.identity.trail.queries import Asked
from carteira.identity.trail.schemas import AuditOut
from carteira.kit.security import audit
from carteira.kit.web.access import claims, looks
from carteira.kit.web.json_route import JsonRoute
from carteira.kit.web.pagination import BY_ID, Page, PageRequest, page_of
from carteira.kit.web.period import PeriodDep
from carteira.kit.web.transaction import ReadTxDep

router = APIRouter(route_class=JsonRoute, tags=["identity"])
LOOK = "audit_read"

Action = Annotated[str | None, Query(pattern=r"^[a-z_.]{1,64}$", description="O que foi feito ou visto", max_length=64)]


@router.get("/audit", summary="Auditoria", dependencies=[claims("audit:read"), looks(LOOK)])
async def list_audit(
    tx: ReadTxDep,
    period: PeriodDep,
    actor: Annotated[UUID | None, Query(description="Quem fez")] = None,
    subject: Annotated[UUID | None, Query(description="De quem é; só ids, nunca um CPF")] = None,
    action: Action = None,
    asked: PageRequest[UUID] = page_of(BY_ID, dated=False),
) -> Page[AuditOut]:
    """Lista atos e consultas, do mais novo ao mais antigo: quem, o quê, de quem, em qual sessão e pedido.

    A própria leitura fica registrada, para cada pessoa que aparece nela.
    """
    wanted = Asked(actor, subject, action, period.since, period.until)
    rows = await queries.listed(tx, wanted, limit=asked.limit + 1, before=asked.after)
    page = asked.page(rows, lambda row: row.id)
    await audit.record_looks(tx, LOOK, [subject, *(row.subject_id for row in page.items)])
    return page.map(AuditOut.model_validate)
