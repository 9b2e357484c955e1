"""How much of what a generator makes of `/openapi.json` the operations take: what schemas say and validation demands.

    python -m benchmarks.generated_data http://localhost:8000 "$(carteira token --claims '*')"

Schemathesis makes bodies and queries that fit an operation's schema; what is answered 422 was refused for a rule that
the schema does not tell. For a development server whose data may be thrown away. Deletions are left out.
"""

import argparse
from collections import Counter
from typing import Any

import httpx
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation

LEFT_OUT = ("/transactions/authorizer", "/auth/", "/password-recovery")
"""Always 200, or limited by how often somebody asks."""


def measure(url: str, token: str, examples: int) -> dict[str, Counter[bool]]:
    """Ask each operation; return by its name how often it took what was generated."""
    document: dict[str, Any] = httpx.get(f"{url}/openapi.json", timeout=30).json()
    found: dict[str, Counter[bool]] = {}
    for result in schemathesis.openapi.from_dict(document).get_all_operations():
        if not isinstance(result, Ok):
            continue
        operation = result.ok()
        if operation.method.upper() == "DELETE" or operation.path.startswith(LEFT_OUT):
            continue
        _ask(operation, found.setdefault(operation.label, Counter()), url, token, examples)
    return found


def _ask(operation: APIOperation[Any, Any, Any, Any], counted: Counter[bool], url: str, token: str, most: int) -> None:
    @settings(
        max_examples=most,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(GenerationMode.POSITIVE))
    def ask(case: Case[Any]) -> None:
        answer = case.call(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=30)
        counted[answer.status_code != httpx.codes.UNPROCESSABLE_ENTITY] += 1

    ask()


def main() -> None:
    """Measure, and print what is mostly refused and the whole."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("url")
    parser.add_argument("token")
    parser.add_argument("--examples", type=int, default=20)
    asked = parser.parse_args()
    found = measure(asked.url.rstrip("/"), asked.token, asked.examples)
    shares = {label: counted[True] / counted.total() for label, counted in found.items() if counted}
    for label, share in sorted(shares.items(), key=lambda item: item[1]):
        if share < 1:
            print(f"{share:6.0%}  {label}")
    whole = sum(shares.values()) / len(shares)
    mostly = sum(share < 0.5 for share in shares.values())  # noqa: PLR2004 - the half
    print(f"{len(shares)} operations, {whole:.0%} taken on average, {mostly} mostly refused")


if __name__ == "__main__":
    main()
