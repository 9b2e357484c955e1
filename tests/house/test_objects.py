"""Another person's token opens nobody's things: every route that names an object is asked by a stranger."""

import re
import secrets
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from joserfc.jwk import OctKey
from sqlalchemy import text

from carteira import demo
from carteira.benefits.models import FIRST_EMPLOYER
from carteira.embedded import Endpoints
from carteira.modules import OPTIONAL_MODULES
from tests.support import files
from tests.support.app import RunningApp, running_app, settings_for
from tests.support.benefits import AUTHORIZER, processor_token, purchase
from tests.support.contract import openapi_document
from tests.support.databases import NewDatabase
from tests.support.people import Person

PATHS = openapi_document()["paths"]
NO_OBJECTS = {
    # What these name is the operator's or the world's, and belongs to no person.
    "/auth/{provider}/login",
    "/auth/{provider}/callback",
    "/documents/proofs/{token}",  # the link itself is the right to look
    "/documents/{document_id}/file",  # GET by its link; PUT is asked below
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
Things = dict[str, str]


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


async def _insert(app: RunningApp, statement: str, **values: object) -> str:
    made = uuid4()
    async with app.database.transaction() as tx:
        await tx.execute(text(statement), {"id": made, "user_id": demo.PERSON_ID, **values})
    return str(made)


@pytest.fixture(scope="module")
async def things(app: RunningApp) -> Things:
    """One of everything that Maria owns, by the name under which paths know it."""
    credentials = {"username": demo.PERSON.cpf, "password": demo.PASSWORD}
    session = (await app.client.post("/auth/login", data=credentials)).json()
    maria = Person(app.client, demo.PERSON_ID, {"authorization": f"Bearer {session['access_token']}"})
    operator = app.operator()
    processor = {"authorization": f"Bearer {processor_token(_secret(app))}"}
    await app.client.post(AUTHORIZER, content=purchase("123", "1.00"), headers=processor)
    document = await maria.post("/documents", {"document_type": "RG", "document_number": "1234567"})
    assert (await maria.post("/resellers")).status_code == 201
    bought = {"code": f"c-{uuid4()}", "amount": 500, "date": "2026-01-15", "cpf": demo.PERSON.cpf}
    made = await operator.post("/purchases", bought)
    assert made.status_code == 201, made.text
    transaction = (await maria.get("/transactions")).json()["items"][0]["id"]
    async with app.database.transaction() as tx:
        account = await tx.scalar(
            text("SELECT id FROM ledger_accounts WHERE owner_id = :user_id LIMIT 1"), {"user_id": demo.PERSON_ID}
        )
    passkey = await _insert(
        app,
        "INSERT INTO passkeys (id, user_id, credential_id, public_key, sign_count, backed_up, name, created_at)"
        " VALUES (:id, :user_id, :key, :key, 0, false, 'Dela', now())",
        key=secrets.token_bytes(16),
    )
    social = await _insert(
        app,
        "INSERT INTO social_accounts (id, user_id, provider, subject, created_at)"
        " VALUES (:id, :user_id, 'google', 'dela', now())",
    )
    operation = await _insert(
        app,
        "INSERT INTO pending_operations (id, kind, payload, summary, amount, maker_kind, maker_id, gaining_users,"
        " gaining_cpfs, status, created_at, expires_at) VALUES (:id, 'benefits.credit', '{}', 'Creditar', 1, 'person',"
        " CAST(CAST(:user_id AS uuid) AS text), '{}', '{}', 'pending', now(), now() + interval '1 day')",
    )
    return {
        "operation_id": operation,
        "account": "123",
        "account_id": str(account),
        "entry_id": transaction,
        "transaction_id": transaction,
        "document_id": document.json()["id"],
        "purchase_id": made.json()["id"],
        "card_number": (await maria.get("/transport-cards")).json()["items"][0]["card_number"],
        "user_id": str(demo.PERSON_ID),
        "session_id": (await maria.get("/auth/sessions")).json()["items"][0]["id"],
        "passkey_id": passkey,
        "cpf": str(demo.PERSON.cpf),
        "client_id": str(uuid4()),
        "credential_id": str(uuid4()),
        "employer_id": str(FIRST_EMPLOYER),
        "member_id": str(demo.PERSON_ID),
        # What is the operators': a stranger lacks the claim, whatever is named.
        "claim_id": "1",
        "role_id": "1",
        "category": "FOOD",
        "name": "UBER EATS",
        "slug": "esqueci-senha",
        "month": "2026-01",
        "valid_from": "2026-01",
        "approval_id": str(uuid4()),
        "ticket_id": str(uuid4()),
        "question_id": str(uuid4()),
        "dispute_id": str(uuid4()),
        "social": social,
    }


def _secret(app: RunningApp) -> OctKey:
    return OctKey.import_key(app.settings.jwt_secret.get_secret_value())


async def _ask(who: Person, method: str, path: str, things: Things) -> httpx.Response:
    named = dict(things)
    if path.startswith("/auth/social/"):
        named["account_id"] = things["social"]
    url = re.sub(r"\{(\w+)\}", lambda found: named[found[1]], path)
    body: dict[str, Any] = {"json": BODIES[f"{method} {path}"]} if f"{method} {path}" in BODIES else {}
    if path.endswith("/file"):
        body = {"files": {"file": ("a.pdf", files.pdf(2_000))}}
    return await who.client.request(method, url, headers=who.headers, **body)


@pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=str)
async def test_a_stranger_opens_nothing(app: RunningApp, things: Things, method: str, path: str) -> None:
    answer = await _ask(app.person(), method, path, things)
    assert answer.status_code in {403, 404}, f"{answer.status_code} {answer.text}"


async def test_what_was_asked_for_is_still_there(app: RunningApp, things: Things) -> None:
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


def test_the_exceptions_are_routes_that_there_are() -> None:
    assert set(PATHS) >= NO_OBJECTS
