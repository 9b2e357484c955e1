"""Another person's token opens nobody's objects: a stranger calls every route that names an object."""

import re
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from carteira import demo
from carteira.embedded import Endpoints
from carteira.modules import OPTIONAL_MODULES
from tests.support import files
from tests.support.app import RunningApp, running_app, settings_for
from tests.support.contract import openapi_document
from tests.support.databases import NewDatabase
from tests.support.people import Person
from tests.support.things import PathIds, make_one_of_each, sign_in_demo

PATHS = openapi_document()["paths"]
NO_OBJECTS = {
    # What these name belongs to the operator or to everybody, and to no person.
    "/auth/{provider}/login",
    "/auth/{provider}/callback",
    "/documents/proofs/{token}",  # the link itself is the permission
    "/documents/{document_id}/file",  # GET goes by its link; PUT is called below
    "/users/me/consents/{purpose}",
    "/users/me/contacts/{kind}/confirmation",
}
OPERATIONS = [
    (method.upper(), path)
    for path, operations in PATHS.items()
    if "{" in path and path not in NO_OBJECTS
    for method in operations
] + [("PUT", "/documents/{document_id}/file")]

USER = {"full_name": "Outro Nome", "email": "outro@exemplo.com.br"}
BODIES: dict[str, object] = {
    "POST /transport-cards/{card_number}/recharge": {"amount": 1},
    "POST /transport-cards/{card_number}/debit": {"amount": 1},
    "PUT /documents/{document_id}": {"document_type": "RG", "document_number": "1234567"},
    "POST /benefits/accounts/{account}/claim/confirm": {"code": "12345678"},
    "PUT /purchases/{purchase_id}": {"code": "novo", "amount": 1, "date": "2026-01-15", "cpf": demo.PERSON.cpf},
    "PUT /users/{user_id}": USER,
    "PATCH /users/{user_id}": {"full_name": "Outro Nome"},
    "PATCH /auth/passkeys/{passkey_id}": {"name": "minha"},
}


@pytest.fixture(scope="module")
async def app(
    new_database: NewDatabase, endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RunningApp]:
    url = new_database("objects")
    await demo.seed(url, OPTIONAL_MODULES)
    settings = settings_for(
        tmp_path_factory.mktemp("objects"),
        database_url=url,
        redis_url=endpoints.redis_url,
        aws_endpoint_url=endpoints.aws_endpoint_url,
    )
    async with running_app(settings) as running:
        yield running


@pytest.fixture(scope="module")
async def things(app: RunningApp) -> PathIds:
    """The ids of one object of each kind that Maria owns, by the names of path parameters."""
    return await make_one_of_each(app, await sign_in_demo(app, demo.PEOPLE[0]))


async def _ask(who: Person, method: str, path: str, things: PathIds) -> httpx.Response:
    of_nobody = ("import_id", "scheduled_id", "tap_id", "charge_id", "adjustment_id", "version", "request_id")
    named = dict.fromkeys(of_nobody, str(uuid4()))
    named |= {"e2eid": "E" * 32, "day": "2026-11-01"} | things
    if path.startswith("/auth/social/"):
        named["account_id"] = things["social"]
    url = re.sub(r"\{(\w+)\}", lambda found: named[found[1]], path)
    body: dict[str, Any] = {"json": BODIES[f"{method} {path}"]} if f"{method} {path}" in BODIES else {}
    if path.endswith("/file"):
        body = {"files": {"file": ("a.pdf", files.pdf(2_000))}}
    return await who.client.request(method, url, headers=who.headers, **body)


@pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=str)
async def test_a_stranger_opens_nothing(app: RunningApp, things: PathIds, method: str, path: str) -> None:
    answer = await _ask(app.person(), method, path, things)
    assert answer.status_code in {403, 404}, f"{answer.status_code} {answer.text}"


async def test_requested_objects_are_still_there(app: RunningApp, things: PathIds) -> None:
    maria = app.person(user_id=demo.PERSON_ID)
    for path in (
        "/benefits/accounts/{account}",
        "/ledger/accounts/{account_id}",
        "/transactions/{transaction_id}",
        "/documents/{document_id}",
        "/transport-cards/{card_number}/history",
        "/users/{user_id}",
        "/pending/{operation_id}",
    ):
        assert (await _ask(maria, "GET", path, things)).status_code == 200, path


def test_the_exceptions_are_existing_routes() -> None:
    assert set(PATHS) >= NO_OBJECTS
