"""What the tests of credit share: CPFs nobody has, a desk's hands, and whole examples of each base."""

import itertools
import secrets
from typing import Any

import httpx
from validate_docbr import CPF

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
_rules = CPF()
_numbers = itertools.count(secrets.randbelow(800_000_000) + 100_000_000)


def new_cpf() -> str:
    """Make a valid CPF that no other test uses."""
    base = [int(digit) for digit in f"{next(_numbers) % 1_000_000_000:09d}"]
    for _ in range(2):
        base.append(sum(d * w for d, w in zip(base, range(len(base) + 1, 1, -1), strict=True)) * 10 % 11 % 10)
    cpf = "".join(map(str, base))
    assert _rules.validate(cpf)
    return cpf


class Desk:
    """A credit desk: calls with a token, and with the purpose where one is asked for."""

    def __init__(self, client: httpx.AsyncClient, token: str) -> None:
        self.client = client
        self.headers = {"Authorization": f"Bearer {token}"}

    async def call(self, method: str, path: str, **more: Any) -> httpx.Response:  # noqa: ANN401 - httpx's own
        headers = self.headers | PURPOSE | more.pop("headers", {})
        return await self.client.request(method, path, headers=headers, **more)

    async def fill(self, cpf: str, base_a: dict[str, Any] | None = None) -> None:
        for base, content in (("base-a", base_a or BASE_A), ("base-b", BASE_B)):
            response = await self.call("PUT", f"/credit/{cpf}/{base}", json=content)
            assert response.status_code == 201, response.text
