"""Wire shapes of clients."""

import ipaddress
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from carteira.identity.clients.keys import UnfitKey, read_public_key
from carteira.identity.fields import Description
from carteira.kit.values.clock import clock
from carteira.kit.values.days import Instant, schema_of_instants
from carteira.kit.values.texts import unspaced
from carteira.kit.web.bodies import Body


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(unspaced(text)))
    except ValueError as error:
        raise PydanticCustomError("invalid_network", "Rede inválida: use CIDR, como 203.0.113.0/24.") from error


def _ahead(instant: datetime) -> datetime:
    if instant <= clock.now():
        raise PydanticCustomError("invalid_expiry", "O fim da validade deve estar no futuro.")
    return instant


def _public_key(given: object) -> object:
    if not isinstance(given, str | dict):
        return given  # pydantic reports the error
    try:
        return read_public_key(given)
    except UnfitKey as error:
        raise PydanticCustomError(
            "invalid_public_key", "Envie só a chave pública, em JWK ou PEM: Ed25519, P-256 ou RSA de 3072 bits ou mais."
        ) from error


Network = Annotated[
    str,
    Field(max_length=60),
    AfterValidator(_network),
    WithJsonSchema(
        {
            "type": "string",
            "format": "cidr",
            "maxLength": 60,
            "pattern": r"^[0-9A-Fa-f:.]+(?:/[0-9]{1,3})?$",
            "examples": ["203.0.113.0/24"],
        }
    ),
]
Networks = Annotated[list[Network], Field(max_length=50, description="Redes de onde o cliente pode vir; vazia: todas")]
Expiry = Annotated[
    Instant,
    AfterValidator(_ahead),
    WithJsonSchema(
        schema_of_instants(clock.today().year, 9998, "2030-01-31T00:00:00Z")
        | {"description": "Fim da validade (RFC 3339), no futuro"}
    ),
]
PublicKey = Annotated[
    dict[str, Any],
    BeforeValidator(_public_key),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "object", "required": ["kty"], "properties": {"kty": {"enum": ["OKP", "EC", "RSA"]}}},
                {"type": "string", "format": "public-key-pem", "maxLength": 4000},
            ],
            "description": "Chave pública do cliente (JWK ou PEM), de `private_key_jwt`; sem ela, é gerado um segredo",
            "examples": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}],
        }
    ),
]
ClaimNames = Annotated[list[Description], Field(max_length=200, examples=[["benefits:write"]])]


class ClientIn(Body):
    """A new client."""

    name: Description
    claims: ClaimNames = Field(default_factory=list)
    networks: Networks = Field(default_factory=list)
    expires_at: Expiry | None = None
    public_key: PublicKey | None = None


class ClientPatch(Body):
    """Changes of a client; `expires_at: null` removes its end."""

    name: Description | None = None
    networks: Networks | None = None
    expires_at: Expiry | None = None


class ClientClaimsIn(Body):
    """All the claims that a client is to hold."""

    claims: ClaimNames


class CredentialIn(Body):
    """A further credential, beside the one in use."""

    public_key: PublicKey | None = None
    expires_at: Expiry | None = None
    overlap_hours: Annotated[
        int, Field(strict=True, ge=0, le=720, description="Horas que a anterior ainda vale; 0 a encerra na hora")
    ] = 24


class CredentialOut(BaseModel):
    """A credential, without its secret."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    kind: Literal["secret", "public_key"]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


class ClientOut(BaseModel):
    """A client."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID = Field(description="O `client_id`")
    name: str = Field(examples=["ERP da Padaria Central"])
    claims: list[str] = Field(examples=[["benefits:write"]])
    networks: list[str]
    created_at: datetime
    created_by: UUID
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    credentials: list[CredentialOut] = Field(description="As credenciais que valem")


class NewClientOut(ClientOut):
    """A new client, with its secret this once."""

    client_secret: str | None = Field(description="O segredo, mostrado só desta vez; nulo com chave pública")


class NewCredentialOut(CredentialOut):
    """A new credential, with its secret this once."""

    client_secret: str | None = Field(description="O segredo, mostrado só desta vez; nulo com chave pública")


class ClientTokenOut(BaseModel):
    """An access token (RFC 6749, section 5.1)."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - RFC 6750's word
    expires_in: int = Field(description="Segundos até o access_token expirar")
    scope: str = Field(description="As permissões do token, separadas por espaço", examples=["benefits:write"])


class ClientTokenProblemOut(BaseModel):
    """An error of the token endpoint: RFC 6749's `error`, and the members of a problem."""

    error: Literal["invalid_request", "invalid_client", "invalid_scope", "unsupported_grant_type"]
    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
