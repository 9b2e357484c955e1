"""Sign-in at a provider: the redirect and the callback, finishing the sign-up, and linking to an existing person.

A linked account signs in. An unlinked one gets a registration token, with which it either signs up or is linked: by the
person's own sign-in, or by a code to their confirmed e-mail address. An address in a provider's profile never links
accounts (rules.md, identity).

A redirected browser gets a secret in a cookie. The state's row stores that secret's hash, and the PKCE verifier and the
nonce are derived from the secret: a stolen state, or database, does not let anyone return in the browser's place.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import cast
from uuid import UUID

import orjson
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError

from carteira.identity import messages
from carteira.identity.contacts import service as contacts
from carteira.identity.emails import WAYS
from carteira.identity.errors import (
    CpfDiffers,
    CpfDisputed,
    CpfTaken,
    EmailTaken,
    MissingFields,
    ProviderDown,
    RegistrationOver,
    SignInUnavailable,
    SocialAccountNotFound,
    SocialAccountTaken,
    SocialAttemptOver,
    SocialRefused,
    UserNotFound,
    WrongCode,
)
from carteira.identity.fields import FullName
from carteira.identity.models import SocialAccount, SocialAttempt, SocialRegistration, User
from carteira.identity.proof.service import GOVBR, CpfHeld, CpfProof, held, prove, proven_cpf
from carteira.identity.runtime import Runtime
from carteira.identity.sessions import service as sessions
from carteira.identity.sessions.service import Client, Tokens
from carteira.identity.signin import service
from carteira.identity.signin.service import Challenge
from carteira.identity.social.providers import AuthorizationRequest, Profile, Provider, ProviderName, derive
from carteira.identity.users import login
from carteira.identity.users.service import NewPerson, add_person
from carteira.kit.db import jobs
from carteira.kit.db.batches import delete_batch
from carteira.kit.db.errors import CommitThenRaise
from carteira.kit.db.session import Tx, locked
from carteira.kit.outbound.http import ServiceDown
from carteira.kit.security import audit, codes
from carteira.kit.security.codes import CodeMessage, KeptCode
from carteira.kit.security.opaque_tokens import digest, new_token
from carteira.kit.security.rate_limits import PER_ADDRESS, WRONG_CODES, RateLimit, network
from carteira.kit.values.clock import clock
from carteira.kit.values.email import Email
from carteira.kit.values.ids import uuid7
from carteira.kit.web.access import Principal
from carteira.kit.web.problems import TooManyRequests

ATTEMPT_SECONDS = 600
REGISTRATION_SECONDS = 1800

_name: TypeAdapter[str] = TypeAdapter(FullName)
_email: TypeAdapter[str] = TypeAdapter(Email)


@dataclass(frozen=True, slots=True)
class Redirection:
    """The redirect's target, and the browser's secret."""

    url: str
    browser: str


@dataclass(frozen=True, slots=True)
class CallbackResult:
    """The parameters of the callback."""

    state: str
    browser: str
    code: str | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Registration:
    """An unlinked account, with its provider's profile."""

    token: str
    full_name: str | None
    email: str | None
    cpf: str | None = None
    """The CPF that the provider proves."""
    cpf_held: CpfHeld | None = None
    """The account that has that CPF, and whether it is proven there; None: there is none."""


@dataclass(frozen=True, slots=True)
class SignUp:
    """A person's additions to the provider's profile."""

    cpf: str | None
    birth_date: date
    phone: str
    full_name: str | None
    email: str | None


@dataclass(frozen=True, slots=True)
class SocialAccountView:
    """A linked account as its person sees it."""

    id: UUID
    provider: str
    created_at: datetime
    used_at: datetime | None


def _provider(runtime: Runtime, name: ProviderName) -> Provider:
    provider = runtime.providers.get(name)
    if provider is None:
        raise SignInUnavailable
    return provider


def _authorization_request(base: str, name: ProviderName, state: str, browser: str) -> AuthorizationRequest:
    return AuthorizationRequest(
        redirect_uri=f"{base}/auth/{name}/callback",
        state=state,
        nonce=derive(browser, "nonce", state),
        verifier=derive(browser, "verifier", state),
    )


