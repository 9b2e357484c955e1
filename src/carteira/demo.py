"""Demo data for a first start: a person with accounts and cards, and one for each shipped role. Development only."""

import importlib
from collections.abc import Collection

from carteira import identity, ledger
from carteira.demo_people import (
    ADMINISTRATOR,
    ADMINISTRATOR_ID,
    PASSWORD,
    PEOPLE,
    PERSON,
    PERSON_ID,
    RESELLER_ID,
    with_demo,
)
from carteira.kit.db.engine import Database, open_database
from carteira.kit.db.session import Tx
from carteira.kit.values.actor import Actor

__all__ = [
    "ADMINISTRATOR",
    "ADMINISTRATOR_ID",
    "PASSWORD",
    "PEOPLE",
    "PERSON",
    "PERSON_ID",
    "REMOVE",
    "RESELLER_ID",
    "found",
    "remove",
    "seed",
]

_FROM = {
    "benefits": "benefits.funding",
    "transit": "transit.top_up",
    "resellers": "resellers.cashback_spent",
}
"""The operator's account that a demo person's money in a module came from and returns to."""

REMOVE = "execute carteira seed --remove, ou parta de um banco de dados novo"


async def found(tx: Tx) -> int:
    """Count the demo people, whose password is public."""
    return len(await identity.live_among(tx, [one.id for one in PEOPLE]))


async def remove(database: Database, runtime: identity.Runtime) -> int:
    """Move the demo people's money back to its source, and erase them in every module; return how many there were.

    Their acts stay in the ledger and the audit, under pseudonyms.

    Raises:
        MoneyRemains: an amount of theirs is held.
    """
    actor = Actor("command", "seed --remove")
    async with database.transaction() as tx:
        present = await identity.live_among(tx, [one.id for one in PEOPLE])
        for user_id in present:
            await importlib.import_module("carteira.resellers").remove_reseller(tx, user_id)
            for account in await ledger.accounts_of_owner(tx, user_id):
                if account.balance:
                    back = ledger.system_account(_FROM[account.kind.partition(".")[0]])
                    entry = ledger.transfer("demo.removed", source=account.id, target=back, amount=account.balance)
                    await ledger.post(tx, entry, actor=actor)
            await identity.erase_demo_person(tx, runtime, user_id, actor=actor)
    return len(present)


async def seed(url: str, modules: Collection[str]) -> None:
    """Add the demo data of the modules that are on; existing data are unchanged."""
    async with open_database(url) as database, database.transaction() as tx:
        password_hash = await identity.prepare_password(PASSWORD)
        for one in PEOPLE:
            person = identity.NewPerson(*one.person)
            await identity.seed(tx, one.id, person, password_hash=password_hash, role=one.role)
        for entry in with_demo(modules):
            await getattr(importlib.import_module(entry.door), entry.demo)(tx, PERSON_ID)
        if "benefits" in modules:
            hr = next(one.id for one in PEOPLE if one.role == "RH")
            benefits = importlib.import_module("carteira.benefits")
            await benefits.seed_operator(tx, hr, bound_by=ADMINISTRATOR_ID)
        if "resellers" in modules:
            approver = next(one.id for one in PEOPLE if one.role == "aprovador")
            resellers = importlib.import_module("carteira.resellers")
            await resellers.seed_reseller(tx, RESELLER_ID, approver_id=approver)
