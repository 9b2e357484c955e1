"""People: registration, creation, change, password, consents, export of everything held, and erasure (LGPD)."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from limits import RateLimitItemPerHour
from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError

from carteira.identity.config import GENERATED_PASSWORD_DAYS
from carteira.identity.contacts import service as contacts
from carteira.identity.contacts.points import KINDS, Kind
from carteira.identity.erasures import ErasureJournal
from carteira.identity.errors import (
    CpfIsFixed,
    CpfTaken,
    EmailTaken,
    UserNotFound,
    WeakPassword,
    WrongCurrentPassword,
)
from carteira.identity.models import (
    Consent,
    ContactChange,
    DataRequest,
    Invitation,
    KnownDevice,
    MfaChallenge,
    Passkey,
    PasskeyChallenge,
    Recovery,
    RecoveryCode,
    Session,
    SocialAccount,
    SocialRegistration,
    Totp,
    User,
    UserClaim,
)
from carteira.identity.proof import service as proofs
from carteira.identity.proof.service import CpfFollower
from carteira.identity.roles import service as roles
from carteira.identity.roles.grants import keep_an_administrator, require_not_above
from carteira.identity.roles.shipped import CITIZEN
from carteira.identity.runtime import Changing, Runtime
from carteira.identity.sessions import service as sessions
from carteira.identity.users import passwords
from carteira.identity.users.queries import PersonView, person, version_of_person
from carteira.identity.users.search_text import search_text_of
from carteira.kit.db import jobs, outbox
from carteira.kit.db.engine import Database
from carteira.kit.db.session import Tx, after_commit, locked
from carteira.kit.security import approvals, audit
from carteira.kit.security.approvals import Gains, MustWait
from carteira.kit.security.rate_limits import (
    PER_ACCOUNT,
    PER_ADDRESS,
    LimitReached,
    RateLimit,
    is_loopback,
    network,
    presence_limits,
)
from carteira.kit.values.actor import Actor
from carteira.kit.values.clock import clock
from carteira.kit.values.ids import uuid7
from carteira.kit.web import idempotency
from carteira.kit.web.access import Principal
from carteira.kit.web.preconditions import UNCONDITIONAL, Precondition
from carteira.kit.web.problems import Conflict

T = TypeVar("T")
_ERASED = (
    UserClaim,
    KnownDevice,
    Totp,
    RecoveryCode,
    MfaChallenge,
    Passkey,
    PasskeyChallenge,
    SocialAccount,
    SocialRegistration,
    Recovery,
    Consent,
    ContactChange,
    DataRequest,
    Invitation,
)
"""Tables whose rows are deleted with a person."""


@dataclass(frozen=True, slots=True)
class NewPerson:
    """A person to add. The CPF has eleven digits and is only declared."""

    full_name: str
    email: str
    cpf: str | None = None
    birth_date: date | None = None
    phone: str | None = None


def conflict_from(error: IntegrityError) -> Conflict:
    """Map a violated unique constraint of `users` to a problem.

    Raises:
        IntegrityError: the constraint is another one.
    """
    constraint = getattr(getattr(error.orig, "__cause__", None), "constraint_name", None)
    if constraint == "uq_users_email":
        return EmailTaken()
    if constraint == "uq_users_cpf":
        return CpfTaken()
    raise error


def require_rules(password: str, *, field: str = "password", personal: tuple[str | None, ...] = ()) -> None:
    """Check a new password's rules.

    Raises:
        WeakPassword: it breaks rules, each named.
    """
    broken = passwords.broken_rules(password, personal=personal)
    if broken:
        raise WeakPassword(broken, field=field)


async def prepare_password(password: str, *, field: str = "password", personal: tuple[str | None, ...] = ()) -> str:
    """Check a new password's rules and return its hash. This takes a while: call it outside of a transaction.

    Raises:
        WeakPassword: it breaks rules, each named.
    """
    require_rules(password, field=field, personal=personal)
    return await passwords.hash_password(password)


async def add_person(  # noqa: PLR0913 - a new person's fields
    tx: Tx,
    person: NewPerson,
    *,
    password_hash: str | None,
    role_id: int | None = None,
    must_change_password: bool = False,
    email_confirmed: bool = False,
    actor: Actor | UUID | None = None,
    user_id: UUID | None = None,
) -> UUID:
    """Add a person with a role ("cidadão" by default) and its claims; return their id.

    A password that must be changed is valid for `GENERATED_PASSWORD_DAYS`; later the person recovers it by e-mail. An
    id is generated unless `user_id` gives an unused one.

    Raises:
        EmailTaken, CpfTaken: another person has it.
        RoleNotFound: there is no such role.
    """
    now = clock.now()
    user = User(
        id=user_id or uuid7(),
        full_name=person.full_name,
        email=person.email,
        email_confirmed_at=now if email_confirmed else None,
        cpf=person.cpf,
        birth_date=person.birth_date,
        phone=person.phone,
        password_hash=password_hash,
        must_change_password=must_change_password,
        password_expires_at=now + timedelta(days=GENERATED_PASSWORD_DAYS) if must_change_password else None,
        role_id=role_id if role_id is not None else await roles.id_of(tx, CITIZEN),
        search_text=search_text_of(person.full_name, person.email),
        created_at=now,
        updated_at=now,
    )
    await roles.require(tx, user.role_id)
    tx.add(user)
    try:
        await tx.flush()
    except IntegrityError as error:
        raise conflict_from(error) from error
    await contacts.require_free(tx, user.id, person.email)
    await roles.grant_of_role(tx, user.id, user.role_id)
    await audit.record(tx, "user_added", actor=actor or user.id, subject=user.id, role_id=user.role_id)
    await outbox.emit(tx, "identity.person_registered", {"user_id": str(user.id)})
    return user.id


async def register_person(
    runtime: Runtime, address: str, person: NewPerson, password: str, then: Callable[[Tx, UUID], Awaitable[T]]
) -> T:
    """Add a person who registers themselves, and run `then` in the same transaction.

    The password is hashed before the transaction begins, since that takes a while. Conflicts of addresses and CPFs
    count against the network address: many of them mean that somebody is probing for people. Every registration whose
    password is hashed counts too; a school or an employer does not reach that limit.

    Raises:
        LimitReached: the network address had too many conflicts or registrations.
        Busy: there are too many registrations at this moment. WeakPassword, EmailTaken, CpfTaken.
    """
    limit = RateLimit.of(PER_ADDRESS, "register", network(address))
    await runtime.limiter.check(limit)
    require_rules(password, personal=(person.email, person.cpf))
    await _count_registration(runtime, address)
    async with runtime.registrations.turn():
        password_hash = await passwords.hash_password(password)
    try:
        async with runtime.database.transaction() as tx:
            user_id = await add_person(tx, person, password_hash=password_hash)
            return await then(tx, user_id)
    except (EmailTaken, CpfTaken):
        await runtime.limiter.count(limit)
        raise


async def _count_registration(runtime: Runtime, address: str) -> None:
    """Count a registration against its network.

    Raises:
        LimitReached: the network has reached its hourly limit.
    """
    most = runtime.config.registrations_per_hour
    if most is None or (runtime.config.development and is_loopback(address)):
        return
    limit = RateLimit.of(RateLimitItemPerHour(most, namespace="carteira:registrations"), network(address))
    if not await runtime.limiter.count(limit):
        await runtime.limiter.check(limit)
        raise LimitReached(1)  # the window ended between the two reads


async def live(tx: Tx, user_id: UUID) -> User:
    """Return a person, locked.

    Raises:
        UserNotFound: there is none, or they were erased.
    """
    user = await locked(tx, User, user_id)
    if user is None or user.erased_at is not None:
        raise UserNotFound
    return user


def require_self_or(who: Principal, user_id: UUID, claim: str) -> None:
    """Require that the data are the caller's own, or that they hold the claim.

    Raises:
        Forbidden: it is another person's and the claim is missing.
    """
    if who.id != user_id:
        who.require(claim)


async def change_person(  # noqa: PLR0913, PLR0917 - the change, its actor and the version that they saw
    runtime: Runtime,
    address: str,
    who: Principal,
    user_id: UUID,
    changes: Mapping[str, Any],
    seen: Precondition = UNCONDITIONAL,
) -> PersonView:
    """Change some of a person's full name, e-mail, CPF, birth date and phone, and return the person.

    A change of e-mail or phone, and an operator's change of a CPF, needs a recent sign-in; `contacts.change` has its
    effects. Only others change a CPF once it is set; a changed one is not proven, whatever the former was. Conflicts of
    e-mail addresses and CPFs count against the person and the network address, as at registration.

    Raises:
        UserNotFound, EmailTaken, CpfTaken, CpfIsFixed, RecentSignInRequired, Forbidden.
        RecordChanged: the registration is no longer what was seen.
        LimitReached: there were too many conflicts.
        ClaimsBeyondYours: the person holds claims that the caller lacks.
        MustWait: in production, a change of another person's contact point needs a second operator.
    """
    limits = [
        RateLimit.of(PER_ACCOUNT, "taken", who.id),
        RateLimit.of(PER_ADDRESS, "register", network(address)),
    ]
    await runtime.limiter.check(*limits)
    try:
        async with runtime.database.transaction() as tx:
            return await _change_person(tx, runtime, who, user_id, changes, seen)
    except (EmailTaken, CpfTaken):
        await runtime.limiter.count(*limits)
        raise


async def _change_person(  # noqa: PLR0913, PLR0917 - the change, its actor and the version that they saw
    tx: Tx, runtime: Runtime, who: Principal, user_id: UUID, changes: Mapping[str, Any], seen: Precondition
) -> PersonView:
    require_self_or(who, user_id, "users:write")
    user = await live(tx, user_id)
    seen.hold(version_of_person(user))
    await require_not_above(tx, who, user_id)
    cpf = changes.get("cpf", user.cpf)
    if cpf != user.cpf and user.cpf is not None and not who.may("users:write"):
        raise CpfIsFixed
    moved = _changed_contacts(user, changes)
    if who.id != user_id and (moved or cpf != user.cpf):
        who.require_step_up()
    if moved:
        if who.id == user_id:
            who.require_recent_sign_in()
        elif not runtime.config.development:
            summary = f"Trocar o contato da pessoa {user_id}"
            raise MustWait(0, summary, Gains.of(user_id, user.cpf), None)
    await write_changes(tx, runtime.changing, user, changes, actor=who.id)
    return await person(tx, user_id)


def _changed_contacts(user: User, changes: Mapping[str, Any]) -> list[Kind]:
    return [kind for kind in KINDS if kind in changes and contacts.differs(getattr(user, kind), changes[kind])]


async def write_changes(  # noqa: PLR0913 - the change and its actor
    tx: Tx,
    changing: Changing,
    user: User,
    changes: Mapping[str, Any],
    *,
    actor: UUID | None,
    approved_by: UUID | None = None,
) -> None:
    """Write the changes of a locked person; the caller has checked that they are allowed.

    Raises:
        EmailTaken, CpfTaken: another person has it.
    """
    moved = _changed_contacts(user, changes)
    changed = sorted(name for name, value in changes.items() if getattr(user, name) != value)
    for name in set(changed) - set(moved):
        setattr(user, name, changes[name])
    if "cpf" in changed:
        await _reset_cpf_proof(tx, changing.cpf_followers, user)
    try:
        for kind in moved:
            await contacts.change(tx, changing, user, kind, changes[kind])
        user.search_text = search_text_of(user.full_name, user.email)
        user.updated_at = clock.now()
        await tx.flush()
    except IntegrityError as error:
        raise conflict_from(error) from error
    if "email" in moved:
        await contacts.require_free(tx, user.id, changes["email"])
    second: dict[str, Any] = {} if approved_by is None else {"approved_by": str(approved_by)}
    await audit.record(tx, "user_changed", actor=actor, subject=user.id, fields=changed, **second)


async def _reset_cpf_proof(tx: Tx, followers: Sequence[CpfFollower], user: User) -> None:
    """Remove the proof of a person's former CPF, and pass the new one to the modules that store it."""
    user.cpf_moved_at = None
    try:
        await proofs.unprove(tx, user)
    except IntegrityError as error:
        raise conflict_from(error) from error
    await proofs.follow(tx, followers, user.id, user.cpf)


