"""The administration of clients. A person can only grant a client claims, or credentials to claims, that they hold."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, any_, delete, insert, literal, select

from carteira.identity.clients.models import ClientAssertion, ClientClaim, ClientCredential, ClientRow
from carteira.identity.errors import (
    ClaimForPeopleOnly,
    ClaimNotFound,
    ClientNotFound,
    CredentialNotFound,
    TooManyCredentials,
)
from carteira.identity.models import Claim, User
from carteira.identity.roles.grants import require_may_grant
from carteira.identity.sessions.standing import SessionStandings
from carteira.kit.db.batches import delete_batch
from carteira.kit.db.keyset import keyset
from carteira.kit.db.session import Tx, locked
from carteira.kit.security import audit
from carteira.kit.security.opaque_tokens import digest, new_token
from carteira.kit.values.clock import clock
from carteira.kit.values.ids import uuid7
from carteira.kit.web.access import EVERY_CLAIM, Principal
from carteira.kit.web.preconditions import UNCONDITIONAL, Precondition, version_of

CREDENTIALS = 2
"""The most valid credentials of a client: the present one and its successor."""
SECRET_PREFIX = "carteira_secret_"  # noqa: S105 - a prefix by which secret scanners recognise it
PEOPLE_ONLY = frozenset({EVERY_CLAIM, "clients:write", "documents:review", "identity:prove", "money:approve"})
"""Claims that only people may hold: seeing a face or paper, being the second person, managing clients."""


@dataclass(frozen=True, slots=True)
class CredentialView:
    """A credential as operators see it."""

    id: UUID
    kind: Literal["secret", "public_key"]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class ClientView:
    """A client as operators see it."""

    id: UUID
    name: str
    claims: list[str]
    networks: list[str]
    created_at: datetime
    created_by: UUID
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    credentials: list[CredentialView]

    @property
    def version(self) -> str:
        """The version of its settings: name, claims, networks, end."""
        return version_of(self.name, sorted(self.claims), self.networks, self.expires_at, self.revoked_at)


@dataclass(frozen=True, slots=True)
class NewCredential:
    """A credential that was just made; its secret is shown this once."""

    view: CredentialView
    secret: str | None


def _credential_view(row: ClientCredential) -> CredentialView:
    kind: Literal["secret", "public_key"] = "secret" if row.public_key is None else "public_key"
    return CredentialView(row.id, kind, row.created_at, row.expires_at, row.used_at)


def is_live(row: ClientRow | ClientCredential) -> bool:
    """Return whether a client or a credential is neither revoked nor past its end."""
    return row.revoked_at is None and (row.expires_at is None or row.expires_at > clock.now())


async def credentials_of(tx: Tx, client_ids: Collection[UUID]) -> list[ClientCredential]:
    """Return all credentials of some clients, oldest first."""
    query = select(ClientCredential).where(ClientCredential.client_id.in_(client_ids)).order_by(ClientCredential.id)
    return list(await tx.scalars(query))


async def claims_of(tx: Tx, client_ids: Collection[UUID]) -> list[tuple[UUID, int, str]]:
    """Return the claims of some clients, in the claims' order: the client, the claim's id, its description."""
    query = (
        select(ClientClaim.client_id, Claim.id, Claim.description)
        .join(Claim, Claim.id == ClientClaim.claim_id)
        .where(ClientClaim.client_id.in_(client_ids))
        .order_by(Claim.description)
    )
    return [(row.client_id, row.id, row.description) for row in await tx.execute(query)]


async def _views(tx: Tx, rows: Sequence[ClientRow]) -> list[ClientView]:
    ids = [row.id for row in rows]
    held = await claims_of(tx, ids)
    credentials = await credentials_of(tx, ids)
    return [
        ClientView(
            row.id,
            row.name,
            [description for client_id, _, description in held if client_id == row.id],
            row.networks,
            row.created_at,
            row.created_by,
            row.expires_at,
            row.revoked_at,
            max((one.used_at for one in credentials if one.client_id == row.id and one.used_at), default=None),
            [_credential_view(one) for one in credentials if one.client_id == row.id and is_live(one)],
        )
        for row in rows
    ]


async def list_clients(
    tx: Tx, *, limit: int, before: UUID | None = None, turned: bool = False, revoked: bool | None = None
) -> list[ClientView]:
    """Return the clients, newest first or the other way round; with `revoked` only revoked ones, or only others."""
    base = select(ClientRow)
    if revoked is not None:
        base = base.where(ClientRow.revoked_at.is_not(None) if revoked else ClientRow.revoked_at.is_(None))
    query = keyset(base, ClientRow.id, after=before, limit=limit, newest_first=True, turned=turned)
    return await _views(tx, (await tx.scalars(query)).all())


async def client(tx: Tx, client_id: UUID) -> ClientView:
    """Return a client.

    Raises:
        ClientNotFound: there is none.
    """
    row = await tx.get(ClientRow, client_id)
    if row is None:
        raise ClientNotFound
    [view] = await _views(tx, [row])
    return view


async def _ids_of_claims(tx: Tx, claims: Collection[str]) -> dict[str, int]:
    """Return the ids of claims by their names.

    Raises:
        ClaimNotFound: one of them does not exist.
    """
    found = {
        row.description: row.id
        for row in await tx.execute(select(Claim.description, Claim.id).where(Claim.description.in_(set(claims))))
    }
    if unknown := sorted(set(claims) - set(found)):
        raise ClaimNotFound(f"Não há a permissão {', '.join(unknown)}.", claims=unknown)
    return found


def _require_held(who: Principal, claims: Collection[str]) -> None:
    """Require that the granting person holds the claims, and that a machine may hold them.

    Raises:
        ClaimForPeopleOnly, ClaimsBeyondYours.
    """
    if forbidden := sorted(PEOPLE_ONLY.intersection(claims)):
        raise ClaimForPeopleOnly(
            f"Só pessoas podem ter {', '.join(forbidden)}: um cliente (máquina) não pode.", claims=forbidden
        )
    require_may_grant(who, claims)


async def _live(tx: Tx, client_id: UUID) -> ClientRow:
    """Lock a client.

    Raises:
        ClientNotFound: there is none, or it was revoked.
    """
    row = await locked(tx, ClientRow, client_id)
    if row is None or row.revoked_at is not None:
        raise ClientNotFound
    return row


async def _hold(tx: Tx, row: ClientRow, seen: Precondition) -> None:
    """Compare a locked client's present version with the one that the caller saw."""
    if seen.is_named:
        seen.hold((await _views(tx, [row]))[0].version)


