"""Passkeys (W3C Web Authentication, level 2): add one, sign in with one, list one's own.

They are discoverable credentials, so that nobody types a login name, and the authenticator verifies the person (a
fingerprint, a face, a PIN): a passkey is two factors by itself. Challenges are stored as hashes, live five minutes and
are used up by the first answer, right or wrong.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
import webauthn
from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError
from webauthn.helpers import base64url_to_bytes, options_to_json_dict, parse_client_data_json
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from carteira.identity.errors import (
    InvalidPasskey,
    PasskeyNotFound,
    PasskeyRefused,
    PasskeyTaken,
    TooManyPasskeys,
    UserNotFound,
)
from carteira.identity.models import Passkey, PasskeyChallenge, User
from carteira.identity.runtime import Runtime
from carteira.identity.sessions import service as sessions
from carteira.identity.sessions.service import Client, Tokens
from carteira.kit.db import jobs
from carteira.kit.db.batches import delete_batch
from carteira.kit.db.errors import CommitThenRaise
from carteira.kit.db.session import Tx, locked
from carteira.kit.security import audit
from carteira.kit.security.opaque_tokens import digest
from carteira.kit.security.rate_limits import PER_ADDRESS, RateLimit, network
from carteira.kit.values.clock import clock
from carteira.kit.values.ids import uuid7
from carteira.kit.web.access import Principal
from carteira.kit.web.problems import TooManyRequests

TTL = timedelta(minutes=5)
MOST = 20
_TIMEOUT_MS = int(TTL.total_seconds()) * 1000
_CREDENTIAL_ID_BYTES = 1023  # WebAuthn, section 4: no longer one is valid

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Site:
    """The binding of passkeys: the relying party's id (a host) and its only origin."""

    rp_id: str
    origin: str


@dataclass(frozen=True, slots=True)
class PasskeyView:
    """A passkey as its owner sees it."""

    id: UUID
    name: str
    backed_up: bool
    created_at: datetime
    used_at: datetime | None


@dataclass(frozen=True, slots=True)
class Assertion:
    """The unverified content of an answer."""

    credential: dict[str, Any]
    challenge: bytes
    credential_id: bytes
    user_handle: bytes


async def registration_options(runtime: Runtime, site: Site, who: Principal) -> dict[str, Any]:
    """Return the browser's options to create a passkey. Needs a recent sign-in.

    Raises:
        RecentSignInRequired: the sign-in is too long ago.
        TooManyPasskeys: the person has `MOST` of them.
        LimitReached, TooManyRequests: the person asked too often.
    """
    who.require_recent_sign_in()
    await _limit_requests(runtime, who.user_id)
    async with runtime.database.transaction() as tx:
        return await _registration_options(tx, site, who)


async def _registration_options(tx: Tx, site: Site, who: Principal) -> dict[str, Any]:
    user = await tx.get(User, who.user_id)
    if user is None or user.email is None:
        raise UserNotFound
    known = (await tx.scalars(select(Passkey.credential_id).where(Passkey.user_id == user.id))).all()
    if len(known) >= MOST:
        raise TooManyPasskeys
    options = webauthn.generate_registration_options(
        rp_id=site.rp_id,
        rp_name="Carteira",
        user_id=user.id.bytes,
        user_name=user.email,
        user_display_name=user.full_name,
        timeout=_TIMEOUT_MS,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED,
            user_verification=UserVerificationRequirement.REQUIRED,
        ),
        exclude_credentials=[PublicKeyCredentialDescriptor(id=credential_id) for credential_id in known],
    )
    await _store_challenge(tx, options.challenge, user.id)
    return options_to_json_dict(options)