async def change_password(runtime: Runtime, who: Principal, current: str, new: str) -> None:
    """Change one's own password and end one's other sessions.

    Guesses share the limit of step-ups, so that a stolen session gets no further tries here.

    Raises:
        WrongCurrentPassword: the current one is wrong.
        WeakPassword: the new one breaks rules, or is the current one.
        LimitReached: the current one was wrong too often.
    """
    limits = presence_limits(who.user_id)
    async with runtime.database.transaction() as tx:
        user = await live(tx, who.user_id)
        known, personal = user.password_hash, (user.email, user.cpf)
    async with runtime.guesses.turn():
        await runtime.limiter.check(*limits)
        fits, _ = await passwords.verify_password(current, known)
        if not fits:
            await runtime.limiter.count(*limits)
            raise WrongCurrentPassword
    if new == current:
        raise WeakPassword(["A nova senha deve ser diferente da atual."], field="new_password")
    fresh = await prepare_password(new, field="new_password", personal=personal)
    async with runtime.database.transaction() as tx:
        user = await live(tx, who.user_id)
        if user.password_hash != known:
            raise WrongCurrentPassword
        await set_password(tx, runtime, user, fresh, keep_session=who.session_id)


async def set_password(
    tx: Tx, runtime: Runtime, user: User, password_hash: str, *, keep_session: UUID | None = None
) -> None:
    """Store a new hash, end the other sessions, and notify the person."""
    user.password_hash, user.must_change_password, user.password_expires_at = password_hash, False, None
    user.updated_at = clock.now()
    await tx.flush()
    await sessions.revoke_all(tx, runtime.access, user.id, but=keep_session)
    await tx.execute(delete(MfaChallenge).where(MfaChallenge.user_id == user.id))
    await audit.record(tx, "password_changed", actor=user.id, subject=user.id)
    await jobs.defer(tx, "identity:tell_password_changed", user_id=str(user.id))