async def _changeable(tx: Tx, who: Principal, client_id: UUID) -> ClientRow:
    """Lock a client for a person who may change it: they hold all that it holds, since its credentials give them that.

    Raises:
        ClientNotFound: there is none, or it was revoked.
        ClaimsBeyondYours: it holds a claim that they do not.
    """
    row = await _live(tx, client_id)
    await require_client_not_above(tx, who, client_id)
    return row


async def require_client_not_above(tx: Tx, who: Principal, client_id: UUID) -> None:
    """Require that a client holds no claim that the caller lacks.

    Raises:
        ClaimsBeyondYours: it does.
        SecondFactorRequired: the caller holds them, but their session lacks a second factor.
    """
    require_may_grant(who, [description for _, _, description in await claims_of(tx, [client_id])])


async def add_client(  # noqa: PLR0913 - a new client's fields
    tx: Tx,
    who: Principal,
    *,
    name: str,
    claims: Collection[str],
    networks: Sequence[str],
    expires_at: datetime | None,
    public_key: Mapping[str, Any] | None,
) -> tuple[ClientView, str | None]:
    """Add a client with its first credential; return it, and its secret unless a public key was given.

    Raises:
        ClaimNotFound, ClaimForPeopleOnly, ClaimsBeyondYours.
    """
    known = await _ids_of_claims(tx, claims)
    _require_held(who, known)
    row = ClientRow(
        id=uuid7(),
        name=name,
        networks=list(networks),
        created_at=clock.now(),
        created_by=who.id,
        expires_at=expires_at,
    )
    tx.add(row)
    await tx.flush()
    await _insert_claims(tx, row.id, known.values())
    made = await _make_credential(tx, who, row.id, public_key, None)
    await audit.record(
        tx, "client_added", actor=who.id, subject=row.id, claim_ids=sorted(known.values()), credential=str(made.view.id)
    )
    return await client(tx, row.id), made.secret


