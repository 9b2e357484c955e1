"""People: with a token at once, or registered and signed in over HTTP."""

import itertools
import random
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
from validate_docbr import CPF

if TYPE_CHECKING:
    from tests.support.app import RunningApp

PASSWORD = "Girassol7amarelo"
_rules = CPF()
_numbers = itertools.count(secrets.randbelow(800_000_000) + 100_000_000)


@dataclass
class Person:
    """A person with an access token, who sends requests."""

    client: httpx.AsyncClient
    id: UUID
    headers: dict[str, str]
    cpf: str = ""
    email: str = ""
    password: str = PASSWORD
    tokens: dict[str, Any] = field(default_factory=dict)
    """What signing in returned."""

    async def call(self, method: str, path: str, **more: Any) -> httpx.Response:  # noqa: ANN401 - httpx's type
        headers = self.headers | more.pop("headers", {})
        return await self.client.request(method, path, headers=headers, **more)

    async def get(self, path: str, **params: str | int) -> httpx.Response:
        return await self.call("GET", path, params=params or None)

    async def post(self, path: str, json: object = None, *, key: str | None = None) -> httpx.Response:
        return await self.call("POST", path, json=json, headers={"Idempotency-Key": key} if key else {})


def new_cpf() -> str:
    """Return a valid CPF that no other test uses."""
    base = [int(digit) for digit in f"{next(_numbers) % 1_000_000_000:09d}"]
    for _ in range(2):
        base.append(sum(d * w for d, w in zip(base, range(len(base) + 1, 1, -1), strict=True)) * 10 % 11 % 10)
    cpf = "".join(map(str, base))
    assert _rules.validate(cpf)
    return cpf


def random_address() -> str:
    """Return a random IPv4 address, so that limits by address count for each test on its own."""
    return f"10.{random.randrange(256)}.{random.randrange(256)}.{random.randrange(1, 255)}"


def new_person() -> dict[str, str]:
    """Return the body of a registration."""
    number = random.randrange(10**12)
    return {
        "full_name": "Maria Açucena da Silva",
        "email": f"maria.{number}@exemplo.com.br",
        "cpf": new_cpf(),
        "birth_date": "1990-05-17",
        "phone": "11987654321",
        "password": PASSWORD,
    }


async def register(app: "RunningApp", **changes: str) -> Person:
    """Register a person; until they sign in, their requests carry a developer's token without claims."""
    body = new_person() | changes
    answer = await app.client.post("/users/register", json=body)
    assert answer.status_code == 201, answer.text
    user_id = UUID(answer.json()["id"])
    return Person(app.client, user_id, app.bearer(user_id=user_id), body["cpf"], body["email"], body["password"])


async def sign_in(person: Person, client: httpx.AsyncClient | None = None) -> Person:
    """Sign a registered person in; from then on their requests carry the session's token."""
    login = {"username": person.cpf or person.email, "password": person.password}
    answer = await (client or person.client).post("/auth/login", data=login)
    assert answer.status_code == 200, answer.text
    person.tokens = answer.json()
    person.headers = {"Authorization": f"Bearer {person.tokens['access_token']}"}
    return person