async def begin(runtime: Runtime, base: str, name: ProviderName, client: Client) -> Redirection:
    """Redirect a browser to a provider; it must return within `ATTEMPT_SECONDS`.

    Raises:
        SignInUnavailable: the provider is not configured here.
        ProviderDown: it does not answer.
        LimitReached, TooManyRequests: that address made too many requests.
    """
    provider = _provider(runtime, name)
    address = RateLimit.of(PER_ADDRESS, "social", network(client.address))
    await runtime.limiter.check(address)
    if not await runtime.limiter.count(address):
        raise TooManyRequests(60)
    state, browser = new_token(), new_token()
    try:
        url = await provider.authorization_url(_authorization_request(base, name, state, browser))
    except ServiceDown as error:
        raise ProviderDown from error
    async with runtime.database.transaction() as tx:
        tx.add(
            SocialAttempt(
                state_hash=digest(state),
                browser_hash=digest(browser),
                provider=name,
                expires_at=clock.now() + timedelta(seconds=ATTEMPT_SECONDS),
            )
        )
    return Redirection(url, browser)


async def callback(
    runtime: Runtime, base: str, name: ProviderName, arrival: CallbackResult, client: Client
) -> Tokens | Challenge | Registration:
    """Handle a browser's return: sign in the linked person, ask for the second factor, or offer to sign up or link.

    Raises:
        SocialAttemptOver: the state is unknown, used, too old, another provider's or another browser's.
        SocialRefused: the provider or the person there refused, or the answer proves nothing.
        ProviderDown: it does not answer; the person starts again. SignInUnavailable, LimitReached.
    """
    provider = _provider(runtime, name)
    address = RateLimit.of(PER_ADDRESS, network(client.address))
    await runtime.limiter.check(address)
    async with runtime.database.transaction() as tx:
        live = await _use_attempt(tx, name, arrival)
    if not live:
        await runtime.limiter.count(address)
        raise SocialAttemptOver
    authorization = _authorization_request(base, name, arrival.state, arrival.browser)
    try:
        profile = await _profile(provider, authorization, arrival)
    except SocialRefused:
        await runtime.limiter.count(address)
        async with runtime.database.transaction() as tx:
            await audit.record(tx, "sign_in_failed", actor=None, method=name)
        raise
    async with runtime.database.transaction() as tx:
        return await _sign_in_or_offer(tx, runtime, name, profile, client)


async def _profile(provider: Provider, authorization: AuthorizationRequest, arrival: CallbackResult) -> Profile:
    if arrival.code is None or arrival.error is not None:
        raise SocialRefused
    try:
        return await provider.profile(authorization, arrival.code)
    except ServiceDown as error:
        raise ProviderDown from error


async def _use_attempt(tx: Tx, name: ProviderName, arrival: CallbackResult) -> bool:
    """Use an attempt up, if it is this browser's at this provider and in time."""
    taken = await tx.scalar(
        delete(SocialAttempt)
        .where(
            SocialAttempt.state_hash == digest(arrival.state),
            SocialAttempt.browser_hash == digest(arrival.browser),
            SocialAttempt.provider == name,
            SocialAttempt.expires_at > clock.now(),
        )
        .returning(SocialAttempt.state_hash)
    )
    return taken is not None


async def _sign_in_or_offer(
    tx: Tx, runtime: Runtime, name: ProviderName, profile: Profile, client: Client
) -> Tokens | Challenge | Registration:
    account = await tx.scalar(
        select(SocialAccount)
        .where(SocialAccount.provider == name, SocialAccount.subject == profile.subject)
        .with_for_update()
    )
    if account is not None:
        if name == GOVBR:
            await prove(tx, runtime.cpf_followers, account.user_id, CpfProof(profile.subject, GOVBR))
        account.used_at = clock.now()
        return await service.sign_in_by_factor(tx, runtime, account.user_id, client, method=name)
    token, registration_id = new_token(), uuid7()
    said = Profile(
        profile.subject, _valid(_name, profile.full_name), _valid(_email, profile.email), profile.email_confirmed
    )
    tx.add(
        SocialRegistration(
            id=registration_id,
            token_hash=digest(token),
            provider=name,
            profile=runtime.sealer.seal(registration_id, orjson.dumps(said)),
            expires_at=clock.now() + timedelta(seconds=REGISTRATION_SECONDS),
        )
    )
    if name != GOVBR:
        return Registration(token, said.full_name, said.email)
    return Registration(token, said.full_name, said.email, profile.subject, await held(tx, profile.subject))


def _valid(rule: TypeAdapter[str], text: str | None) -> str | None:
    """Return the provider's values that satisfy our rules."""
    try:
        return None if text is None else rule.validate_python(text)
    except ValidationError:
        return None


async def _live(tx: Tx, runtime: Runtime, token: str) -> tuple[SocialRegistration, Profile]:
    row = await tx.scalar(
        select(SocialRegistration)
        .where(
            SocialRegistration.token_hash == digest(token),
            SocialRegistration.used_at.is_(None),
            SocialRegistration.expires_at > clock.now(),
        )
        .with_for_update()
    )
    if row is None:
        raise RegistrationOver
    return row, Profile(**orjson.loads(runtime.sealer.open(row.id, row.profile)))