async def record_consent(tx: Tx, user_id: UUID, purpose: str, *, granted: bool) -> None:
    """Record that a person consents to a purpose, or no longer does (LGPD art. 8)."""
    tx.add(Consent(id=uuid7(), user_id=user_id, purpose=purpose, granted=granted, created_at=clock.now()))
    await tx.flush()
    await audit.record(tx, "consent_given", actor=user_id, subject=user_id, purpose=purpose, granted=granted)


async def erase_user(tx: Tx, runtime: Runtime, who: Principal, user_id: UUID) -> None:
    """Erase a person in every module; their id stays as a pseudonym in the ledger and the audit (LGPD art. 18, VI).

    Raises:
        UserNotFound: there is none, or they were erased before.
        Forbidden: it is another person and `users:write` is missing, or they hold more than the caller.
        LastAdministrator: no administrator would be left.
        Conflict: a module still holds money of theirs.
        RecentSignInRequired: the sign-in is too long ago.
        ErasureJournalDown: the journal could not be written. It may also be raised after the commit; the person is then
            erased.
    """
    require_self_or(who, user_id, "users:write")
    user = await live(tx, user_id)
    await require_not_above(tx, who, user_id)
    who.require_step_up()
    await keep_an_administrator(tx, runtime.access, user_id)
    await _erase(tx, runtime, user, actor=who.actor)


