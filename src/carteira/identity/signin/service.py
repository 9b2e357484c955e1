"""Sign-in by password, and the second factor behind it.

Only failures count: ten per account and three hundred per address in a quarter of an hour. An attacker uses up only the
limit of unknown devices: a known device has its own, whatever its address has used up. Where a second factor is on, it
is asked for whether or not the password is right, so that an attacker learns nothing from the challenge.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import cast
from uuid import UUID

from sqlalchemy import and_, exists, select

from carteira.identity.errors import WrongCode, WrongCredentials
from carteira.identity.messages import stranger
from carteira.identity.models import KnownDevice, MfaChallenge, Totp, User
from carteira.identity.runtime import Runtime
from carteira.identity.sessions import service as sessions
from carteira.identity.sessions.service import Client, Method, Tokens
from carteira.identity.signin import totp
from carteira.identity.users.login import by_login, normal_name, refuse_look_alikes
from carteira.identity.users.passwords import verify_password
from carteira.kit.db.batches import delete_batch
from carteira.kit.db.errors import CommitThenRaise
from carteira.kit.db.session import Tx, locked, locked_one
from carteira.kit.security import audit
from carteira.kit.security.opaque_tokens import digest, new_token
from carteira.kit.security.rate_limits import PER_ACCOUNT, PER_ADDRESS, PER_JUNK, RateLimit, network
from carteira.kit.values.clock import clock
from carteira.kit.web.problems import TooManyRequests

CHALLENGE_SECONDS = 300
_CHALLENGE_TRIES = 5


@dataclass(frozen=True, slots=True)
class Challenge:
    """A sign-in that waits for its second factor."""

    mfa_token: str


@dataclass(frozen=True, slots=True)
class _Candidate:
    user_id: UUID
    password_hash: str | None
    has_totp: bool
    knows_device: bool


async def sign_in(runtime: Runtime, username: str, password: str, client: Client) -> Tokens | Challenge:
    """Sign a person in by CPF or e-mail and password, or ask for the second factor.

    Raises:
        InvalidInput: a character of the name only looks like an allowed one, so that no account has it.
        WrongCredentials: the password is wrong or the name is unknown; both take equally long.
        LimitReached, TooManyRequests: there were too many failures, and neither a known device nor a second factor
            exempts the person.
    """
    refuse_look_alikes(username)
    async with runtime.database.transaction() as tx:
        candidate = await _find(tx, username, client)
    address = RateLimit.of(PER_ADDRESS, network(client.address))
    reported, person = _account_limits(runtime, candidate, username, client)
    has_totp = candidate is not None and candidate.has_totp
    async with runtime.guesses.turn():
        if not (candidate and candidate.knows_device):  # a known device has a limit of its own
            await runtime.limiter.check(address)
        used_up = await runtime.limiter.is_reached(reported)
        if used_up and not has_totp:
            await runtime.limiter.check(reported)
            raise TooManyRequests(1)  # the window ended between the two reads
        blind = used_up or await runtime.limiter.is_reached(person)
        fits, better_hash = await verify_password(password, candidate.password_hash if candidate else None)
        fits = fits and (has_totp or not blind)
        if not fits:
            await runtime.limiter.count(address, *dict.fromkeys((reported, person)))
    async with runtime.database.transaction() as tx:
        if fits:
            assert candidate is not None, "nobody's password never fits"
            return await _start_or_challenge(tx, runtime, candidate, client, better_hash)
        await audit.record(tx, "sign_in_failed", actor=None, subject=candidate.user_id if candidate else None)
        if blind and candidate and has_totp:
            return await _challenge(tx, candidate.user_id, genuine=False)
        raise CommitThenRaise(WrongCredentials())


async def _find(tx: Tx, username: str, client: Client) -> _Candidate | None:
    device = digest(client.device_token or "")
    row = (
        await tx.execute(
            select(
                User.id,
                User.password_hash,
                exists().where(Totp.user_id == User.id, Totp.confirmed_at.is_not(None)),
                exists().where(and_(KnownDevice.user_id == User.id, KnownDevice.token_hash == device)),
            ).where(by_login(username), User.erased_at.is_(None))
        )
    ).one_or_none()
    return None if row is None else _Candidate(*row)


def _account_limits(
    runtime: Runtime, candidate: _Candidate | None, username: str, client: Client
) -> tuple[RateLimit, RateLimit]:
    """Return the limit that is reported to a client, and the one for a person across all their names.

    Reporting the second would disclose that an e-mail address and a CPF are one person's. Beyond it every password is
    wrong.
    """
    if candidate is not None and candidate.knows_device:
        device = RateLimit.of(PER_ACCOUNT, candidate.user_id, client.device_token)
        return device, device
    who = stranger(runtime, username) if candidate is None else candidate.user_id
    return RateLimit.of(PER_ACCOUNT, "name", normal_name(username)), RateLimit.of(PER_ACCOUNT, who)


async def _start_or_challenge(
    tx: Tx, runtime: Runtime, candidate: _Candidate, client: Client, better_hash: str | None
) -> Tokens | Challenge:
    """Start the session, or ask for the second factor.

    Raises:
        WrongCredentials: the password expired or was changed meanwhile.
    """
    user = await locked_one(tx, User, candidate.user_id)
    if user.erased_at is not None or user.password_hash != candidate.password_hash:
        raise WrongCredentials
    if user.password_expires_at is not None and user.password_expires_at <= clock.now():
        raise WrongCredentials
    if better_hash is not None:
        user.password_hash = better_hash
    if candidate.has_totp:
        return await _challenge(tx, user.id, genuine=True)
    return await sessions.start_session(tx, runtime, user.id, client, methods=("password",))


async def sign_in_by_factor(
    tx: Tx, runtime: Runtime, user_id: UUID, client: Client, *, method: Method
) -> Tokens | Challenge:
    """Sign a person in by a first factor other than the password, or ask for the second if the authenticator is on.

    Raises:
        UserNotFound: there is no such person.
    """
    totp_on = exists().where(Totp.user_id == user_id, Totp.confirmed_at.is_not(None))
    if await tx.scalar(select(totp_on)):
        return await _challenge(tx, user_id, genuine=True, method=method)
    return await sessions.start_session(tx, runtime, user_id, client, methods=(method,))


async def _challenge(tx: Tx, user_id: UUID, *, genuine: bool, method: Method = "password") -> Challenge:
    token = new_token()
    tx.add(
        MfaChallenge(
            token_hash=digest(token),
            user_id=user_id,
            genuine=genuine,
            method=method,
            tries=0,
            expires_at=clock.now() + timedelta(seconds=CHALLENGE_SECONDS),
        )
    )
    await tx.flush()
    return Challenge(token)


async def forget_old(tx: Tx) -> int:
    """Delete some challenges that nobody answered in time, and return how many. A job calls it."""
    return await delete_batch(tx, MfaChallenge, MfaChallenge.expires_at < clock.now() - timedelta(days=1))


async def finish_sign_in(runtime: Runtime, mfa_token: str, code: str, client: Client) -> Tokens:
    """Finish a sign-in with a code of the authenticator or a recovery code. A challenge allows five tries.

    Raises:
        WrongCode: the code or the token is wrong, used, or too late.
        LimitReached: there were too many wrong codes lately.
    """
    limit = await _code_limit(runtime, mfa_token, client)
    await runtime.limiter.check(limit)
    try:
        async with runtime.database.transaction() as tx:
            return await _finish(tx, runtime, mfa_token, code, client)
    except WrongCode:
        await runtime.limiter.count(limit)
        raise


async def _code_limit(runtime: Runtime, mfa_token: str, client: Client) -> RateLimit:
    """Return the limit that a wrong code counts against; no other way of signing in uses it.

    A genuine challenge needs the password, so a stranger cannot use its limit up; a false one has a limit of the same
    size, so that both look alike. An unknown token counts for its address.
    """
    async with runtime.database.transaction() as tx:
        found = await tx.execute(
            select(MfaChallenge.user_id, MfaChallenge.genuine).where(
                MfaChallenge.token_hash == digest(mfa_token), MfaChallenge.used_at.is_(None)
            )
        )
        challenge = found.one_or_none()
    if challenge is None:
        return RateLimit.of(PER_JUNK, network(client.address))
    return RateLimit.of(PER_ACCOUNT, "code" if challenge.genuine else "no code", challenge.user_id)


async def _finish(tx: Tx, runtime: Runtime, mfa_token: str, code: str, client: Client) -> Tokens:
    challenge = await locked(tx, MfaChallenge, digest(mfa_token))
    if challenge is None or challenge.used_at is not None:
        raise WrongCode
    if challenge.expires_at <= clock.now() or challenge.tries >= _CHALLENGE_TRIES:
        raise WrongCode
    challenge.tries += 1
    factor = await totp.use_code(tx, runtime.sealer, challenge.user_id, code) if challenge.genuine else None
    if factor is None:
        await audit.record(tx, "second_factor_failed", actor=None, subject=challenge.user_id)
        raise CommitThenRaise(WrongCode())
    challenge.used_at = clock.now()
    methods = (cast("Method", challenge.method), factor)
    return await sessions.start_session(tx, runtime, challenge.user_id, client, methods=methods)
