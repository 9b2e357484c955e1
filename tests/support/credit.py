"""Credit: analysts, and complete examples of each base."""

import json
from datetime import date
from typing import Any
from uuid import UUID

from carteira.credit import versions
from carteira.credit.score import load, shipped_text
from carteira.kit.db.engine import Database
from carteira.kit.values.actor import Actor
from tests.support.app import RunningApp
from tests.support.people import Person

ADDRESS = {"street": "Rua das Laranjeiras", "number": "10", "city": "Rio de Janeiro", "state": "RJ"}
BASE_A = {
    "name": "Zulmira Plantada da Silva",
    "address": ADDRESS | {"postal_code": "22240-003"},
    "debts": [{"creditor": "Banco Plantado S.A.", "amount": 123_456, "due_date": "2026-12-01", "contract": "CT-7788"}],
}
BASE_B = {
    "birth_date": "1985-04-12",
    "address": ADDRESS,
    "assets": [
        {"kind": "vehicle", "description": "Gol 2015", "amount": 3_500_000},
        {"kind": "savings", "description": "Poupança", "amount": 1_200_000},
    ],
    "income_sources": [{"description": "Salário", "monthly_amount": 480_000}],
}
MEASURES: dict[str, Any] = {
    "learnt_from": 7_000,
    "held_out": 3_000,
    "auc": 0.7412,
    "ks": 0.36,
    "brier": 0.11,
    "psi": 0.001,
    "default_rate": 0.15,
    "bands": {
        "A": {"share": 0.1, "default_rate": 0.0},
        "B": {"share": 0.2, "default_rate": 0.05},
        "C": {"share": 0.3, "default_rate": 0.1},
        "D": {"share": 0.2, "default_rate": 0.2},
        "E": {"share": 0.2, "default_rate": 0.4},
    },
}
PURPOSE = {"X-Purpose": "credit_analysis"}


def analyst_of(app: RunningApp, *claims: str, user_id: UUID | None = None) -> Person:
    """Return a person with these claims who states a purpose with every request."""
    person = app.person(*claims, user_id=user_id)
    person.headers |= PURPOSE
    return person


async def fill_bases(analyst: Person, cpf: str, base_a: dict[str, Any] | None = None) -> None:
    """Write the examples of base A and base B for a CPF."""
    for base, content in (("base-a", base_a or BASE_A), ("base-b", BASE_B)):
        response = await analyst.call("PUT", f"/credit/{cpf}/{base}", json=content)
        assert response.status_code == 201, response.text


async def store_model(database: Database, name: str, points: int) -> str:
    """Store a model that adds so many points to, or takes them from, everybody's score; return its version."""
    content = json.loads(shipped_text())
    changed = {"base_points": content["base_points"] + points, "model_version": f"scorecard-{name}{points}"}
    values: dict[str, Any] = {
        "card": json.dumps(content | changed),
        "origin": "outcomes",
        "people": 10_000,
        "figures": versions.figures_of(MEASURES),
        "outcomes_from": date(2025, 1, 7),
        "outcomes_until": date(2026, 1, 7),
    }
    async with database.transaction() as tx:
        await versions.store(tx, values, actor=Actor("command", "test"))
    return load(values["card"]).model_version
