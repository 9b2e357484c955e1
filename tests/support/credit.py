"""Credit: analysts, and whole examples of each base."""

from typing import Any
from uuid import UUID

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