async def register(runtime: Runtime, token: str, sign_up: SignUp, client: Client) -> Tokens:
    """Finish sign-up: add the person, without a password, link the account and sign in.

    Raises:
        RegistrationOver: the token is unknown, used or too old.
        MissingFields: neither the provider nor the person gave a name, an e-mail or a CPF.
        CpfDiffers: the person gave another CPF than the provider proves.
        EmailTaken, CpfTaken: a person has it already; the token stays valid, to link the account to them.
        SocialAccountTaken: the account was linked meanwhile.
        LimitReached: too many failures from that address.
    """
    address = RateLimit.of(PER_ADDRESS, "register", network(client.address))
    await runtime.limiter.check(address)
    try:
        async with runtime.database.transaction() as tx:
            row, profile = await _live(tx, runtime, token)
            person = _new_person(row, profile, sign_up)
            confirmed = profile.email_confirmed and person.email == profile.email
            user_id = await add_person(tx, person, password_hash=None, email_confirmed=confirmed)
            method = await _link(tx, runtime, row, profile, user_id)
            return await sessions.start_session(tx, runtime, user_id, client, methods=(method,))
    except (RegistrationOver, EmailTaken, CpfTaken):
        await runtime.limiter.count(address)
        raise


def _new_person(row: SocialRegistration, profile: Profile, sign_up: SignUp) -> NewPerson:
    """Combine the provider's and the person's data. A CPF that the provider proves is set by the proof."""
    proves = row.provider == GOVBR
    if proves and sign_up.cpf not in {None, profile.subject}:
        raise CpfDiffers("Este não é o CPF da sua conta gov.br.")
    full_name, email = sign_up.full_name or profile.full_name, sign_up.email or profile.email
    cpf = profile.subject if proves else sign_up.cpf
    if full_name is None or email is None or cpf is None:
        given = {"full_name": full_name, "email": email, "cpf": cpf}
        raise MissingFields([name for name, value in given.items() if value is None])
    return NewPerson(full_name, email, None if proves else cpf, sign_up.birth_date, sign_up.phone)


async def _link(tx: Tx, runtime: Runtime, row: SocialRegistration, profile: Profile, user_id: UUID) -> ProviderName:
    """Record what the account proves, link it and use its registration up.

    Raises:
        SocialAccountTaken: the account was linked meanwhile.
        CpfDiffers: another CPF is proven to be the person's.
        UserNotFound: they were erased.
    """
    now = clock.now()
    name = cast("ProviderName", row.provider)
    if name == GOVBR:  # first, to lock people in one order
        await prove(tx, runtime.cpf_followers, user_id, CpfProof(profile.subject, GOVBR))
    else:
        user = await locked(tx, User, user_id)
        if user is None or user.erased_at is not None:
            raise UserNotFound
    account = SocialAccount(id=uuid7(), user_id=user_id, provider=name, subject=profile.subject, created_at=now)
    tx.add(account)
    row.used_at, row.profile, row.user_id = now, b"", None
    try:
        await tx.flush()
    except IntegrityError as error:
        raise SocialAccountTaken from error
    await audit.record(
        tx, "social_account_linked", actor=user_id, subject=user_id, provider=name, account=str(account.id)
    )
    return name


async def _link_to_person(tx: Tx, runtime: Runtime, token: str, user_id: UUID) -> ProviderName:
    row, profile = await _live(tx, runtime, token)
    name = await _link(tx, runtime, row, profile, user_id)
    await jobs.defer(tx, "identity:tell_way_added", user_id=str(user_id), way=name)
    return name


async def link(tx: Tx, runtime: Runtime, who: Principal, token: str) -> None:
    """Link an account to the signed-in person, and notify them by e-mail. Needs a recent sign-in.

    Raises:
        RecentSignInRequired, RegistrationOver, SocialAccountTaken, CpfDiffers.
        CpfDisputed: the account is linked, and another person has proven its CPF; the case is recorded.
    """
    who.require_recent_sign_in()
    name = await _link_to_person(tx, runtime, token, who.user_id)
    if name == GOVBR and await proven_cpf(tx, who.user_id) is None:
        raise CommitThenRaise(CpfDisputed())


