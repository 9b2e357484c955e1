"""The client-credentials grant (RFC 6749, section 4.4): a client authenticates and gets a short access token.

It authenticates by a secret, in HTTP Basic or in the form (RFC 6749, section 2.3.1), or by an assertion that it signed
(`private_key_jwt`: RFC 7523). Every failure gets one answer, `invalid_client`; the audit holds the reason. A secret has
256 random bits, so that its SHA-256 needs no slow hash and no limit on guesses by client, which would let others lock a
client out.
"""

import base64
import binascii
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hmac import compare_digest
from typing import Any
from urllib.parse import parse_qsl, unquote_plus
from uuid import UUID
from warnings import catch_warnings, simplefilter

import orjson
from joserfc import jwt
from joserfc.errors import JoseError, SecurityWarning
from prometheus_client import Counter
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from carteira.identity.clients.errors import InvalidClient, InvalidRequest, InvalidScope, UnsupportedGrantType
from carteira.identity.clients.keys import ALGORITHMS, load_key
from carteira.identity.clients.models import ClientAssertion, ClientClaim, ClientCredential, ClientRow
from carteira.identity.clients.service import credentials_of, is_live
from carteira.identity.config import ACCESS_SECONDS
from carteira.identity.models import Claim
from carteira.identity.runtime import Runtime
from carteira.kit.db.errors import CommitThenRaise
from carteira.kit.db.session import Tx
from carteira.kit.security import audit, tokens
from carteira.kit.security.opaque_tokens import digest, new_token
from carteira.kit.security.rate_limits import PER_ADDRESS, RateLimit, is_within, network
from carteira.kit.values.actor import Actor
from carteira.kit.values.clock import clock

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_SECONDS = 600
"""The longest time until an assertion's `exp`."""
_LEEWAY_SECONDS = 60
_JTI_LENGTH = 200
_NOBODYS = digest(new_token())
"""Without a credential a proof is compared with this hash, so that a refusal takes as long."""
_FIELDS = {"grant_type", "scope", "client_id", "client_secret", "client_assertion", "client_assertion_type"}

client_tokens = Counter(
    "carteira_client_tokens", "Requests of clients for access tokens, by outcome: issued or refused", ["outcome"]
)


@dataclass(frozen=True, slots=True)
class ClientToken:
    """A client's access token."""

    access_token: str
    expires_in: int
    scope: str


