"""Reads: a person, the list and its search, the report, and the export."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Select, and_, bindparam, func, or_, select, text
from sqlalchemy.dialects.postgresql import aggregate_order_by, distinct_on
from sqlalchemy.orm import aliased

from carteira.identity.clients.models import ClientRow
from carteira.identity.contacts.points import ContactPoint, Former, points_of
from carteira.identity.data_requests import service as data_requests
from carteira.identity.errors import UnknownFilter, UserNotFound
from carteira.identity.models import (
    Claim,
    Consent,
    ContactChange,
    KnownDevice,
    Passkey,
    RecoveryCode,
    Role,
    Session,
    SocialAccount,
    Totp,
    User,
    UserClaim,
)
from carteira.identity.users.login import by_login
from carteira.identity.users.search_text import fold
from carteira.kit.db.keyset import keyset
from carteira.kit.db.reads import Query, Reads, first
from carteira.kit.db.session import Tx
from carteira.kit.security.audit import AuditRecord
from carteira.kit.values.clock import clock
from carteira.kit.values.cpf import InvalidCpf, mask_cpf, parse_cpf
from carteira.kit.web.preconditions import version_of

CpfState = Literal["proven", "declared", "none", "moved"]
"""`moved`: it was proven to be another person's, and this account lacks its right one."""
_INT32 = 2**31 - 1
_EXPORTED_AUDIT = 10_000
"""An operator may have very many rows: their export holds the newest acts by them and looks at them."""


@dataclass(frozen=True, slots=True)
class PersonView:
    """A person as other modules and the routes see them. `cpf` is whole; callers mask it before showing it."""

    id: UUID
    full_name: str
    email: str
    email_confirmed: bool
    cpf: str | None
    """The account's CPF, declared or proven; for access to other modules' data see `proven_cpf`."""
    cpf_proven_at: datetime | None
    cpf_proven_by: str | None
    cpf_moved_at: datetime | None
    birth_date: date | None
    phone: str | None
    role_id: int
    role: str
    claims: list[str]
    created_at: datetime
    updated_at: datetime
    suspended_at: datetime | None
    contacts: list[ContactPoint]

    def written(self) -> dict[str, str | None]:
        """Return the fields that `PUT /users/{id}` changes, as they are sent; the CPF masked."""
        return {
            "full_name": self.full_name,
            "email": self.email,
            "cpf": self.cpf and mask_cpf(self.cpf),
            "birth_date": self.birth_date.isoformat() if self.birth_date else None,
            "phone": self.phone,
        }

    @property
    def version(self) -> str:
        """The version of the fields that `PUT /users/{id}` changes."""
        return version_of_person(self)

    @property
    def cpf_state(self) -> "CpfState":
        """The state of the account's CPF."""
        if self.cpf is not None:
            return "declared" if self.cpf_proven_at is None else "proven"
        return "none" if self.cpf_moved_at is None else "moved"


def version_of_person(row: "PersonView | User") -> str:
    """Return the version of a person's registration, whose fields are changed together.

    Of the CPF it covers what every reader sees: a digest of the whole number, which has few digits, would reveal it.
    """
    return version_of(row.full_name, row.email, row.cpf and mask_cpf(row.cpf), row.birth_date, row.phone)


def _claims_of() -> Any:  # noqa: ANN401 - SQLAlchemy's scalar subquery of an array
    return (
        select(
            func.coalesce(
                func.array_agg(aggregate_order_by(Claim.description, Claim.description)), text("'{}'::text[]")
            )
        )
        .select_from(UserClaim)
        .join(Claim, Claim.id == UserClaim.claim_id)
        .where(UserClaim.user_id == User.id, Claim.active)
        .correlate(User)
        .scalar_subquery()
    )


_email_change, _phone_change = aliased(ContactChange), aliased(ContactChange)


def people() -> Select[Any]:
    """Select live people with role, active claims and contact points; `view_of` reads a row."""
    return (
        select(  # type: ignore[return-value] # more columns than SQLAlchemy's types count
            User.id,
            User.full_name,
            User.email,
            User.email_confirmed_at.is_not(None),
            User.cpf,
            User.cpf_proven_at,
            User.cpf_proven_by,
            User.cpf_moved_at,
            User.birth_date,
            User.phone,
            Role.id,
            Role.description,
            _claims_of().label("claims"),
            User.created_at,
            User.updated_at,
            User.suspended_at,
            User.email_confirmed_at,
            User.phone_confirmed_at,
            *(
                column
                for change in (_email_change, _phone_change)
                for column in (change.former, change.former_confirmed_at, change.recovers_from)
            ),
        )
        .join(Role, Role.id == User.role_id)
        .outerjoin(_email_change, and_(_email_change.user_id == User.id, _email_change.kind == "email"))
        .outerjoin(_phone_change, and_(_phone_change.user_id == User.id, _phone_change.kind == "phone"))
        .where(User.erased_at.is_(None))
    )


