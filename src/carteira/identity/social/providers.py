"""Providers that say who somebody is: Google by OpenID Connect, Meta by OAuth 2.0 and its Graph API.

Both are asked with the authorization code flow and PKCE (RFC 6749, 7636, 9700). Google's ID token is taken only with a
signature by the keys that the issuer publishes and the right issuer, audience, expiry and nonce (OpenID Connect Core,
section 3.1.3.7). Nothing here opens a transaction, and nothing may be called inside one.
"""

import base64
import hashlib
import hmac
import time
from dataclasses import dataclass
from typing import Any, Literal, Protocol
from urllib.parse import urlencode

import structlog
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet

from carteira.identity.config import GoogleConfig, IdentityConfig, MetaConfig
from carteira.identity.errors import SocialRefused
from carteira.kit.outbound.http import Answer, Http, ServiceDown

ProviderName = Literal["google", "meta"]

_CACHE_SECONDS = 3600.0
_KEYS_AGAIN_SECONDS = 60.0
_LEEWAY_SECONDS = 60
_SUBJECT_LENGTH = 255
_ALGORITHMS = ["RS256", "ES256"]
_BAD_REQUEST = 400

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Profile:
    """Whom a provider vouches for. Name and e-mail are only what it says; `subject` is who it is."""

    subject: str
    full_name: str | None
    email: str | None
    email_confirmed: bool
    """The provider is the authority on the address, so that it is the person's."""


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """One way to the provider and back."""

    redirect_uri: str
    state: str
    nonce: str
    verifier: str

    @property
    def challenge(self) -> str:
        """The verifier's S256 challenge (RFC 7636, section 4.2)."""
        return _base64url(hashlib.sha256(self.verifier.encode()).digest())


class Provider(Protocol):
    """One provider."""

    async def authorization_url(self, trip: AuthorizationRequest) -> str:
        """Give where the browser is sent to.

        Raises:
            ServiceDown: the provider must be asked for that and does not answer.
        """

    async def profile(self, trip: AuthorizationRequest, code: str) -> Profile:
        """Exchange the code for who it is.

        Raises:
            SocialRefused: the provider does not take the code, or what it says proves nothing.
            ServiceDown: it does not answer, or talks nonsense.
        """


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def derive(secret: str, purpose: str, state: str) -> str:
    """Make a value of 256 bits (a verifier, a nonce) that only the holder of a browser's secret can make again."""
    return _base64url(hmac.digest(secret.encode(), f"{purpose}\0{state}".encode(), "sha256"))


class Google:
    """An OpenID Connect provider, known by its discovery document."""

    def __init__(self, config: GoogleConfig, http: Http) -> None:
        self._config = config
        self._http = http
        self._document: dict[str, Any] = {}
        self._document_until = 0.0
        self._keys = KeySet([])
        self._keys_at = float("-inf")

    async def authorization_url(self, trip: AuthorizationRequest) -> str:
        """Give where the browser is sent to."""
        document = await self._discover()
        return _with_query(
            document["authorization_endpoint"], _request(self._config.client_id, trip, "openid email profile")
        )

    async def profile(self, trip: AuthorizationRequest, code: str) -> Profile:
        """Exchange the code for an ID token and read it."""
        document = await self._discover()
        form = _exchange(self._config.client_id, self._config.client_secret, trip, code)
        answer = _taken("google", await self._http.post_form(document["token_endpoint"], form))
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise SocialRefused
        issuers = [self._config.issuer]
        if self._config.issuer == "https://accounts.google.com":
            issuers.append("accounts.google.com")  # as Google's own documentation says
        claims = await self._read(token, issuers, trip.nonce)
        email = _text(claims.get("email"))
        return Profile(_subject(claims.get("sub")), _text(claims.get("name")), email, _owns(claims, email))

    async def _read(self, token: str, issuers: list[str], nonce: str) -> dict[str, Any]:
        arguments = (issuers, self._config.client_id, nonce)
        await self._fetch_keys(older_than=_CACHE_SECONDS)
        try:
            return read_id_token(token, self._keys, *arguments)
        except UnknownKey:
            await self._fetch_keys(older_than=_KEYS_AGAIN_SECONDS)  # the provider may have new ones
            return read_id_token(token, self._keys, *arguments)

    async def _discover(self) -> dict[str, Any]:
        if time.monotonic() >= self._document_until:
            url = self._config.issuer.rstrip("/") + "/.well-known/openid-configuration"
            document = _well(await self._http.get(url))
            wanted = ("authorization_endpoint", "token_endpoint", "jwks_uri")
            if document.get("issuer") != self._config.issuer or not all(_text(document.get(name)) for name in wanted):
                log.error("the issuer's discovery document is another's", provider="google")
                raise ServiceDown
            self._document, self._document_until = document, time.monotonic() + _CACHE_SECONDS
        return self._document

    async def _fetch_keys(self, *, older_than: float) -> None:
        if time.monotonic() - self._keys_at < older_than:
            return
        content = _well(await self._http.get((await self._discover())["jwks_uri"]))
        try:
            self._keys = KeySet.import_key_set({"keys": content["keys"]})
        except (JoseError, KeyError, TypeError, ValueError) as error:
            raise ServiceDown from error
        self._keys_at = time.monotonic()