async def _insert_claims(tx: Tx, client_id: UUID, claim_ids: Collection[int]) -> None:
    rows = [{"client_id": client_id, "claim_id": claim_id} for claim_id in sorted(claim_ids)]
    if rows:
        await tx.execute(insert(ClientClaim), rows)


async def _make_credential(
    tx: Tx, who: Principal, client_id: UUID, public_key: Mapping[str, Any] | None, expires_at: datetime | None
) -> NewCredential:
    secret = None if public_key is not None else SECRET_PREFIX + new_token()
    row = ClientCredential(
        id=uuid7(),
        client_id=client_id,
        secret_hash=digest(secret) if secret is not None else None,
        public_key=dict(public_key) if public_key is not None else None,
        created_at=clock.now(),
        created_by=who.id,
        expires_at=expires_at,
    )
    tx.add(row)
    await tx.flush()
    return NewCredential(_credential_view(row), secret)


async def change_client(  # noqa: PLR0913, PLR0917 - the change, its actor and the version that they saw
    tx: Tx,
    access: SessionStandings,
    who: Principal,
    client_id: UUID,
    changes: Mapping[str, Any],
    seen: Precondition = UNCONDITIONAL,
) -> ClientView:
    """Change a client's name, networks and end, with immediate effect, for its tokens too.

    Raises:
        ClientNotFound, ClaimsBeyondYours.
        RecordChanged: the client is no longer what was seen.
    """
    row = await _changeable(tx, who, client_id)
    await _hold(tx, row, seen)
    for name, value in changes.items():
        setattr(row, name, value)
    await tx.flush()
    access.changed(tx, client_id)
    await audit.record(tx, "client_changed", actor=who.id, subject=client_id, fields=sorted(changes))
    return await client(tx, client_id)


async def set_claims(  # noqa: PLR0913, PLR0917 - the claims, their actor and the version that they saw
    tx: Tx,
    access: SessionStandings,
    who: Principal,
    client_id: UUID,
    claims: Collection[str],
    seen: Precondition = UNCONDITIONAL,
) -> ClientView:
    """Replace a client's claims; the person who does so holds the new ones.

    Raises:
        ClientNotFound, ClaimNotFound, ClaimForPeopleOnly, ClaimsBeyondYours.
        RecordChanged: the client is no longer what was seen.
    """
    await _hold(tx, await _live(tx, client_id), seen)
    held = {description for _, _, description in await claims_of(tx, [client_id])}
    known = await _ids_of_claims(tx, claims)
    _require_held(who, known.keys() - held)
    await tx.execute(delete(ClientClaim).where(ClientClaim.client_id == client_id))
    await _insert_claims(tx, client_id, known.values())
    access.changed(tx, client_id)
    await audit.record(tx, "client_claims_set", actor=who.id, subject=client_id, claim_ids=sorted(known.values()))
    return await client(tx, client_id)


async def revoke_client(tx: Tx, access: SessionStandings, who: Principal, client_id: UUID) -> None:
    """End a client, its credentials and its tokens, at once.

    Everybody who manages clients may do so, since it grants nothing.

    Raises:
        ClientNotFound: there is none, or it was revoked.
    """
    row = await _live(tx, client_id)
    row.revoked_at = clock.now()
    await tx.flush()
    access.changed(tx, client_id)
    await audit.record(tx, "client_revoked", actor=who.id, subject=client_id)