def view_of(row: Sequence[Any]) -> PersonView:
    """Read a row of `people`."""
    email_confirmed_at, phone_confirmed_at = row[-8:-6]
    email_former, phone_former = _former(*row[-6:-3]), _former(*row[-3:])
    contacts: list[ContactPoint] = []
    user = PersonView(*(*row[:-8], contacts))
    now = clock.now()
    contacts += points_of("email", user.email, email_confirmed_at, email_former, now)
    contacts += points_of("phone", user.phone, phone_confirmed_at, phone_former, now)
    return user


def _former(value: str | None, confirmed_at: datetime | None, recovers_from: datetime | None) -> Former | None:
    return None if recovers_from is None else Former(value, confirmed_at, recovers_from)


_PERSON = Query(people().where(User.id == bindparam("user_id")))


async def person(via: Tx | Reads, user_id: UUID) -> PersonView:
    """Return a person.

    Raises:
        UserNotFound: there is none, or they were erased.
    """
    row = await first(via, _PERSON, user_id=user_id)
    if row is None:
        raise UserNotFound
    return view_of(row)


async def live_among(tx: Tx, user_ids: Collection[UUID]) -> list[UUID]:
    """Return the ids among some that are people who are not erased."""
    return list(await tx.scalars(select(User.id).where(User.id.in_(user_ids), User.erased_at.is_(None))))


async def erased_ids(tx: Tx) -> set[UUID]:
    """Return the ids of all people who were erased."""
    return set(await tx.scalars(select(User.id).where(User.erased_at.is_not(None))))


async def names(tx: Tx, user_ids: Iterable[UUID]) -> Mapping[UUID, str]:
    """Return the full names of live people, and the names of clients, by id; unknown ids are left out."""
    ids = set(user_ids)
    people = select(User.id, User.full_name).where(User.id.in_(ids), User.erased_at.is_(None))
    clients = select(ClientRow.id, ClientRow.name).where(ClientRow.id.in_(ids))
    return {found: name for found, name in await tx.execute(people.union_all(clients)) if name is not None}


async def holders_of(tx: Tx, claim: str) -> Sequence[UUID]:
    """Return the people who hold an active claim, except suspended and erased ones."""
    held = (
        select(UserClaim.user_id)
        .join(Claim, Claim.id == UserClaim.claim_id)
        .where(Claim.description == claim, Claim.active)
    )
    there = (User.erased_at.is_(None), User.suspended_at.is_(None))
    return (await tx.scalars(select(User.id).where(User.id.in_(held), *there).order_by(User.id))).all()


async def find_person(tx: Tx, name: str) -> PersonView | None:
    """Find a person by CPF or e-mail."""
    row = (await tx.execute(people().where(by_login(name)))).one_or_none()
    return None if row is None else view_of(row)


@dataclass(frozen=True, slots=True)
class Filters:
    """The search as requested: a role by its description or its number, a claim by its description."""

    text: str | None = None
    role: str | None = None
    claim: str | None = None
    suspended: bool | None = None


@dataclass(frozen=True, slots=True)
class ResolvedFilters:
    """The resolved search: part of a name or e-mail (normalised) or a whole CPF, and role and claim."""

    text: str | None = None
    role_id: int | None = None
    claim_id: int | None = None
    suspended: bool | None = None


async def resolve(tx: Tx, asked: Filters) -> ResolvedFilters:
    """Resolve a search's role and claim.

    Raises:
        UnknownFilter: there is none of that name.
    """
    role_id = claim_id = None
    if asked.role is not None:
        by_number = _is_number(asked.role)
        named = Role.id == int(asked.role) if by_number else Role.description == asked.role
        role_id = await tx.scalar(select(Role.id).where(named))
        if role_id is None:
            raise UnknownFilter("role", "Não há papel com esta descrição ou este id.")
    if asked.claim is not None:
        claim_id = await tx.scalar(select(Claim.id).where(Claim.description == asked.claim))
        if claim_id is None:
            raise UnknownFilter("claim", "Não há permissão com esta descrição.")
    return ResolvedFilters(asked.text, role_id, claim_id, asked.suspended)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and int(text) <= _INT32


async def search(
    tx: Tx, filters: ResolvedFilters, *, limit: int, after: UUID | None = None, turned: bool = False
) -> list[PersonView]:
    """List people, oldest first or the other way round.

    A part of a CPF finds nobody, since that would disclose masked digits.
    """
    query = people()
    if filters.text and filters.text.strip():
        try:
            query = query.where(User.cpf == parse_cpf(filters.text))
        except InvalidCpf:
            for word in fold(filters.text).split():
                escaped = word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
                query = query.where(User.search_text.like(f"%{escaped}%"))
    if filters.role_id is not None:
        query = query.where(User.role_id == filters.role_id)
    if filters.claim_id is not None:
        held = select(UserClaim.user_id).where(UserClaim.claim_id == filters.claim_id)
        query = query.where(User.id.in_(held))
    if filters.suspended is not None:
        query = query.where(User.suspended_at.is_not(None) if filters.suspended else User.suspended_at.is_(None))
    query = keyset(query, User.id, after=after, limit=limit, turned=turned)
    return [view_of(row) for row in await tx.execute(query)]


