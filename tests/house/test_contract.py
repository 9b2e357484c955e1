"""What `/openapi.json` promises is what is answered: Schemathesis asks every operation, over HTTP."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import one_of
from schemathesis import Case, GenerationMode
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation as AnyOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from carteira import demo
from carteira.cli import tokens
from carteira.embedded import Endpoints
from carteira.kit.web.openapi import PROBLEMS
from carteira.modules import OPTIONAL_MODULES
from carteira.settings import Settings
from tests.support.contract import openapi_document
from tests.support.databases import NewDatabase
from tests.support.resellers import standing_in
from tests.support.server import Server, running_server

EXAMPLES = 3
Operation = AnyOperation[Any, Any, Any, Any]
DOCUMENT = openapi_document()
CHECKS = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    ignored_auth,
]
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
OPERATIONS = [result.ok() for result in SCHEMA.get_all_operations() if isinstance(result, Ok)]


@pytest.fixture(scope="module")
def server(
    new_database: NewDatabase, endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("contract")
    url = new_database("contract")
    asyncio.run(demo.seed(url, OPTIONAL_MODULES))
    stores = {"redis_url": endpoints.redis_url, "aws_endpoint_url": endpoints.aws_endpoint_url}
    with standing_in() as (_, cashback):
        outside = {"base_url_cashback": cashback, "token_cashback": "the-token"}
        with running_server(home, workers=1, database_url=url, log_level="error", **stores, **outside) as running:
            yield running


@pytest.fixture(scope="module")
def token(server: Server) -> str:
    here = Settings.model_validate({"carteira_home": server.home})
    return tokens.administrator(here, ["*"], timedelta(hours=1))


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
def test_answers_are_what_the_contract_says(operation: Operation, server: Server, token: str) -> None:
    cases = one_of(operation.as_strategy(GenerationMode.POSITIVE), operation.as_strategy(GenerationMode.NEGATIVE))
    is_authorizer = "400" not in operation.responses.status_codes
    checks = [check for check in CHECKS if not (is_authorizer and check is ignored_auth)]

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def ask(case: Case[Any]) -> None:
        case.call_and_validate(
            base_url=server.url, headers={"Authorization": f"Bearer {token}"}, checks=checks, timeout=30
        )

    ask()


def test_the_whole_contract_is_asked() -> None:
    assert len(OPERATIONS) == sum(len(item) for item in DOCUMENT["paths"].values()) > 80


def test_every_operation_declares_its_problems_in_one_shape() -> None:
    reference = {"$ref": "#/components/schemas/Problem"}
    assert set(DOCUMENT["components"]["responses"]) == {f"Problem{status}" for status in PROBLEMS}
    for answer in DOCUMENT["components"]["responses"].values():
        assert answer["content"] == {"application/problem+json": {"schema": reference}}
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            declared = set(operation["responses"])
            if path == "/transactions/authorizer":
                assert declared == {"200"}
            else:
                assert {str(status) for status in PROBLEMS} <= declared, (method, path)
    assert "HTTPValidationError" not in str(DOCUMENT)
    schemes = DOCUMENT["components"]["securitySchemes"]
    needs = [need for item in DOCUMENT["paths"].values() for o in item.values() for need in o.get("security", ())]
    named = {name for need in needs for name in need}
    assert named <= set(schemes)