@dataclass(frozen=True, slots=True)
class ClientProof:
    """A client's authentication: a secret or an assertion."""

    client_id: str
    secret: str | None = None
    assertion: str | None = None


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A request for a token, well-formed."""

    proof: ClientProof
    scope: frozenset[str] | None
    """The claims asked for; None: all that the client holds."""


def read_request(media_type: str, body: bytes, authorization: str) -> TokenRequest:
    """Read a request for a token.

    Raises:
        InvalidRequest: not the form of RFC 6749, a repeated field, or not exactly one way of authentication.
        UnsupportedGrantType: another grant than `client_credentials`.
        InvalidClient: an `Authorization` header of another scheme, or unreadable.
    """
    if media_type.partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise InvalidRequest("Envie application/x-www-form-urlencoded.")
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True, max_num_fields=20)
    except ValueError as error:
        raise InvalidRequest("O formulário não pôde ser lido.") from error
    form = {name: value for name, value in pairs if name in _FIELDS and value}
    if len(form) < sum(name in _FIELDS and bool(value) for name, value in pairs):
        raise InvalidRequest("Um campo veio mais de uma vez.")
    if "grant_type" not in form:
        raise InvalidRequest("Informe grant_type.")
    if form["grant_type"] != "client_credentials":
        raise UnsupportedGrantType
    scope = frozenset(form["scope"].split()) if "scope" in form else None
    return TokenRequest(_proof(form, authorization), scope)


def _proof(form: Mapping[str, str], authorization: str) -> ClientProof:
    ways = [bool(authorization), "client_secret" in form, "client_assertion" in form or "client_assertion_type" in form]
    if sum(ways) > 1:
        raise InvalidRequest("Use um só modo de autenticar o cliente.")
    if authorization:
        proof = _basic(authorization)
        if form.get("client_id", proof.client_id) != proof.client_id:
            raise InvalidRequest("O client_id do formulário difere do que está no cabeçalho.")
        return proof
    if "client_secret" in form and "client_id" in form:
        return ClientProof(form["client_id"], secret=form["client_secret"])
    if form.get("client_assertion_type") == ASSERTION_TYPE and "client_assertion" in form:
        client_id = _unverified_subject(form["client_assertion"])
        if form.get("client_id", client_id) != client_id:
            raise InvalidRequest("O client_id do formulário difere do que está na asserção.")
        return ClientProof(client_id, assertion=form["client_assertion"])
    if any(ways):
        raise InvalidRequest("Faltam campos para autenticar o cliente.")
    raise InvalidClient


def _basic(authorization: str) -> ClientProof:
    """Read HTTP Basic, whose parts are form-encoded (RFC 6749, section 2.3.1)."""
    scheme, _, given = authorization.partition(" ")
    try:
        client_id, colon, secret = base64.b64decode(given.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError) as error:
        raise InvalidClient from error
    if scheme.lower() != "basic" or not colon:
        raise InvalidClient
    return ClientProof(unquote_plus(client_id), secret=unquote_plus(secret))


def _unverified_subject(assertion: str) -> str:
    """Return the client that an assertion names, unverified, to find its key."""
    try:
        payload = assertion.split(".")[1]
        content = orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return str(content["sub"])
    except (IndexError, KeyError, TypeError, ValueError):
        return ""


async def grant(runtime: Runtime, asked: TokenRequest, *, address: str, audiences: Collection[str]) -> ClientToken:
    """Return an access token for a client; `audiences` are the names of this server in its assertion.

    Raises:
        InvalidClient: unknown, revoked, past its end, from another network, or not authenticated.
        InvalidScope: it asks for a claim that it does not hold.
        LimitReached: this address had too many refusals.
    """
    limit = RateLimit.of(PER_ADDRESS, "client", network(address))
    await runtime.limiter.check(limit)
    try:
        async with runtime.database.transaction() as tx:
            token = await _grant(tx, runtime, asked, address, audiences)
    except InvalidClient:
        client_tokens.labels("refused").inc()
        await runtime.limiter.count(limit)
        raise
    client_tokens.labels("issued").inc()
    return token


async def _grant(
    tx: Tx, runtime: Runtime, asked: TokenRequest, address: str, audiences: Collection[str]
) -> ClientToken:
    client_id = _uuid(asked.proof.client_id)
    row = await tx.get(ClientRow, client_id)
    live = [one for one in await credentials_of(tx, [client_id]) if is_live(one)]
    credential = await _proven(tx, client_id, asked.proof, live, audiences)
    refused = _refused(row, credential, address)
    if row is None or credential is None or refused:
        await audit.record(
            tx, "client_refused", actor=None, subject=row.id if row is not None else None, reason=refused
        )
        raise CommitThenRaise(InvalidClient())
    held = await _held(tx, client_id)
    if asked.scope is not None and not asked.scope <= held:
        raise InvalidScope
    credential.used_at = now = clock.now()
    ends = [end for end in (row.expires_at, credential.expires_at) if end is not None]
    seconds = int(min([timedelta(seconds=ACCESS_SECONDS), *(end - now for end in ends)]).total_seconds())
    scope = held if asked.scope is None else asked.scope
    token = tokens.sign(
        runtime.ring.current,
        subject=str(client_id),
        ttl_seconds=seconds,
        claims={"client_id": str(client_id), "credential": str(credential.id)}
        | ({} if asked.scope is None else {"scope": " ".join(sorted(scope))}),
    )
    actor = Actor("client", str(client_id))
    await audit.record(tx, "client_token", actor=actor, subject=client_id, credential=str(credential.id))
    return ClientToken(token, seconds, " ".join(sorted(scope)))


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        return UUID(int=0)  # the id of no client


def _refused(row: ClientRow | None, credential: ClientCredential | None, address: str) -> str:
    """Return why a client is refused; empty if it gets its token."""
    if row is None:
        return "unknown"
    if not is_live(row):
        return "over"
    if credential is None:
        return "proof"
    return "" if is_within(address, row.networks) else "network"


async def _held(tx: Tx, client_id: UUID) -> frozenset[str]:
    query = (
        select(Claim.description)
        .join(ClientClaim, ClientClaim.claim_id == Claim.id)
        .where(ClientClaim.client_id == client_id, Claim.active)
    )
    return frozenset(await tx.scalars(query))


async def _proven(
    tx: Tx, client_id: UUID, proof: ClientProof, live: Collection[ClientCredential], audiences: Collection[str]
) -> ClientCredential | None:
    """Return the credential that verifies a proof; None if none does."""
    if proof.secret is not None:
        given = digest(proof.secret)
        hashes = [(one, one.secret_hash) for one in live if one.secret_hash is not None]
        compared: list[tuple[ClientCredential | None, bytes]] = [*hashes] or [(None, _NOBODYS)]
        fitting = [one for one, known in compared if compare_digest(given, known)]
        return fitting[0] if fitting else None
    for one in live:
        if one.public_key is not None and proof.assertion is not None:
            content = _verified(proof.assertion, one.public_key)
            if content is not None:
                return one if await _use_assertion(tx, client_id, content, audiences) else None
    return None


def _verified(assertion: str, public_key: dict[str, Any]) -> dict[str, Any] | None:
    """Return an assertion's claims, if this key signed it and it is valid now."""
    try:
        with catch_warnings():
            simplefilter("ignore", SecurityWarning)  # for `EdDSA`, whose curve the stored key fixes
            decoded = jwt.decode(assertion, load_key(public_key), algorithms=list(ALGORITHMS))
        jwt.JWTClaimsRegistry(
            leeway=_LEEWAY_SECONDS, exp={"essential": True}, sub={"essential": True}, jti={"essential": True}
        ).validate(decoded.claims)
    except (JoseError, ValueError, TypeError, OverflowError):
        return None
    return decoded.claims


async def _use_assertion(tx: Tx, client_id: UUID, content: Mapping[str, Any], audiences: Collection[str]) -> bool:
    """Mark an assertion as used; False if its audience is another, it lives too long, or it was used before."""
    named = content.get("aud")
    aud = {named} if isinstance(named, str) else {one for one in named or () if isinstance(one, str)}
    jti, exp, now = content["jti"], content["exp"], clock.now().timestamp()
    if content.get("iss") != str(client_id) or content["sub"] != str(client_id) or aud.isdisjoint(audiences):
        return False
    if not isinstance(jti, str) or not 0 < len(jti) <= _JTI_LENGTH or not exp <= now + ASSERTION_SECONDS:
        return False
    taken = insert(ClientAssertion).values(
        client_id=client_id,
        jti_hash=digest(jti),
        expires_at=datetime.fromtimestamp(exp, UTC) + timedelta(seconds=_LEEWAY_SECONDS),
    )
    return await tx.scalar(taken.on_conflict_do_nothing().returning(ClientAssertion.client_id)) is not None
