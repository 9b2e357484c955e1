"""Notices about pending operations: to the people who may approve them, and their outcomes to their makers."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import orjson
from babel.dates import format_datetime

from carteira import identity
from carteira.kit.db.session import Tx
from carteira.kit.module import Module
from carteira.kit.outbound.email_templates import EmailTemplates
from carteira.kit.security import approvals, approvals_queries
from carteira.kit.values.clock import SAO_PAULO
from carteira.kit.web.access import Bindings
from carteira.notices.emails import Addressed, Payload

LISTED = 20
"""The most operations that one e-mail lists; the others are only counted."""
_letters = EmailTemplates(
    "carteira.notices",
    {
        "operation_decided": "Uma operação que você pediu foi decidida",
        "operations_waiting": "Há operações à espera da sua aprovação",
    },
)


@dataclass(frozen=True, slots=True)
class Approvers:
    """The rules of who may approve operations: the claim of each kind, and people's bindings."""

    claims: Mapping[str, str]
    bindings: Sequence[Bindings]

    @classmethod
    def of(cls, modules: Sequence[Module]) -> "Approvers":
        """Return the rules of the modules that are on."""
        claims = {operation.kind: operation.claim for module in modules for operation in module.operations}
        return cls(claims, [module.bindings for module in modules if module.bindings is not None])

    async def mark_notified(self, tx: Tx) -> Mapping[UUID, Sequence[UUID]]:
        """Mark the pending operations without a notice as notified, and return those that each person may approve."""
        rows = await approvals.mark_unnotified(tx)
        pending: dict[UUID, list[UUID]] = defaultdict(list)
        for claim in {self.claims[row.kind] for row in rows if row.kind in self.claims}:
            due = [
                (row, await approvals.barred(tx, row, identity.people_behind))
                for row in rows
                if self.claims.get(row.kind) == claim
            ]
            for user_id in await identity.holders_of(tx, claim):
                may, scopes = await self._reach(tx, user_id, claim)
                theirs = [
                    row.id
                    for row, barred in due
                    if may and user_id not in barred and (scopes is None or row.scope in scopes)
                ]
                if theirs:
                    pending[user_id] += theirs
        return pending

    async def _reach(self, tx: Tx, user_id: UUID, claim: str) -> tuple[bool, frozenset[UUID] | None]:
        """Return whether a holder's claim takes effect, and the employers that it is limited to; None: unlimited."""
        may, scopes = True, None
        for binding in self.bindings:
            bound_to = await binding.of(tx, user_id)
            if bound_to is not None:
                may, scopes = may and claim in binding.claims, bound_to | (scopes or frozenset())
        return may, scopes


async def of_waiting(tx: Tx, user_id: UUID, ids: Sequence[UUID]) -> Addressed | None:
    """Write to an approver that these operations are pending, unless all were decided by now."""
    rows = await approvals_queries.still_waiting(tx, ids)
    try:
        person = await identity.person(tx, user_id)
    except identity.UserNotFound:
        return None
    if not rows:
        return None
    return person.email, _letters.compose(
        "operations_waiting",
        name=person.full_name.split()[0],
        many=len(rows) > 1,
        number=len(rows),
        summaries=[row.summary for row in rows[:LISTED]],
        more=max(len(rows) - LISTED, 0),
        until=format_datetime(
            min(row.expires_at for row in rows).astimezone(SAO_PAULO), "d 'de' MMMM, HH:mm", locale="pt_BR"
        ),
    )


async def of_decided(tx: Tx, event: Payload) -> Addressed | None:
    """Write an operation's outcome to its maker, unless they withdrew it themselves."""
    row = await approvals.find(tx, UUID(event["operation_id"]))
    if row is None or row.maker_kind != "person" or str(row.checker_id) == row.maker_id:
        return None
    try:
        person = await identity.person(tx, UUID(row.maker_id))
    except identity.UserNotFound:
        return None
    names = await identity.names(tx, [row.checker_id]) if row.checker_id else {}
    outcome = orjson.loads(row.outcome) if row.outcome and row.status != approvals.APPROVED else {}
    return person.email, _letters.compose(
        "operation_decided",
        name=person.full_name.split()[0],
        summary=row.summary,
        status=row.status,
        by=names.get(row.checker_id, "outra pessoa") if row.checker_id else None,
        reason=outcome.get("reason") or outcome.get("detail"),
    )
