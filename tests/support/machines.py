"""Clients (machines): registered by an operator, with a token at once or by their own request."""

import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4
from warnings import catch_warnings, simplefilter

import httpx
from joserfc import jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, OKPKey, RSAKey

from tests.support.people import Person

TOKEN = "/auth/token"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
FORM = {"grant_type": "client_credentials"}


@dataclass
class Machine:
    """A client, and its secret."""

    id: UUID
    secret: str
    credential: UUID


async def new_machine(operator: Person, *claims: str, **fields: object) -> Machine:
    """Have an operator register a client."""
    body = {"name": "ERP da Padaria Central", "claims": list(claims), **fields}
    made = await operator.post("/clients", body)
    assert made.status_code == 201, made.text
    shown = made.json()
    return Machine(UUID(shown["id"]), shown["client_secret"] or "", UUID(shown["credentials"][0]["id"]))


async def ask_token(client: httpx.AsyncClient, machine: Machine, **form: str) -> httpx.Response:
    """Request a token with the secret in HTTP Basic."""
    return await client.post(TOKEN, data=FORM | form, auth=(str(machine.id), machine.secret))


async def acting(client: httpx.AsyncClient, machine: Machine, **form: str) -> Person:
    """Return an HTTP client that sends the machine's requests with its own token."""
    answer = await ask_token(client, machine, **form)
    assert answer.status_code == 200, answer.text
    return Person(client, machine.id, {"Authorization": f"Bearer {answer.json()['access_token']}"})


async def new_acting(operator: Person, *claims: str, **fields: object) -> Person:
    """Have an operator register a client, and return what sends its requests."""
    return await acting(operator.client, await new_machine(operator, *claims, **fields))


def assertion(machine: Machine, key: OKPKey | ECKey | RSAKey, algorithm: str, audience: Any, **changes: Any) -> str:  # noqa: ANN401 - any JSON
    """Return a signed assertion (RFC 7523); a claim changed to None is left out."""
    now = int(time.time())
    content = {
        "iss": str(machine.id),
        "sub": str(machine.id),
        "aud": audience,
        "exp": now + 60,
        "iat": now,
        "jti": uuid4().hex,
    } | changes
    content = {name: value for name, value in content.items() if value is not None}
    with catch_warnings():
        simplefilter("ignore", SecurityWarning)  # under the former name of Ed25519, which many clients still write
        return jwt.encode({"alg": algorithm}, content, key, algorithms=[algorithm])


async def assert_token(client: httpx.AsyncClient, signed: str, **form: str) -> httpx.Response:
    """Request a token with an assertion."""
    return await client.post(
        TOKEN, data=FORM | {"client_assertion_type": ASSERTION_TYPE, "client_assertion": signed} | form
    )
