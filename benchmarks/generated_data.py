"""The share of generated data that the operations of `/openapi.json` take: schemas beside validation's demands.

    python -m benchmarks.generated_data http://localhost:8000 "$(carteira token --claims '*')"

Schemathesis makes bodies and queries that fit an operation's schema. An answer of 422 means a rule that the schema does
not state; the rules that refused most are printed beside it. Data that are refused for the state of the server, and not
for their form, count as taken. JSON Schema takes `1.0` for an integer, and a strict reader of money does not: such
numbers are sent as `1`. Run it on a development server whose data may be lost. Deletions are left out.

No schema can state these rules, which refuse half or more of an operation's data: tiers that grow (`PUT
/cashback/tiers`); the caller, where a person who has signed in sends no body (`POST /resellers`) and names the client
that the endpoint is for (`POST /webhooks`). These refuse less: a day within a year of today, a period that ends after
it begins, headers and amounts that exclude each other.
"""

import argparse
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation

from benchmarks import formats

LEFT_OUT = ("/transactions/authorizer", "/auth/", "/password-recovery")
"""Operations that always answer 200, or are limited by how often they are called."""
OF_STATE = frozenset(
    {
        "bulk_rejected",
        "idempotency_key_reused",
        "insufficient_data",
        "person_is_minor",
        "unknown_category",
        "unknown_filter",
        "unknown_reseller",
        "wrong_claim_code",
        "wrong_current_password",
    }
)
"""Codes that come with 422 and depend on the data: another key, category, code or person would succeed."""
_TOLD = 3


@dataclass
class Taken:
    """The outcomes of an operation's generated data: how many were accepted, and which rules refused the others."""

    taken: int = 0
    refused: int = 0
    rules: Counter[str] = field(default_factory=Counter)

    @property
    def share(self) -> float:
        """Return the accepted share, from 0 to 1; 1 if there was no data."""
        asked = self.taken + self.refused
        return self.taken / asked if asked else 1.0

    def count(self, answer: httpx.Response | Any) -> None:  # noqa: ANN401 - Schemathesis' answer is like httpx's
        """Count an answer."""
        problem = answer.json() if answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY else {}
        if not problem or problem["code"] in OF_STATE:
            self.taken += 1
            return
        self.refused += 1
        broken = [f"{one['field']}: {one['message']}" for one in problem.get("errors", ())]
        self.rules.update(broken or [f"{problem['code']}: {problem['detail']}"])


def measure(url: str, token: str, examples: int) -> dict[str, Taken]:
    """Call each operation; return the outcomes of its generated data by its name."""
    document: dict[str, Any] = httpx.get(f"{url}/openapi.json", timeout=30).json()
    formats.register(document)
    found: dict[str, Taken] = {}
    for result in schemathesis.openapi.from_dict(document).get_all_operations():
        if not isinstance(result, Ok):
            continue
        operation = result.ok()
        if operation.method.upper() == "DELETE" or operation.path.startswith(LEFT_OUT):
            continue
        _ask(operation, found.setdefault(operation.label, Taken()), url, token, examples)
    return found


def whole(sent: Any) -> Any:  # noqa: ANN401 - any JSON
    """Write whole numbers without a decimal point."""
    if isinstance(sent, dict):
        return {name: whole(inner) for name, inner in sent.items()}
    if isinstance(sent, list):
        return [whole(inner) for inner in sent]
    return int(sent) if isinstance(sent, float) and sent.is_integer() else sent


def _ask(operation: APIOperation[Any, Any, Any, Any], counted: Taken, url: str, token: str, most: int) -> None:
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
        case.body = whole(case.body)
        counted.count(case.call(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=30))

    ask()


def main() -> None:
    """Measure, and print what was refused, by which rules, and the total."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("url")
    parser.add_argument("token")
    parser.add_argument("--examples", type=int, default=20)
    asked = parser.parse_args()
    found = measure(asked.url.rstrip("/"), asked.token, asked.examples)
    for label, counted in sorted(found.items(), key=lambda item: item[1].share):
        if counted.refused:
            rules = "; ".join(f"{rule} ({times})" for rule, times in counted.rules.most_common(_TOLD))
            print(f"{counted.share:6.0%}  {label}  {rules}")
    shares = [counted.share for counted in found.values()]
    mostly = sum(share < 0.5 for share in shares)  # noqa: PLR2004 - one half
    print(f"{len(shares)} operations, {sum(shares) / len(shares):.0%} taken on average, {mostly} mostly refused")


if __name__ == "__main__":
    main()
