"""Identity providers: Google and gov.br by OpenID Connect, Meta by OAuth 2.0 and its Graph API.

All use the authorization code flow with PKCE (RFC 6749, 7636, 9700). An ID token is accepted only if its signature,
issuer, audience, expiry and nonce are right (OpenID Connect Core, section 3.1.3.7). Nothing here opens a transaction,
and nothing may be called inside one.
"""

import base64
import hashlib
import hmac
import time
from dataclasses import dataclass
from typing import Any, Literal, Protocol
from urllib.parse import quote, urlencode

import structlog
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet

from carteira.identity.config import GoogleConfig, GovBrConfig, IdentityConfig, MetaConfig
from carteira.identity.errors import GovBrLevelTooLow, SocialRefused
from carteira.kit.outbound.http import Answer, Http, ServiceDown
from carteira.kit.values.cpf import InvalidCpf, parse_cpf

ProviderName = Literal["google", "meta", "govbr"]
Level = Literal["bronze", "silver", "gold"]
LEVELS: tuple[Level, ...] = ("bronze", "silver", "gold")
"""gov.br's levels, from the lowest."""

_CACHE_SECONDS = 3600.0
_KEYS_AGAIN_SECONDS = 60.0
_LEEWAY_SECONDS = 60
_SUBJECT_LENGTH = 255
_ALGORITHMS = ["RS256", "ES256"]
_BAD_REQUEST = 400
_GOVBR_SCOPE = "openid email profile govbr_confiabilidades govbr_confiabilidades_idtoken"
_LEVEL_OF_ID: dict[str, Level] = {"1": "bronze", "2": "silver", "3": "gold"}
"""The API's numbers for the levels."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Profile:
    """A person at a provider. Name and e-mail are unverified; `subject` identifies the account."""

    subject: str
    full_name: str | None
    email: str | None
    email_confirmed: bool
    """Whether the provider runs the address's mailbox, so that it is surely the person's."""


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """One authorization request (RFC 6749)."""

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

    async def authorization_url(self, authorization: AuthorizationRequest) -> str:
        """Return the authorization URL.

        Raises:
            ServiceDown: this needs the provider, and it does not answer.
        """

    async def profile(self, authorization: AuthorizationRequest, code: str) -> Profile:
        """Exchange the code for the person's profile.

        Raises:
            SocialRefused: the provider refuses the code, or its answer proves nothing.
            ServiceDown: it does not answer, or its answer is malformed.
        """


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def derive(secret: str, purpose: str, state: str) -> str:
    """Derive a value of 256 bits (a verifier, a nonce) that only the holder of a browser's secret can derive again."""
    return _base64url(hmac.digest(secret.encode(), f"{purpose}\0{state}".encode(), "sha256"))


class Issuer:
    """An OpenID Connect issuer: its discovery document and its ID tokens."""

    def __init__(self, name: ProviderName, issuer: str, client_id: str, http: Http) -> None:
        self._name = name
        self._issuer = issuer.rstrip("/")
        self._client_id = client_id
        self._http = http
        self._document: dict[str, Any] = {}
        self._document_until = 0.0
        self._keys = KeySet([])
        self._keys_at = float("-inf")

    async def document(self) -> dict[str, Any]:
        """Return the discovery document.

        Raises:
            ServiceDown: the issuer does not answer, or the document is another's.
        """
        if time.monotonic() >= self._document_until:
            document = _require_success(await self._http.get(self._issuer + "/.well-known/openid-configuration"))
            wanted = ("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri")
            whole = all(_text(document.get(name)) for name in wanted)
            if not whole or document["issuer"].rstrip("/") != self._issuer:
                log.error("discovery document of another issuer", provider=self._name)
                raise ServiceDown
            self._document, self._document_until = document, time.monotonic() + _CACHE_SECONDS
        return self._document

    async def claims(self, token: object, nonce: str, *, also: tuple[str, ...] = ()) -> dict[str, Any]:
        """Verify and read an ID token; `also` are other names of the issuer.

        Raises:
            SocialRefused: there is none, or it is invalid (see `read_id_token`).
            ServiceDown: the issuer's keys are not available.
        """
        if not isinstance(token, str):
            raise SocialRefused
        arguments = ([self._issuer, self._issuer + "/", *also], self._client_id, nonce)
        await self._fetch_keys(older_than=_CACHE_SECONDS)
        try:
            return read_id_token(token, self._keys, *arguments)
        except UnknownKey:
            await self._fetch_keys(older_than=_KEYS_AGAIN_SECONDS)  # the provider may have new keys
            return read_id_token(token, self._keys, *arguments)

    async def _fetch_keys(self, *, older_than: float) -> None:
        if time.monotonic() - self._keys_at < older_than:
            return
        content = _require_success(await self._http.get((await self.document())["jwks_uri"]))
        try:
            self._keys = KeySet.import_key_set({"keys": content["keys"]})
        except (JoseError, KeyError, TypeError, ValueError) as error:
            raise ServiceDown from error
        self._keys_at = time.monotonic()