REPORT_SQL = text("""
    SELECT person.id, person.full_name, person.email, role.description AS role,
           coalesce(array_agg(claim.description ORDER BY claim.description)
                    FILTER (WHERE claim.id IS NOT NULL), '{}') AS claims
    FROM users person
    JOIN roles role ON role.id = person.role_id
    LEFT JOIN user_claims held ON held.user_id = person.id
    LEFT JOIN claims claim ON claim.id = held.claim_id AND claim.active
    WHERE person.erased_at IS NULL AND (CAST(:after AS uuid) IS NULL OR person.id > CAST(:after AS uuid))
    GROUP BY person.id, role.id
    ORDER BY person.id
    LIMIT :limit
""")


async def report(tx: Tx, *, limit: int, after: UUID | None = None) -> Sequence[Any]:
    """Return the report's rows by SQL."""
    return (await tx.execute(REPORT_SQL, {"limit": limit, "after": after})).all()


async def consents_of(tx: Tx, user_id: UUID) -> list[tuple[str, bool, datetime]]:
    """Return a person's newest answer to each purpose."""
    rows = await tx.execute(
        select(Consent.purpose, Consent.granted, Consent.created_at)
        .where(Consent.user_id == user_id)
        .ext(distinct_on(Consent.purpose))
        .order_by(Consent.purpose, Consent.id.desc())
    )
    return [(row[0], row[1], row[2]) for row in rows]


async def export_person(tx: Tx, user_id: UUID) -> Mapping[str, Any]:
    """Return what identity itself holds about a person, JSON-ready; secrets are named, not shown."""
    view = await person(tx, user_id)
    found = await tx.scalars(select(Session).where(Session.user_id == user_id).order_by(Session.id))
    devices = await tx.scalars(select(KnownDevice).where(KnownDevice.user_id == user_id))
    records = await tx.scalars(
        select(AuditRecord)
        .where(or_(AuditRecord.subject_id == user_id, AuditRecord.actor_id == user_id))
        .order_by(AuditRecord.id.desc())
        .limit(_EXPORTED_AUDIT)
    )
    codes_left = await tx.scalar(
        select(func.count())
        .select_from(RecoveryCode)
        .where(RecoveryCode.user_id == user_id, RecoveryCode.used_at.is_(None))
    )
    return {
        "user": {
            "id": str(view.id),
            "full_name": view.full_name,
            "email": view.email,
            "email_confirmed": view.email_confirmed,
            "cpf": view.cpf,
            "cpf_state": view.cpf_state,
            "cpf_proven_at": view.cpf_proven_at,
            "cpf_proven_by": view.cpf_proven_by,
            "birth_date": view.birth_date,
            "phone": view.phone,
            "contacts": [asdict(point) for point in view.contacts],
            "role": {"id": view.role_id, "description": view.role},
            "claims": view.claims,
            "created_at": view.created_at,
            "updated_at": view.updated_at,
            "suspended_at": view.suspended_at,
        },
        "sessions": [
            {
                "id": str(row.id),
                "device": row.device,
                "network": row.network,
                "methods": row.methods.split(),
                "created_at": row.created_at,
                "seen_at": row.seen_at,
                "revoked_at": row.revoked_at,
            }
            for row in found
        ],
        "known_devices": [{"created_at": row.created_at, "seen_at": row.seen_at} for row in devices],
        "authenticator": await tx.scalar(select(Totp.confirmed_at).where(Totp.user_id == user_id)),
        "recovery_codes_left": codes_left,
        **await _ways_in(tx, user_id),
        "consents": [
            {"purpose": purpose, "granted": granted, "created_at": at}
            for purpose, granted, at in await consents_of(tx, user_id)
        ],
        "data_requests": await data_requests.export_person(tx, user_id),
        "audit": [
            {
                "action": row.action,
                "by_me": row.actor_id == user_id,
                "about_me": row.subject_id == user_id,
                "created_at": row.created_at,
            }
            for row in records
        ],
    }


async def _ways_in(tx: Tx, user_id: UUID) -> dict[str, Any]:
    keys = await tx.scalars(select(Passkey).where(Passkey.user_id == user_id).order_by(Passkey.id))
    linked = await tx.scalars(select(SocialAccount).where(SocialAccount.user_id == user_id).order_by(SocialAccount.id))
    return {
        "passkeys": [
            {"name": row.name, "backed_up": row.backed_up, "created_at": row.created_at, "used_at": row.used_at}
            for row in keys
        ],
        "social_accounts": [
            {
                "provider": row.provider,
                "subject": row.subject,
                "created_at": row.created_at,
                "used_at": row.used_at,
            }
            for row in linked
        ],
    }