async def ask_code(runtime: Runtime, token: str, name: str, client: Client) -> None:
    """Request a code to a person's confirmed e-mail address. The response is the same whether or not they exist.

    Raises:
        RegistrationOver: the token is unknown, used or too old.
        LimitReached, TooManyRequests: too many were asked for by that name or from that address.
    """
    async with runtime.database.transaction() as tx:
        await _live(tx, runtime, token)
        user_id = await tx.scalar(select(User.id).where(login.by_login(name), User.erased_at.is_(None)))
    gets_one = await messages.may_be_sent(runtime, "link", name, user_id, client)
    async with runtime.database.transaction() as tx:
        row, _ = await _live(tx, runtime, token)
        row.user_id, row.tries = user_id if gets_one else None, 0
        row.code_hash, row.code_expires_at = None, clock.now() + codes.TTL
        await tx.flush()
        await audit.record(tx, "link_code_asked", actor=None, subject=user_id, provider=row.provider)
        await jobs.defer(tx, "identity:send_link_code", registration_id=str(row.id))


async def make_code(tx: Tx, registration_id: UUID) -> CodeMessage | None:
    """Make a registration's code, again if sending failed; None if it may be sent to nobody. A job calls it.

    A request for an unknown person gets a code too, which is not sent.
    """
    row = await locked(tx, SocialRegistration, registration_id)
    if row is None or row.used_at is not None or row.expires_at <= clock.now():
        return None
    fresh = await codes.draw(tx, row.id, person=row.user_id or row.id)
    row.code_hash, row.code_expires_at = fresh.code_hash, fresh.expires_at
    await tx.flush()
    user = None if row.user_id is None else await tx.get_one(User, row.user_id)
    to = None if user is None or user.erased_at is not None else await contacts.recovering_point(tx, user, "email")
    if user is None or to is None or to.confirmed_at is None:
        return None
    return CodeMessage(to.value, fresh.code, {"name": (user.full_name or "").split()[0], "way": WAYS[row.provider]})


async def verify_code(runtime: Runtime, token: str, code: str, client: Client) -> Tokens | Challenge:
    """Link the account to the person that the code was sent to, notify them, and sign in. A code allows five tries.

    Raises:
        WrongCode: the code or the token is wrong, used, too late or tried too often.
        SocialAccountTaken: the account was linked meanwhile.
        LimitReached: too many wrong codes from that address.
    """
    limit = RateLimit.of(WRONG_CODES, network(client.address))
    if codes.is_typed(codes.read_code(code)):
        await runtime.limiter.check(limit)
    try:
        async with runtime.database.transaction() as tx:
            return await _verify_code(tx, runtime, token, code, client)
    except WrongCode:
        await runtime.limiter.count(limit)
        raise


async def _verify_code(tx: Tx, runtime: Runtime, token: str, code: str, client: Client) -> Tokens | Challenge:
    try:
        row, _ = await _live(tx, runtime, token)
    except RegistrationOver as error:
        raise WrongCode from error
    kept = KeptCode(row.id, row.code_hash, row.code_expires_at, row.tries)
    attempt = await codes.check_code(tx, kept, code, person=row.user_id or row.id, purpose="link")
    row.tries = attempt.tries
    await tx.flush()
    if not attempt.is_right or row.user_id is None:
        await audit.record(tx, "link_code_failed", actor=None, subject=row.user_id, provider=row.provider)
        raise CommitThenRaise(WrongCode())
    user_id = row.user_id
    method = await _link_to_person(tx, runtime, token, user_id)
    return await service.sign_in_by_factor(tx, runtime, user_id, client, method=method)


async def list_accounts(tx: Tx, user_id: UUID) -> list[SocialAccountView]:
    """Return a person's linked accounts, oldest first."""
    rows = await tx.scalars(select(SocialAccount).where(SocialAccount.user_id == user_id).order_by(SocialAccount.id))
    return [SocialAccountView(row.id, row.provider, row.created_at, row.used_at) for row in rows]


async def unlink(tx: Tx, who: Principal, account_id: UUID) -> None:
    """Unlink one of a person's accounts. Needs a recent sign-in; a password can always be set by recovery.

    Raises:
        SocialAccountNotFound: there is none, or it is another person's.
        RecentSignInRequired: the sign-in is too long ago.
    """
    who.require_recent_sign_in()
    row = await locked(tx, SocialAccount, account_id)
    if row is None or row.user_id != who.user_id:
        raise SocialAccountNotFound
    await tx.delete(row)
    await tx.flush()
    await audit.record(
        tx,
        "social_account_unlinked",
        actor=who.user_id,
        subject=who.user_id,
        provider=row.provider,
        account=str(account_id),
    )


async def forget_old(tx: Tx) -> int:
    """Delete some unfinished attempts and registrations that have expired; return how many. A job calls it."""
    now = clock.now()
    attempts = await delete_batch(tx, SocialAttempt, SocialAttempt.expires_at < now)
    return attempts + await delete_batch(tx, SocialRegistration, SocialRegistration.expires_at < now)
