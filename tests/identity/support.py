"""What identity's tests share: a server in one process, people, and the jobs' worker."""

import random
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import httpx
from procrastinate import App, PsycopgConnector
from validate_docbr import CPF

from carteira.app import modules_of
from carteira.http_server.application import Application
from carteira.kit.db import jobs
from carteira.kit.db.engine import Database
from carteira.kit.security import tokens
from carteira.settings import Settings

PASSWORD = "Girassol7amarelo"


@dataclass
class Server:
    """The application in one process, and a client at one address."""

    app: Application
    settings: Settings
    http: httpx.AsyncClient
    database: Database

    def at(self, address: str) -> httpx.AsyncClient:
        """A client without cookies at an address."""
        transport = httpx.ASGITransport(self.app, client=(address, 1))
        return httpx.AsyncClient(transport=transport, base_url="http://carteira")

    def operator(self, *claims: str) -> dict[str, str]:
        """Headers with a developer's token of these claims."""
        key = tokens.load_or_create_key(self.settings.carteira_home / "keys" / "access-token.pem")
        token = tokens.sign(key, subject=str(UUID(int=7)), ttl_seconds=60, claims={"claims": list(claims)})
        return {"Authorization": f"Bearer {token}"}

    async def work_off(self) -> None:
        """Run the jobs that wait."""
        app = App(connector=PsycopgConnector(conninfo=self.settings.database(), min_size=1, max_size=2))
        for module in modules_of(self.settings):
            if module.jobs is not None and module.name == "identity":
                jobs.add_tasks(app, module.jobs, namespace=module.name)
        async with app.open_async():
            await app.run_worker_async(
                wait=False,
                install_signal_handlers=False,
                delete_jobs="successful",
                additional_context={"database": self.database, "settings": self.settings},
            )


@dataclass
class Person:
    """A registered person and, once signed in, their tokens."""

    id: str
    email: str
    cpf: str
    password: str = PASSWORD
    tokens: dict[str, Any] = field(default_factory=dict)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens['access_token']}"}


def address() -> str:
    return f"10.{random.randrange(256)}.{random.randrange(256)}.{random.randrange(1, 255)}"


def new_person() -> dict[str, str]:
    number = random.randrange(10**12)
    return {
        "full_name": "Maria Açucena da Silva",
        "email": f"maria.{number}@exemplo.com.br",
        "cpf": CPF().generate(),
        "birth_date": "1990-05-17",
        "phone": "11987654321",
        "password": PASSWORD,
    }


async def register(server: Server) -> Person:
    body = new_person()
    answer = await server.http.post("/users/register", json=body)
    assert answer.status_code == 201, answer.text
    return Person(answer.json()["id"], body["email"], body["cpf"])


async def sign_in(server: Server, person: Person, http: httpx.AsyncClient | None = None) -> Person:
    answer = await (http or server.http).post("/auth/login", data={"username": person.cpf, "password": person.password})
    assert answer.status_code == 200, answer.text
    person.tokens = answer.json()
    return person