async def add_credential(  # noqa: PLR0913 - a new credential, and the end of the former ones
    tx: Tx,
    access: SessionStandings,
    who: Principal,
    client_id: UUID,
    *,
    public_key: Mapping[str, Any] | None,
    expires_at: datetime | None,
    overlap: timedelta,
) -> NewCredential:
    """Replace a client's credential; the former one stays valid for `overlap`, or ends now if there is none.

    Raises:
        ClientNotFound, ClaimsBeyondYours.
        TooManyCredentials: two are valid already.
    """
    await _changeable(tx, who, client_id)
    former = [row for row in await credentials_of(tx, [client_id]) if is_live(row)]
    if overlap and len(former) >= CREDENTIALS:
        raise TooManyCredentials
    now = clock.now()
    for row in former:
        if overlap:
            row.expires_at = min(row.expires_at or now + overlap, now + overlap)
        else:
            row.revoked_at = now
    made = await _make_credential(tx, who, client_id, public_key, expires_at)
    access.changed(tx, client_id)
    await audit.record(
        tx,
        "client_credential_added",
        actor=who.id,
        subject=client_id,
        credential=str(made.view.id),
        overlap_seconds=int(overlap.total_seconds()),
    )
    return made


async def revoke_credential(
    tx: Tx, access: SessionStandings, who: Principal, client_id: UUID, credential_id: UUID
) -> None:
    """End a credential and its tokens at once.

    Raises:
        ClientNotFound: there is no such client, or it was revoked.
        CredentialNotFound: it has no such credential, or it has ended.
    """
    await _live(tx, client_id)
    row = await locked(tx, ClientCredential, credential_id)
    if row is None or row.client_id != client_id or not is_live(row):
        raise CredentialNotFound
    row.revoked_at = clock.now()
    await tx.flush()
    access.changed(tx, client_id)
    await audit.record(tx, "client_credential_revoked", actor=who.id, subject=client_id, credential=str(credential_id))


async def kind_of(tx: Tx, some_id: UUID) -> Literal["person", "client"] | None:
    """Return whether an id is a person's or a client's; None if it is unknown, erased or revoked."""
    if await tx.scalar(select(User.id).where(User.id == some_id, User.erased_at.is_(None))):
        return "person"
    if await tx.scalar(select(ClientRow.id).where(ClientRow.id == some_id, ClientRow.revoked_at.is_(None))):
        return "client"
    return None


async def people_behind(tx: Tx, ids: Collection[UUID]) -> frozenset[UUID]:
    """Return the people who made some clients or one of their credentials, and so can act as one.

    None of them is a second person beside such a client. Ids that are no client's add nobody.
    """
    some = any_(literal(list(ids), ARRAY(Uuid)))
    makers = await tx.scalars(
        select(ClientRow.created_by)
        .where(ClientRow.id == some)
        .union(select(ClientCredential.created_by).where(ClientCredential.client_id == some))
    )
    return frozenset(makers)


async def clients_of(tx: Tx, user_id: UUID) -> frozenset[UUID]:
    """Return the clients that a person made, or made a credential of, and so can act as."""
    made = await tx.scalars(
        select(ClientRow.id)
        .where(ClientRow.created_by == user_id)
        .union(select(ClientCredential.client_id).where(ClientCredential.created_by == user_id))
    )
    return frozenset(made)


async def is_own(tx: Tx, who: Principal, user_id: UUID | None) -> bool:
    """Return whether a person's data are the caller's own: that person, or a client that they can act as."""
    if user_id is None or who.id == user_id:
        return who.id == user_id
    return who.kind == "client" and user_id in await people_behind(tx, [who.id])


async def forget_old(tx: Tx) -> int:
    """Delete some expired assertions, which cannot be accepted again; return how many. A job calls it."""
    return await delete_batch(tx, ClientAssertion, ClientAssertion.expires_at < clock.now() - timedelta(days=1))