async def register(
    runtime: Runtime, site: Site, who: Principal, credential: Mapping[str, Any], name: str
) -> PasskeyView:
    """Add the passkey that the browser created, and notify the person by e-mail.

    Raises:
        InvalidPasskey: the answer is wrong, or its challenge is unknown, used, another person's or too old.
            PasskeyTaken, TooManyPasskeys, RecentSignInRequired.
    """
    who.require_recent_sign_in()
    challenge = _challenge_of(credential)
    async with runtime.database.transaction() as tx:
        live = challenge is not None and await _use_challenge(tx, challenge, who.user_id)
    if challenge is None or not live:
        raise InvalidPasskey
    try:
        verified = webauthn.verify_registration_response(
            credential=dict(credential),
            expected_challenge=challenge,
            expected_rp_id=site.rp_id,
            expected_origin=site.origin,
            require_user_verification=True,
        )
    except Exception as error:  # malformed input makes the library raise many errors; each is a refusal
        log.info("passkey not added", error=type(error).__name__)
        raise InvalidPasskey from error
    if not 0 < len(verified.credential_id) <= _CREDENTIAL_ID_BYTES:
        raise InvalidPasskey
    async with runtime.database.transaction() as tx:
        user = await tx.get(User, who.user_id, with_for_update=True)  # serialises, so that MOST holds
        if user is None or user.erased_at is not None:
            raise UserNotFound
        if (await tx.scalar(select(func.count()).where(Passkey.user_id == user.id)) or 0) >= MOST:
            raise TooManyPasskeys
        row = Passkey(
            id=uuid7(),
            user_id=user.id,
            credential_id=verified.credential_id,
            public_key=verified.credential_public_key,
            sign_count=verified.sign_count,
            backed_up=verified.credential_backed_up,
            name=name,
            created_at=clock.now(),
        )
        tx.add(row)
        try:
            await tx.flush()
        except IntegrityError as error:
            raise PasskeyTaken from error
        runtime.access.changed(tx, user.id)
        await audit.record(tx, "passkey_added", actor=user.id, subject=user.id, passkey=str(row.id))
        await jobs.defer(tx, "identity:tell_way_added", user_id=str(user.id), way="passkey")
    return _view(row)


async def login_options(runtime: Runtime, site: Site, client: Client) -> dict[str, Any]:
    """Return the browser's options to ask for a passkey; they name nobody and are the same for everyone.

    Raises:
        LimitReached, TooManyRequests: that address made too many requests.
    """
    await _limit_requests(runtime, network(client.address))
    options = webauthn.generate_authentication_options(
        rp_id=site.rp_id, timeout=_TIMEOUT_MS, user_verification=UserVerificationRequirement.REQUIRED
    )
    async with runtime.database.transaction() as tx:
        await _store_challenge(tx, options.challenge, None)
    return options_to_json_dict(options)


async def sign_in(runtime: Runtime, site: Site, credential: Mapping[str, Any], client: Client) -> Tokens:
    """Sign in the passkey's owner. No second factor is needed: a verifying passkey is both.

    Raises:
        PasskeyRefused: the answer is wrong, was used, or is too late, or the passkey is unknown.
        LimitReached: that address had too many failures.
    """
    address = RateLimit.of(PER_ADDRESS, network(client.address))
    await runtime.limiter.check(address)
    try:
        assertion = await challenged(runtime, credential)
        async with runtime.database.transaction() as tx:
            user_id = await verify(tx, site, assertion)
            return await sessions.start_session(tx, runtime, user_id, client, methods=("passkey",))
    except PasskeyRefused:
        await runtime.limiter.count(address)
        raise


async def challenged(runtime: Runtime, credential: Mapping[str, Any]) -> Assertion:
    """Parse an answer and use its challenge up, whatever the outcome.

    Raises:
        PasskeyRefused: it is unreadable, or its challenge is unknown, used or too old.
    """
    assertion = _assertion_of(credential)
    async with runtime.database.transaction() as tx:
        if not await _use_challenge(tx, assertion.challenge, None):
            raise PasskeyRefused
    return assertion


async def verify(tx: Tx, site: Site, assertion: Assertion, *, owner_id: UUID | None = None) -> UUID:
    """Verify an answer with the passkey that it names, and return the passkey's owner.

    Raises:
        PasskeyRefused: it is wrong, or the passkey is unknown or not `owner_id`'s; the failure is committed to the
        audit.
    """
    row = await tx.scalar(select(Passkey).where(Passkey.credential_id == assertion.credential_id).with_for_update())
    if row is None:
        await audit.record(tx, "sign_in_failed", actor=None, method="passkey")
        raise CommitThenRaise(PasskeyRefused())
    if assertion.user_handle != row.user_id.bytes or owner_id not in (None, row.user_id):
        await audit.record(tx, "sign_in_failed", actor=None, subject=row.user_id, method="passkey")
        raise CommitThenRaise(PasskeyRefused())
    try:
        verified = webauthn.verify_authentication_response(
            credential=assertion.credential,
            expected_challenge=assertion.challenge,
            expected_rp_id=site.rp_id,
            expected_origin=site.origin,
            credential_public_key=row.public_key,
            credential_current_sign_count=0,  # compared below, to distinguish a clone from a mistake
            require_user_verification=True,
        )
    except Exception as error:  # malformed input makes the library raise many errors; each is a refusal
        log.info("passkey refused", error=type(error).__name__)
        await audit.record(tx, "sign_in_failed", actor=None, subject=row.user_id, method="passkey")
        raise CommitThenRaise(PasskeyRefused()) from error
    if (row.sign_count or verified.new_sign_count) and verified.new_sign_count <= row.sign_count:
        await audit.record(tx, "passkey_count_went_back", actor=None, subject=row.user_id, passkey=str(row.id))
        raise CommitThenRaise(PasskeyRefused())
    row.sign_count, row.backed_up, row.used_at = verified.new_sign_count, verified.credential_backed_up, clock.now()
    await tx.flush()
    return row.user_id


