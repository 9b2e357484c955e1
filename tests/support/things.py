"""The ids of one object of each kind that a person owns or operators have, by the names of path parameters."""

import secrets
from uuid import uuid4

from joserfc.jwk import OctKey
from sqlalchemy import text

from carteira import demo
from carteira.benefits.models import FIRST_EMPLOYER
from carteira.demo_people import Demo
from tests.support.app import RunningApp
from tests.support.benefits import AUTHORIZER, processor_token, purchase
from tests.support.people import Person

PathIds = dict[str, str]


async def _insert(app: RunningApp, statement: str, **values: object) -> str:
    made = uuid4()
    async with app.database.transaction() as tx:
        await tx.execute(text(statement), {"id": made, "user_id": demo.PERSON_ID, **values})
    return str(made)


async def sign_in_demo(app: RunningApp, who: Demo) -> Person:
    """Sign a demo person in."""
    credentials = {"username": who.person.cpf, "password": demo.PASSWORD}
    session = (await app.client.post("/auth/login", data=credentials)).json()
    return Person(app.client, who.id, {"authorization": f"Bearer {session['access_token']}"})


async def pay(app: RunningApp) -> str:
    """Pay R$ 1 with Maria's card; return the transaction's id."""
    processor = {"authorization": f"Bearer {processor_token(_secret(app))}"}
    paid = await app.client.post(AUTHORIZER, content=purchase("123", "1.00"), headers=processor)
    assert paid.json() == {"code": "00"}, paid.text
    newest = text("SELECT id FROM benefits_decisions ORDER BY id DESC LIMIT 1")
    async with app.database.transaction() as tx:
        return str(await tx.scalar(newest))


async def make_one_of_each(app: RunningApp, maria: Person) -> PathIds:
    """Make one object of each kind that Maria, of the demo data, owns; return their ids."""
    operator = app.operator()
    transaction = await pay(app)
    document = await maria.post("/documents", {"document_type": "RG", "document_number": "1234567"})
    assert (await maria.post("/resellers")).status_code == 201
    bought = {"code": f"c-{uuid4()}", "amount": 500, "date": "2026-01-15", "cpf": demo.PERSON.cpf}
    made = await operator.post("/purchases", bought)
    assert made.status_code == 201, made.text
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
        # What belongs to operators: a stranger lacks the claim, whatever the id.
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
        "webhook_id": str(uuid4()),
        "message_id": str(uuid4()),
        "social": social,
    }


def _secret(app: RunningApp) -> OctKey:
    return OctKey.import_key(app.settings.jwt_secret.get_secret_value())
