"""The API answers as `/openapi.json` promises: Schemathesis calls every operation over HTTP."""

import asyncio
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import jsonschema_rs
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

from benchmarks import formats
from benchmarks.generated_data import Taken, whole
from carteira import demo
from carteira.cli import tokens
from carteira.embedded import Endpoints
from carteira.kit.web.openapi import operations
from carteira.modules import OPTIONAL_MODULES
from carteira.settings import Settings
from tests.support.contract import openapi_document
from tests.support.databases import NewDatabase
from tests.support.resellers import standing_in
from tests.support.server import Server, running_server

EXAMPLES = 3
REFUSED, REFUSED_BY_CHANCE = 0.1, 2
"""The largest share of requests made to fit the schemas that the product may refuse, and how many more.

A process of a parallel run may test few operations.
"""
AUTHORIZER = "/transactions/authorizer"
SOME = "01a21c5a-0000-7000-8000-000000000000"
UNLIKE = {"/resellers", "/benefits/merchants/{name}", "/benefits/scheduled-credits"}
"""Operations that refuse data which fits the schemas.

A signed-in person sends no body to the first; the second's body repeats a name of the path; the third requires a day,
too.
"""
SAMPLES = {
    "{valid_from}": "2031-01",
    "{account}": "123",
    "{card_number}": "9076123412341234",
    "{e2eid}": "E99999999202611271200abcdefghijk",
    "{category}": "FOOD",
    "{cpf}": "52998224725",
    "{month}": "2026-10",
    "{provider}": "google",
    "{purpose}": "marketing",
    "{role_id}": "7",
    "{claim_id}": "7",
    "{day}": "2026-10-31",
    "{kind}": "email",
    "{slug}": "cpf",
}
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
formats.register(DOCUMENT)
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


@pytest.fixture(scope="module")
def taken() -> Iterator[Taken]:
    """Count the outcomes of requests that fit the schemas; nearly all of this process must be accepted."""
    counted = Taken()
    yield counted
    most = REFUSED * (counted.taken + counted.refused) + REFUSED_BY_CHANCE
    assert counted.refused < most, counted.rules.most_common(10)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
def test_answers_match_the_contract(operation: Operation, server: Server, token: str, taken: Taken) -> None:
    cases = one_of(operation.as_strategy(GenerationMode.POSITIVE), operation.as_strategy(GenerationMode.NEGATIVE))
    is_authorizer = operation.path.startswith(AUTHORIZER)
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
        answer = case.call_and_validate(
            base_url=server.url, headers={"Authorization": f"Bearer {token}"}, checks=checks, timeout=30
        )
        if case.meta is not None and case.meta.generation.mode.is_positive and case.body == whole(case.body):
            taken.count(answer)

    ask()


def test_the_whole_contract_is_asked() -> None:
    assert len(OPERATIONS) == sum(len(item) for item in DOCUMENT["paths"].values()) > 80


def test_every_operation_declares_its_problems_in_one_shape() -> None:
    schema = {"$ref": "#/components/schemas/Problem"}
    examples = DOCUMENT["components"]["examples"]
    for path, method, operation in operations(DOCUMENT):
        problems = {status: answer for status, answer in operation["responses"].items() if status >= "400"}
        if path.startswith(AUTHORIZER):
            assert set(operation["responses"]) == {"200"}
            continue
        assert {"400", "422", "503"} <= set(problems), (method, path)
        for status, answer in problems.items():
            media = answer["content"].get("application/problem+json")
            if media is None:
                continue  # a page, or an answer with its own shape: `/health/ready`
            assert media["schema"] == schema, (method, path)
            for code, reference in media.get("examples", {}).items():
                assert reference == {"$ref": f"#/components/examples/{code}"}
                assert examples[code]["value"]["code"] == code
                assert int(status) == examples[code]["value"]["status"] or code == "insufficient_funds"
    assert "HTTPValidationError" not in str(DOCUMENT)
    schemes = DOCUMENT["components"]["securitySchemes"]
    needs = [need for _, _, o in operations(DOCUMENT) for need in o.get("security", ())]
    assert {name for need in needs for name in need} <= set(schemes)