async def list_passkeys(tx: Tx, user_id: UUID) -> list[PasskeyView]:
    """Return a person's passkeys, at most `MOST`, oldest first."""
    rows = await tx.scalars(select(Passkey).where(Passkey.user_id == user_id).order_by(Passkey.id))
    return [_view(row) for row in rows]


async def passkey(tx: Tx, user_id: UUID, passkey_id: UUID) -> PasskeyView:
    """Return one of a person's passkeys.

    Raises:
        PasskeyNotFound: there is none, or it is another person's.
    """
    return _view(await _own(tx, user_id, passkey_id))


async def rename(tx: Tx, user_id: UUID, passkey_id: UUID, name: str) -> PasskeyView:
    """Rename one of a person's passkeys.

    Raises:
        PasskeyNotFound: there is none, or it is another person's.
    """
    row = await _own(tx, user_id, passkey_id)
    row.name = name
    await tx.flush()
    await audit.record(tx, "passkey_renamed", actor=user_id, subject=user_id, passkey=str(passkey_id))
    return _view(row)


async def remove(tx: Tx, who: Principal, passkey_id: UUID) -> None:
    """Delete one of a person's passkeys. Needs a recent sign-in.

    Raises:
        PasskeyNotFound: there is none, or it is another person's.
        RecentSignInRequired: the sign-in is too long ago.
    """
    who.require_recent_sign_in()
    await tx.delete(await _own(tx, who.user_id, passkey_id))
    await tx.flush()
    await audit.record(tx, "passkey_removed", actor=who.user_id, subject=who.user_id, passkey=str(passkey_id))


async def forget_old(tx: Tx) -> int:
    """Delete some expired challenges, and return how many. A job calls it."""
    return await delete_batch(tx, PasskeyChallenge, PasskeyChallenge.expires_at < clock.now())


async def _own(tx: Tx, user_id: UUID, passkey_id: UUID) -> Passkey:
    row = await locked(tx, Passkey, passkey_id)
    if row is None or row.user_id != user_id:
        raise PasskeyNotFound
    return row


def _view(row: Passkey) -> PasskeyView:
    return PasskeyView(row.id, row.name, row.backed_up, row.created_at, row.used_at)


async def _limit_requests(runtime: Runtime, who: object) -> None:
    """Limit requests for challenges, since each stores a row."""
    limit = RateLimit.of(PER_ADDRESS, "passkey-options", who)
    await runtime.limiter.check(limit)
    if not await runtime.limiter.count(limit):
        raise TooManyRequests(60)


def _hash(challenge: bytes) -> bytes:
    return digest(challenge.hex())


async def _store_challenge(tx: Tx, challenge: bytes, user_id: UUID | None) -> None:
    tx.add(PasskeyChallenge(challenge_hash=_hash(challenge), user_id=user_id, expires_at=clock.now() + TTL))
    await tx.flush()


async def _use_challenge(tx: Tx, challenge: bytes, user_id: UUID | None) -> bool:
    """Use a challenge up, if it was issued for this purpose and is in time."""
    taken = await tx.scalar(
        delete(PasskeyChallenge)
        .where(
            PasskeyChallenge.challenge_hash == _hash(challenge),
            PasskeyChallenge.user_id.is_not_distinct_from(user_id),
            PasskeyChallenge.expires_at > clock.now(),
        )
        .returning(PasskeyChallenge.challenge_hash)
    )
    return taken is not None


def _challenge_of(credential: Mapping[str, Any]) -> bytes | None:
    try:
        return parse_client_data_json(base64url_to_bytes(credential["response"]["clientDataJSON"])).challenge
    except Exception as error:  # noqa: BLE001 - malformed input is refused
        log.info("passkey unreadable", error=type(error).__name__)
        return None


def _assertion_of(credential: Mapping[str, Any]) -> Assertion:
    challenge = _challenge_of(credential)
    if challenge is None:
        raise PasskeyRefused
    try:
        credential_id = base64url_to_bytes(credential["rawId"])
        user_handle = base64url_to_bytes(credential["response"]["userHandle"])
    except Exception as error:  # malformed input is refused
        log.info("passkey unreadable", error=type(error).__name__)
        raise PasskeyRefused from error
    return Assertion(dict(credential), challenge, credential_id, user_handle)
