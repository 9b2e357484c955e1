"""The demo people as plain data, which is printed at the start. `demo` writes them to a database."""

from collections.abc import Collection
from datetime import date
from typing import NamedTuple
from uuid import UUID

from carteira.kit.values.cpf import format_cpf
from carteira.modules import REGISTRY, ModuleEntry

PERSON_ID = UUID("01980000-0000-7000-8000-000000000001")
ADMINISTRATOR_ID = UUID("01980000-0000-7000-8000-000000000002")
PASSWORD = "Girassol7amarelo"  # noqa: S105 - printed at every start, and never seeded in production


class DemoPerson(NamedTuple):
    """The fields of `identity.NewPerson`, in its order."""

    full_name: str
    email: str
    cpf: str
    birth_date: date
    phone: str


PERSON = DemoPerson("Maria da Silva", "maria@exemplo.com.br", "52998224725", date(1990, 5, 17), "11987654321")
ADMINISTRATOR = DemoPerson("Ana Pereira", "admin@exemplo.com.br", "11144477735", date(1985, 2, 1), "11912345678")


class Demo(NamedTuple):
    """A demo person: their title at the first start, their data, and their role."""

    title: str
    id: UUID
    person: DemoPerson
    role: str


def _staff(number: int, title: str, name: str, cpf: str, role: str) -> Demo:
    email = f"{name.partition(' ')[0].lower()}@exemplo.com.br"
    return Demo(title, _id(number), DemoPerson(name, email, cpf, date(1988, 9, 7), "11955550000"), role)


def _id(number: int) -> UUID:
    return UUID(int=PERSON_ID.int - 1 + number)


PEOPLE = (
    Demo("pessoa", PERSON_ID, PERSON, "cidadão"),
    Demo("administradora", ADMINISTRATOR_ID, ADMINISTRATOR, "administrador"),
    _staff(3, "administrador", "Bruno Costa", "21837465053", "administrador"),
    _staff(4, "RH", "Clara Nunes", "32748591097", "RH"),
    _staff(5, "atendente", "Davi Rocha", "43659612090", "atendente"),
    _staff(6, "aprovadora", "Elisa Prado", "54560723192", "aprovador"),
    _staff(7, "de crédito", "Fabio Teles", "65471834240", "analista de crédito"),
    _staff(8, "auditora", "Gilda Souza", "76382945307", "auditor"),
    _staff(9, "revendedora", "Helena Dias", "87493056200", "cidadão"),
)
"""A person; two administrators, so that one can approve the other's operations; one person of each shipped role; and a
reseller.
"""
RESELLER_ID = PEOPLE[-1].id


def credentials(modules: Collection[str]) -> list[str]:
    """Return lines in Portuguese: who can sign in, and their demo data."""
    lines = [f"{one.title:<14} {format_cpf(one.person.cpf)} ou {one.person.email}, senha {PASSWORD}" for one in PEOPLE]
    return lines + [entry.demo_line for entry in with_demo(modules)]


def with_demo(modules: Collection[str]) -> list[ModuleEntry]:
    """List the modules that are on and have demo data."""
    return [entry for entry in REGISTRY if entry.demo and entry.name in modules]