async def erase_demo_person(tx: Tx, runtime: Runtime, user_id: UUID, *, actor: Actor) -> None:
    """Erase a demo person in every module, even the last administrator.

    Raises:
        UserNotFound: there is none, or they were erased before.
        Conflict: a module still holds money of theirs.
    """
    await _erase(tx, runtime, await live(tx, user_id), actor=actor)


async def _erase(tx: Tx, runtime: Runtime, user: User, *, actor: Actor) -> None:
    user_id = user.id
    for refuse in runtime.refusals:
        await refuse(tx, user_id)
    entry = None
    if runtime.journal is not None:
        traces = {name: await traces_of(tx, user_id) for name, traces_of in runtime.tracers.items()}
        entry = await runtime.journal.intend(user_id, traces)
    await _empty(tx, runtime, user, actor=actor)
    if runtime.journal is not None and entry is not None:
        after_commit(tx, partial(runtime.journal.confirm, entry))


async def erase_again(tx: Tx, runtime: Runtime, user_id: UUID, traces: Mapping[str, Any], *, actor: Actor) -> bool:
    """Repeat a journal entry's erasure in a restored database, whatever balance the person has there.

    Returns whether there was a person to erase; rows under the modules' traces are erased in either case.
    """
    user = await locked(tx, User, user_id)
    if user is not None and user.erased_at is not None:
        user = None
    if user is not None:
        await _empty(tx, runtime, user, actor=actor)
    for name, kept in traces.items():
        if name in runtime.trace_erasers:
            await runtime.trace_erasers[name](tx, kept)
    return user is not None


