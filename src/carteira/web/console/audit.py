"""The audit: who did and saw what, with filters; and the last verification of its chain."""

from functools import partial
from typing import Any

from fastapi import Response

from carteira import identity
from carteira.kit.db.session import Tx
from carteira.kit.security import audit, audit_checks
from carteira.kit.web.access import claims, looks
from carteira.kit.web.pagination import BY_ID, Page
from carteira.web.console.audit_details import ACTORS, details_said
from carteira.web.console.audit_words import ACTIONS, action_name
from carteira.web.console.cells import badge, instant, mono, short_id, words
from carteira.web.console.tables import ID, NEWEST, Filter, Table, TableAsked, TableColumn, offer_csv
from carteira.web.page import SignedPage, WebPage
from carteira.web.routing import pages
from carteira.web.wallet.movements import folded

router = pages()
HOME = "/console/auditoria"
CLAIM = "audit:read"
_ACTIONS = tuple(sorted(ACTIONS.items(), key=lambda pair: folded(pair[1])))
_WRONG_ID = "Cole o id inteiro. Um CPF nunca vai no endereço."


TABLE: Table[identity.desk.AuditView] = Table(
    HOME,
    "registros",
    (
        TableColumn("Hora", lambda row: instant(row.created_at), "nowrap", order=NEWEST),
        TableColumn("O quê", lambda row: words(action_name(row.action), row.action), "full"),
        TableColumn("Tipo", lambda row: badge("Consulta", "info", "eye") if row.look else badge("Ato"), "stack-end"),
        TableColumn("Quem", lambda row: words(_who(row), row.actor_role or "", _by(row))),
        TableColumn("De quem", lambda row: short_id(row.subject_id, _about(row))),
        TableColumn("Pedido", lambda row: mono((row.request_id or "")[-12:])),
        TableColumn("Detalhes", lambda row: words(details_said(row.details)), "full"),
    ),
    key=lambda row: row.id,
    filters=(
        Filter("acao", "Ato ou consulta", "choice", _ACTIONS, otherwise="Todos"),
        Filter("quem", "Quem (id)", pattern=ID, wrong=_WRONG_ID),
        Filter("de_quem", "De quem (id)", pattern=ID, wrong=_WRONG_ID),
        Filter("de", "De", "day"),
        Filter("ate", "Até", "day"),
    ),
)


def _who(row: identity.desk.AuditView) -> str:
    return row.actor_name or ACTORS.get(row.actor_kind or "", "")


def _about(row: identity.desk.AuditView) -> str:
    return f"{HOME}?de_quem={row.subject_id}" if row.subject_id else ""


def _by(row: identity.desk.AuditView) -> str:
    return f"{HOME}?quem={row.actor_id}" if row.actor_id else ""


async def _read(_page: WebPage, tx: Tx, asked: TableAsked, limit: int) -> Page[identity.desk.AuditView]:
    wanted = identity.desk.AuditAsked(
        asked.id("quem"),
        asked.id("de_quem"),
        asked.get("acao"),
        asked.since(),
        asked.until(),
    )
    place = asked.page_request(BY_ID, limit)
    rows = await identity.desk.audit_listed(tx, wanted, limit=limit + 1, before=place.after, turned=place.turned)
    page = place.page(rows, lambda row: row.id)
    await audit.record_looks(tx, "audit_read", [wanted.subject, *(row.subject_id for row in page.items)])
    return page


@router.get(HOME, dependencies=[claims(CLAIM), looks("audit_read")])
async def show_audit(page: SignedPage) -> Response:
    """List rows of the audit below the last verification of its chain."""
    check: Any = await page.read(audit_checks.last)
    return await TABLE.answer(page, partial(_read, page), template="console/audit.html", check=check)


offer_csv(router, TABLE, _read, CLAIM)