class Meta:
    """Facebook Login: the Graph API says whose the access token is. It vouches for no e-mail address."""

    def __init__(self, config: MetaConfig, http: Http) -> None:
        self._config = config
        self._http = http

    async def authorization_url(self, trip: AuthorizationRequest) -> str:
        """Give where the browser is sent to."""
        return _with_query(self._config.authorize_url, _request(self._config.client_id, trip, "public_profile email"))

    async def profile(self, trip: AuthorizationRequest, code: str) -> Profile:
        """Exchange the code for an access token and ask whose it is."""
        form = _exchange(self._config.client_id, self._config.client_secret, trip, code)
        token = _text(_taken("meta", await self._http.post_form(self._config.token_url, form)).get("access_token"))
        if token is None:
            raise SocialRefused
        proof = hmac.digest(self._config.client_secret.encode(), token.encode(), "sha256").hex()
        answer = await self._http.get(
            self._config.user_url,
            params={"fields": "id,name,email", "appsecret_proof": proof},
            headers={"Authorization": f"Bearer {token}"},
        )
        person = _taken("meta", answer)
        subject = _subject(person.get("id") or person.get("sub"))  # Graph's word, and OpenID Connect's
        return Profile(subject, _text(person.get("name")), _text(person.get("email")), email_confirmed=False)


def make_providers(config: IdentityConfig, http: Http) -> dict[ProviderName, Provider]:
    """Make the providers that the settings turn on."""
    providers: dict[ProviderName, Provider] = {}
    if config.google is not None:
        providers["google"] = Google(config.google, http)
    if config.meta is not None:
        providers["meta"] = Meta(config.meta, http)
    return providers


class UnknownKey(SocialRefused):
    """The ID token names a key that is not among the issuer's."""


def read_id_token(token: str, keys: KeySet, issuers: list[str], audience: str, nonce: str) -> dict[str, Any]:
    """Give an ID token's claims.

    Raises:
        UnknownKey: it is signed with a key that is not among these.
        SocialRefused: wrong signature, issuer, audience or nonce, or expired.
    """
    registry = jwt.JWTClaimsRegistry(
        leeway=_LEEWAY_SECONDS,
        iss={"essential": True, "values": issuers},
        aud={"essential": True, "value": audience},
        sub={"essential": True},
        exp={"essential": True},
        iat={"essential": True},
        nonce={"essential": True, "value": nonce},
    )
    try:
        claims = jwt.decode(token, keys, algorithms=_ALGORITHMS).claims
        registry.validate(claims)
    except InvalidKeyIdError as error:
        raise UnknownKey from error
    except (JoseError, ValueError, TypeError, KeyError) as error:
        log.info("id token refused", error=type(error).__name__)
        raise SocialRefused from error
    if claims["aud"] not in (audience, [audience]) and claims.get("azp") != audience:
        raise SocialRefused
    return claims


def _owns(claims: dict[str, Any], email: str | None) -> bool:
    """Tell whether Google runs the mailbox: only then is it the authority on whose it is (Google's own rule)."""
    gmail = email is not None and email.lower().endswith("@gmail.com")
    return claims.get("email_verified") is True and (gmail or bool(claims.get("hd")))


def _request(client_id: str, trip: AuthorizationRequest, scope: str) -> dict[str, str]:
    return {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": trip.redirect_uri,
        "scope": scope,
        "state": trip.state,
        "nonce": trip.nonce,
        "code_challenge": trip.challenge,
        "code_challenge_method": "S256",
    }


def _exchange(client_id: str, client_secret: str, trip: AuthorizationRequest, code: str) -> dict[str, str]:
    return {
        "grant_type": "authorization_code",
        "client_id": client_id,
        "client_secret": client_secret,
        "redirect_uri": trip.redirect_uri,
        "code": code,
        "code_verifier": trip.verifier,
    }


def _with_query(url: str, query: dict[str, str]) -> str:
    return f"{url}{'&' if '?' in url else '?'}{urlencode(query)}"


def _well(answer: Answer) -> dict[str, Any]:
    if not answer.ok:
        raise ServiceDown
    return answer.object()


def _taken(provider: str, answer: Answer) -> dict[str, Any]:
    """Give what the provider answers; a 400 is about the code, anything else about how this server is set up."""
    if answer.status == _BAD_REQUEST:
        log.warning("provider refuses a code", provider=provider)
        raise SocialRefused
    if not answer.ok:
        log.error("provider refuses this server", provider=provider, status=answer.status)
        raise ServiceDown
    return answer.object()


def _subject(value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _SUBJECT_LENGTH or not value.isprintable():
        raise SocialRefused
    return value


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