async def confirm_erasures(database: Database, journal: ErasureJournal) -> int:
    """Confirm committed erasures in the journal that are not confirmed yet, and return how many.

    Uncommitted ones are left: in a restored database nobody knows whether an erasure was committed.

    Raises:
        ErasureJournalDown: it does not answer.
    """
    waiting = [entry for entry in await journal.entries() if not entry.confirmed]
    async with database.transaction() as tx:
        erased = set(
            await tx.scalars(
                select(User.id).where(User.id.in_({entry.user_id for entry in waiting}), User.erased_at.is_not(None))
            )
        )
    committed = [entry for entry in waiting if entry.user_id in erased]
    for entry in committed:
        await journal.confirm(entry)
    return len(committed)


async def _empty(tx: Tx, runtime: Runtime, user: User, *, actor: Actor) -> None:
    user_id = user.id
    for erase in runtime.erasers.values():
        await erase(tx, user_id)
    citizen = await roles.id_of(tx, CITIZEN)
    user.full_name = user.email = user.email_confirmed_at = user.cpf = user.birth_date = None
    user.cpf_proven_at = user.cpf_proven_by = user.cpf_moved_at = None
    user.phone = user.password_hash = None
    user.search_text, user.must_change_password, user.suspended_at = "", False, None
    user.role_id = citizen
    user.erased_at = user.updated_at = clock.now()
    await tx.flush()
    await sessions.revoke_all(tx, runtime.access, user_id)
    await tx.execute(update(Session).where(Session.user_id == user_id).values(device="", network=""))
    for table in _ERASED:
        await tx.execute(delete(table).where(table.user_id == user_id))
    await idempotency.forget_caller(tx, user_id)
    await approvals.erase_person(tx, user_id)
    await audit.record(tx, "user_erased", actor=actor, subject=user_id)
    await outbox.emit(tx, "identity.person_erased", {"user_id": str(user_id)})


async def everything_about(tx: Tx, runtime: Runtime, user_id: UUID) -> dict[str, Any]:
    """Gather what every module holds about a person (LGPD art. 18, II and V)."""
    if await tx.scalar(select(User.id).where(User.id == user_id, User.erased_at.is_(None))) is None:
        raise UserNotFound
    await audit.record(tx, "data_downloaded", actor=user_id, subject=user_id)
    held = {name: await export(tx, user_id) for name, export in runtime.exporters.items()}
    return held | {"pending_operations": await approvals.export_person(tx, runtime.sealer, user_id)}


def may_see_cpf(who: Principal, user_id: UUID) -> bool:
    """Return whether a caller may see a person's whole CPF."""
    return who.id == user_id or who.may("users:cpf")
