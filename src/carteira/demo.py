"""Demo data for a first start: a person with what they own, and one for each role that ships. Development only."""

import importlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from carteira import identity, ledger
from carteira.kit.db.engine import Database, open_database
from carteira.kit.db.session import Tx
from carteira.kit.values.actor import Actor
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


@dataclass(frozen=True, slots=True)
class Demo:
    """A demo person: what the first start calls them, who they are, and their role."""

    title: str
    id: UUID
    person: identity.NewPerson
    role: str


def _staff(number: int, title: str, name: str, cpf: str, role: str) -> Demo:
    email = f"{name.partition(' ')[0].lower()}@exemplo.com.br"
    return Demo(title, _id(number), identity.NewPerson(name, email, cpf, date(1988, 9, 7), phone="11955550000"), role)


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
)
"""A person, two administrators, so that one can approve what the other proposes, and one of each role that ships."""


_FROM = {
    "benefits": "benefits.funding",
    "transit": "transit.top_up",
    "resellers": "resellers.cashback_spent",
}
"""The operator's account that what a module keeps for a person came from, or goes to."""

REMOVE = "execute carteira seed --remove, ou parta de um banco de dados novo"


async def found(tx: Tx) -> int:
    """Return how many demo people there are, whose password everybody knows."""
    return len(await identity.live_among(tx, [one.id for one in PEOPLE]))


async def remove(database: Database, runtime: identity.Runtime) -> int:
    """Erase the demo people in every module, once what they have has gone back where it came from; return how many.

    What they did stays in the ledger and the audit, under ids that are nobody's.

    Raises:
        MoneyRemains: something of theirs is held.
    """
    actor = Actor("command", "seed --remove")
    async with database.transaction() as tx:
        present = await identity.live_among(tx, [one.id for one in PEOPLE])
        for user_id in present:
            for account in await ledger.accounts_of_owner(tx, user_id):
                if account.balance:
                    back = ledger.system_account(_FROM[account.kind.partition(".")[0]])
                    entry = ledger.transfer("demo.removed", source=account.id, target=back, amount=account.balance)
                    await ledger.post(tx, entry, actor=actor)
            await identity.erase_demo_person(tx, runtime, user_id, actor=actor)
    return len(present)


async def seed(url: str, modules: Collection[str]) -> None:
    """Add the demo data of the modules that are on; what is there already stays as it is, however old."""
    async with open_database(url) as database, database.transaction() as tx:
        password_hash = await identity.prepare_password(PASSWORD)
        for one in PEOPLE:
            await identity.seed(tx, one.id, one.person, password_hash=password_hash, role=one.role)
        for entry in _with_demo(modules):
            await getattr(importlib.import_module(entry.door), entry.demo)(tx, PERSON_ID)
        if "benefits" in modules:
            hr = next(one.id for one in PEOPLE if one.role == "RH")
            benefits = importlib.import_module("carteira.benefits")
            await benefits.seed_operator(tx, hr, bound_by=ADMINISTRATOR_ID)


def credentials(modules: Collection[str]) -> list[str]:
    """Say in Portuguese who can sign in, and what is theirs."""
    lines = [
        f"{one.title:<14} {format_cpf(one.person.cpf or '')} ou {one.person.email}, senha {PASSWORD}" for one in PEOPLE
    ]
    return lines + [entry.demo_line for entry in _with_demo(modules)]


def _with_demo(modules: Collection[str]) -> list[ModuleEntry]:
    """List the modules that are on and have demo data."""
    return [entry for entry in REGISTRY if entry.demo and entry.name in modules]
