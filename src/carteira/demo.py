"""Demo data for a first start: a person with what they own, and an administrator. Development only."""

import importlib
from collections.abc import Collection
from datetime import date
from uuid import UUID

from carteira import identity
from carteira.kit.db.engine import open_database
from carteira.kit.values.cpf import format_cpf
from carteira.modules import REGISTRY, ModuleEntry

PERSON_ID = UUID("01980000-0000-7000-8000-000000000001")
ADMINISTRATOR_ID = UUID("01980000-0000-7000-8000-000000000002")
PASSWORD = "Girassol7amarelo"  # noqa: S105 - printed at every start, and never seeded in production
PERSON = identity.NewPerson(
    "Maria da Silva", "maria@exemplo.com.br", "52998224725", date(1990, 5, 17), phone="11987654321"
)
ADMINISTRATOR = identity.NewPerson(
    "Ana Pereira", "admin@exemplo.com.br", "11144477735", date(1985, 2, 1), phone="11912345678"
)


async def seed(url: str, modules: Collection[str]) -> None:
    """Add the demo data of the modules that are on; what is there already stays as it is, however old."""
    async with open_database(url) as database, database.transaction() as tx:
        await identity.seed(tx, PERSON_ID, PERSON, password=PASSWORD, role="cidadão")
        await identity.seed(tx, ADMINISTRATOR_ID, ADMINISTRATOR, password=PASSWORD, role="administrador")
        for entry in _with_demo(modules):
            await getattr(importlib.import_module(entry.door), entry.demo)(tx, PERSON_ID)


def credentials(modules: Collection[str]) -> list[str]:
    """Say in Portuguese who can sign in, and what is theirs."""
    lines = [
        f"{title:<14} {format_cpf(person.cpf or '')} ou {person.email}, senha {PASSWORD}"
        for title, person in (("pessoa", PERSON), ("administradora", ADMINISTRATOR))
    ]
    return lines + [entry.demo_line for entry in _with_demo(modules)]


def _with_demo(modules: Collection[str]) -> list[ModuleEntry]:
    """List the modules that are on and have demo data."""
    return [entry for entry in REGISTRY if entry.demo and entry.name in modules]