def test_operations_declare_their_possible_problems_and_no_others() -> None:
    def codes(method: str, path: str) -> set[str]:
        answers = DOCUMENT["paths"][path][method]["responses"].values()
        media = [answer.get("content", {}).get("application/problem+json", {}) for answer in answers]
        return {code for one in media for code in one.get("examples", {})}

    assert codes("get", "/health") == {"invalid_input", "request_timed_out", "unknown_api_version"}
    assert {"precondition_required", "record_changed"} <= codes("put", "/credit/{cpf}/base-b")
    assert {"insufficient_funds", "card_of_another", "idempotency_key_reused"} <= codes(
        "post", "/transport-cards/{card_number}/debit"
    )
    assert not {"forbidden", "looks_used_up", "unsupported_media_type"} & codes("post", "/transport-cards")
    told = [len(codes(method, path)) for path, method, _ in operations(DOCUMENT)]
    assert sum(told) / len(told) < 15


def test_names_are_those_of_a_pleasant_client() -> None:
    identifiers = [operation["operationId"] for _, _, operation in operations(DOCUMENT)]
    assert len(set(identifiers)) == len(identifiers), "name one by `operation_id`"
    assert all(re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name) for name in identifiers)
    assert all(re.fullmatch(r"[A-Z][A-Za-z0-9]*", name) for name in DOCUMENT["components"]["schemas"])
    assert '"title": "' not in json.dumps(DOCUMENT["components"]["schemas"])
    used = {tag for _, _, operation in operations(DOCUMENT) for tag in operation["tags"]}
    assert used == {tag["name"] for tag in DOCUMENT["tags"]}
    assert DOCUMENT["servers"] == [{"url": "http://localhost:8000", "description": "Este servidor"}]


def test_operations_that_return_an_id_link_to_those_that_take_it() -> None:
    links = DOCUMENT["paths"]["/documents"]["post"]["responses"]["201"]["links"]
    assert links["get_document"]["parameters"] == {"document_id": "$response.body#/id"}
    waiting = DOCUMENT["paths"]["/benefits/credits"]["post"]["responses"]["202"]["links"]
    assert waiting["approve_pending"]["parameters"] == {"operation_id": "$response.body#/pending/id"}
    file = DOCUMENT["paths"]["/benefits/accounts/bulk"]["post"]["responses"]["201"]["links"]
    assert file["get_import"]["parameters"] == file["get_import_lines"]["parameters"]
    assert file["get_import"]["parameters"] == {"import_id": "$response.body#/id"}
    credit = DOCUMENT["paths"]["/benefits/accounts/{account}/credits"]["post"]["responses"]["201"]["links"]
    assert credit["get_entry"]["parameters"] == {"entry_id": "$response.body#/entry_id"}
    recharge = DOCUMENT["paths"]["/transport-cards/{card_number}/recharge"]["post"]["responses"]["202"]["links"]
    assert recharge["get_charge"]["parameters"] == {"charge_id": "$response.body#/charge/id"}
    known = {operation["operationId"] for _, _, operation in operations(DOCUMENT)}
    answers = [answer for _, _, operation in operations(DOCUMENT) for answer in operation["responses"].values()]
    linked = [link["operationId"] for answer in answers for link in answer.get("links", {}).values()]
    assert set(linked) <= known
    assert len(linked) > 30


def examples() -> Iterator[tuple[str, Any, Any]]:
    """Return each whole example of a body or an answer in JSON, with its schema."""
    for path, method, operation in operations(DOCUMENT):
        answers = [answer for status, answer in operation["responses"].items() if status < "300"]
        for told in (operation.get("requestBody", {}), *answers):
            media = told.get("content", {}).get("application/json", {})
            if media.get("schema"):
                yield f"{method} {path}", media.get("example"), media["schema"]


def test_every_body_and_answer_has_a_whole_example_that_its_schema_takes() -> None:
    wrong = []
    for name, example, schema in examples():
        validator = jsonschema_rs.validator_for(schema | {"components": DOCUMENT["components"]}, validate_formats=True)
        wrong += [f"{name}: {error.message}" for error in validator.iter_errors(example)]
    assert not wrong


@pytest.mark.timeout(600)
def test_the_whole_example_of_every_body_is_taken(server: Server, token: str) -> None:
    """Only validation is tested: the ids and states in the examples are other people's, or nobody's."""
    refused = []
    with httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {token}"}, timeout=60) as client:
        for path, method, operation in operations(DOCUMENT):
            media = operation.get("requestBody", {}).get("content", {}).get("application/json")
            if media is None or path == AUTHORIZER:
                continue
            if path in UNLIKE:
                continue
            url = re.sub(r"\{\w+\}", lambda place: SAMPLES.get(place[0], SOME), path)
            answer = client.request(method, url, json=media["example"])
            if answer.status_code == 422 and answer.json()["code"] == "invalid_input":
                refused.append(f"{method} {path}: {answer.json().get('errors', answer.json()['detail'])}")
    assert not refused, "\n".join(refused)
