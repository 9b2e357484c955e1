"""Identity for the console: people, their standing, roles and clients, by the verbs of the API."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlalchemy import Select, func, select

from carteira.identity.clients.models import ClientRow
from carteira.identity.clients.schemas import Network
from carteira.identity.clients.service import (
    PEOPLE_ONLY,
    ClientView,
    CredentialView,
    NewCredential,
    add_client,
    add_credential,
    client,
    list_clients,
    revoke_client,
    revoke_credential,
    set_claims,
)
from carteira.identity.data_requests import service as data_requests
from carteira.identity.errors import DataRequestAnswered
from carteira.identity.fields import Description, FullName
from carteira.identity.proof import by_operator as cpf_proof
from carteira.identity.proof.disputes import (
    CpfDisputeView,
    DisputeFilter,
    count_disputes,
    dispute,
    disputes,
    keep,
    withdraw_holders,
)
from carteira.identity.proof.schemas import CpfProofIn, Paper
from carteira.identity.proof.service import version_of_proof
from carteira.identity.proof.service import withdraw as withdraw_proof
from carteira.identity.roles.service import (
    BY_NUMBER,
    ClaimView,
    NumberKey,
    WholeRoleView,
    add_role,
    delete_role,
    give_role,
    list_claims,
    list_roles,
    rename_role,
    role_with_claims,
    set_claims_of_role,
)
from carteira.identity.roles.shipped import FIXED
from carteira.identity.runtime import Runtime
from carteira.identity.sessions.service import end_one as end_session
from carteira.identity.sessions.service import sessions_of, sign_out_everywhere
from carteira.identity.signin.factor_reset import propose as propose_factor_reset
from carteira.identity.trail.queries import Asked as AuditAsked
from carteira.identity.trail.queries import AuditView
from carteira.identity.trail.queries import listed as audit_listed
from carteira.identity.users import by_operator, importing, queries
from carteira.identity.users.importing import PersonLineOut
from carteira.identity.users.queries import Filters, PersonView
from carteira.identity.users.schemas import NewUserIn, UserPatch
from carteira.identity.users.service import erase_user, may_see_cpf
from carteira.identity.users.suspension import Reason as SuspensionReason
from carteira.identity.users.suspension import suspend, unsuspend
from carteira.kit.db.session import Tx
from carteira.kit.security import audit
from carteira.kit.security.audit import AuditRecord
from carteira.kit.values.ids import first_uuid7
from carteira.kit.web.access import Principal
from carteira.kit.web.approvals import Desk
from carteira.kit.web.pagination import Page, PageRequest

__all__ = [
    "BY_NUMBER",
    "FIXED",
    "PEOPLE_ONLY",
    "AuditAsked",
    "AuditView",
    "ClaimView",
    "ClientView",
    "CpfDisputeView",
    "CpfProofIn",
    "CredentialView",
    "DataRequestAnswered",
    "Description",
    "DisputeFilter",
    "Filters",
    "FullName",
    "Network",
    "NewCredential",
    "NewUserIn",
    "NumberKey",
    "Paper",
    "PersonLineOut",
    "SuspensionReason",
    "UserPatch",
    "WholeRoleView",
    "add_client",
    "add_credential",
    "add_people",
    "add_role",
    "add_user",
    "audit_listed",
    "change_user",
    "client",
    "client_names",
    "count_disputes",
    "count_sign_ins",
    "data_requests",
    "delete_role",
    "dispute",
    "disputes",
    "end_session",
    "erase_user",
    "give_role",
    "keep",
    "list_claims",
    "list_clients",
    "list_roles",
    "look_at",
    "may_see_cpf",
    "preview_people",
    "propose_factor_reset",
    "prove_cpf",
    "read_people",
    "rename_role",
    "revoke_client",
    "revoke_credential",
    "role_with_claims",
    "search_people",
    "sessions_of",
    "set_claims",
    "set_claims_of_role",
    "sign_out_everywhere",
    "suspend",
    "unsuspend",
    "version_of_proof",
    "withdraw_holders",
    "withdraw_proof",
]
_MOST_NAMED = 500
add_user = by_operator.add
change_user = by_operator.change
read_people, preview_people, add_people = importing.read, importing.preview, importing.add_many


async def client_names(tx: Tx, ids: Collection[UUID] | None = None) -> dict[UUID, str]:
    """Return clients' names by id; without ids, all that are not revoked, sorted by name."""
    query = select(ClientRow.id, ClientRow.name).order_by(ClientRow.name).limit(_MOST_NAMED)
    query = query.where(ClientRow.revoked_at.is_(None) if ids is None else ClientRow.id.in_(ids))
    return {row.id: row.name for row in await tx.execute(query)}


async def search_people(tx: Tx, asked: Filters, page: PageRequest[UUID]) -> Page[PersonView]:
    """List people as `GET /users` does; the looks are recorded.

    Raises:
        UnknownFilter: there is no such role or claim.
    """
    wanted = await queries.resolve(tx, asked)
    rows = await queries.search(tx, wanted, limit=page.limit + 1, after=page.after, turned=page.turned)
    found = page.page(rows, lambda row: row.id)
    await audit.record_looks(tx, "user_listed", [item.id for item in found.items])
    return found


def count_sign_ins(since: datetime) -> Select[int]:
    """Return the query that counts the sign-ins since an instant."""
    return select(func.count()).where(
        AuditRecord.action == "sign_in",
        AuditRecord.id > first_uuid7(since.timestamp()),
    )


async def look_at(tx: Tx, user_id: UUID) -> PersonView:
    """Return a person to an operator; the look is recorded.

    Raises:
        UserNotFound: there is none.
    """
    view = await queries.person(tx, user_id)
    await audit.record_looks(tx, "user_read", [user_id])
    return view


async def prove_cpf(  # noqa: PLR0913, PLR0917 - the parameters of the API's route
    tx: Tx, runtime: Runtime, desk: Desk, who: Principal, user_id: UUID, seen: CpfProofIn
) -> object:
    """Record that an operator saw a person and their paper; if the CPF leaves another account, it may wait.

    Raises:
        OwnCpfProof, CpfDisputed, UserNotFound, CpfDiffers, CpfTaken.
    """
    what = cpf_proof.operation(runtime.cpf_followers, two_to_move=not runtime.config.development)
    order = cpf_proof.CpfProofOrder(user_id=user_id, cpf=seen.cpf, paper=seen.paper)
    return await cpf_proof.carry_out(tx, desk, what, order, who)