class Google:
    """Google's OpenID Connect."""

    def __init__(self, config: GoogleConfig, http: Http) -> None:
        self._config = config
        self._http = http
        self._issuer = Issuer("google", config.issuer, config.client_id, http)
        # as in Google's own documentation
        self._also = ("accounts.google.com",) if config.issuer == "https://accounts.google.com" else ()

    async def authorization_url(self, authorization: AuthorizationRequest) -> str:
        """Return the authorization URL."""
        document = await self._issuer.document()
        return _with_query(
            document["authorization_endpoint"], _request(self._config.client_id, authorization, "openid email profile")
        )

    async def profile(self, authorization: AuthorizationRequest, code: str) -> Profile:
        """Exchange the code for an ID token, and read it."""
        document = await self._issuer.document()
        form = _exchange(authorization, code) | _secret_in_form(self._config.client_id, self._config.client_secret)
        answer = _require_accepted("google", await self._http.post_form(document["token_endpoint"], form))
        claims = await self._issuer.claims(answer.get("id_token"), authorization.nonce, also=self._also)
        email = _text(claims.get("email"))
        return Profile(_subject(claims.get("sub")), _text(claims.get("name")), email, _owns(claims, email))


class GovBr:
    """gov.br's Login Único: OpenID Connect whose subject is the CPF, with an assurance level.

    Accounts below the configured level prove nothing: the lowest level only asks a few questions that others can answer
    too. It confirms no e-mail address, since it runs no mailbox. Source: "Roteiro de Integração do Login Único"
    (acesso.gov.br/roteiro-tecnico).
    """

    def __init__(self, config: GovBrConfig, http: Http) -> None:
        self._config = config
        self._http = http
        self._issuer = Issuer("govbr", config.issuer, config.client_id, http)

    async def authorization_url(self, authorization: AuthorizationRequest) -> str:
        """Return the authorization URL."""
        document = await self._issuer.document()
        return _with_query(
            document["authorization_endpoint"], _request(self._config.client_id, authorization, _GOVBR_SCOPE)
        )

    async def profile(self, authorization: AuthorizationRequest, code: str) -> Profile:
        """Exchange the code for an ID token, and read the CPF and the level.

        Raises:
            GovBrLevelTooLow: the account's level is too low here.
        """
        document = await self._issuer.document()
        secret = _basic(self._config.client_id, self._config.client_secret)
        form = _exchange(authorization, code)
        answer = _require_accepted(
            "govbr", await self._http.post_form(document["token_endpoint"], form, headers=secret)
        )
        claims = await self._issuer.claims(answer.get("id_token"), authorization.nonce)
        try:
            cpf = parse_cpf(_subject(claims.get("sub")))
        except InvalidCpf as error:
            raise SocialRefused from error
        level = _level_in(claims) or await self._level_of(cpf, _text(answer.get("access_token")))
        if level is None or LEVELS.index(level) < LEVELS.index(self._config.level):
            raise GovBrLevelTooLow(level, self._config.level)
        return Profile(cpf, _text(claims.get("name")), _text(claims.get("email")), email_confirmed=False)

    async def _level_of(self, cpf: str, access_token: str | None) -> Level | None:
        """Ask for the levels that an account has reached, and return the highest; None: there is none."""
        if access_token is None:
            raise SocialRefused
        url = f"{self._config.api_url.rstrip('/')}/confiabilidades/v3/contas/{cpf}/niveis"
        answer = await self._http.get(
            url, params={"response-type": "ids"}, headers={"Authorization": f"Bearer {access_token}"}
        )
        if not answer.ok:
            raise ServiceDown
        reached = [_LEVEL_OF_ID.get(str(item.get("id"))) for item in answer.objects()]
        return max((level for level in reached if level is not None), key=LEVELS.index, default=None)


def _level_in(claims: dict[str, Any]) -> Level | None:
    """Return the level in an ID token, if it has one."""
    trust = claims.get("reliability_info")
    level = trust.get("level") if isinstance(trust, dict) else None
    return next((known for known in LEVELS if known == level), None)


class Meta:
    """Facebook Login: the Graph API returns the access token's person. It confirms no e-mail address."""

    def __init__(self, config: MetaConfig, http: Http) -> None:
        self._config = config
        self._http = http

    async def authorization_url(self, authorization: AuthorizationRequest) -> str:
        """Return the authorization URL."""
        return _with_query(
            self._config.authorize_url, _request(self._config.client_id, authorization, "public_profile email")
        )

    async def profile(self, authorization: AuthorizationRequest, code: str) -> Profile:
        """Exchange the code for an access token, and read its person."""
        form = _exchange(authorization, code) | _secret_in_form(self._config.client_id, self._config.client_secret)
        token = _text(
            _require_accepted("meta", await self._http.post_form(self._config.token_url, form)).get("access_token")
        )
        if token is None:
            raise SocialRefused
        proof = hmac.digest(self._config.client_secret.encode(), token.encode(), "sha256").hex()
        answer = await self._http.get(
            self._config.user_url,
            params={"fields": "id,name,email", "appsecret_proof": proof},
            headers={"Authorization": f"Bearer {token}"},
        )
        person = _require_accepted("meta", answer)
        subject = _subject(person.get("id") or person.get("sub"))  # Graph's name, and OpenID Connect's
        return Profile(subject, _text(person.get("name")), _text(person.get("email")), email_confirmed=False)


def make_providers(config: IdentityConfig, http: Http) -> dict[ProviderName, Provider]:
    """Make the providers that the settings turn on."""
    providers: dict[ProviderName, Provider] = {}
    if config.google is not None:
        providers["google"] = Google(config.google, http)
    if config.meta is not None:
        providers["meta"] = Meta(config.meta, http)
    if config.govbr is not None:
        providers["govbr"] = GovBr(config.govbr, http)
    return providers


class UnknownKey(SocialRefused):
    """An ID token's key is not among the issuer's."""


def read_id_token(token: str, keys: KeySet, issuers: list[str], audience: str, nonce: str) -> dict[str, Any]:
    """Return an ID token's claims.

    Raises:
        UnknownKey: its key is not among these.
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
    """Return whether Google runs the mailbox: only then does it prove whose it is (Google's own rule)."""
    gmail = email is not None and email.lower().endswith("@gmail.com")
    return claims.get("email_verified") is True and (gmail or bool(claims.get("hd")))


def _request(client_id: str, authorization: AuthorizationRequest, scope: str) -> dict[str, str]:
    return {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": authorization.redirect_uri,
        "scope": scope,
        "state": authorization.state,
        "nonce": authorization.nonce,
        "code_challenge": authorization.challenge,
        "code_challenge_method": "S256",
    }


def _exchange(authorization: AuthorizationRequest, code: str) -> dict[str, str]:
    return {
        "grant_type": "authorization_code",
        "redirect_uri": authorization.redirect_uri,
        "code": code,
        "code_verifier": authorization.verifier,
    }


def _secret_in_form(client_id: str, client_secret: str) -> dict[str, str]:
    return {"client_id": client_id, "client_secret": client_secret}


def _basic(client_id: str, client_secret: str) -> dict[str, str]:
    """Return the header with the client's secret (RFC 6749, section 2.3.1)."""
    pair = f"{quote(client_id, safe='')}:{quote(client_secret, safe='')}"
    return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}


def _with_query(url: str, query: dict[str, str]) -> str:
    return f"{url}{'&' if '?' in url else '?'}{urlencode(query)}"


def _require_success(answer: Answer) -> dict[str, Any]:
    if not answer.ok:
        raise ServiceDown
    return answer.object()


def _require_accepted(provider: str, answer: Answer) -> dict[str, Any]:
    """Return the provider's answer; a 400 is about the code, any other error about this server's configuration."""
    if answer.status == _BAD_REQUEST:
        log.warning("provider refused a code", provider=provider)
        raise SocialRefused
    if not answer.ok:
        log.error("provider refused this server", provider=provider, status=answer.status)
        raise ServiceDown
    return answer.object()


def _subject(value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _SUBJECT_LENGTH or not value.isprintable():
        raise SocialRefused
    return value


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
