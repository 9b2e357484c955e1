"""Benefit accounts and card purchases: over HTTP, and in transactions of their own that commit."""

import json
import time
from collections.abc import Sequence
from uuid import UUID, uuid4

from joserfc import jwt
from joserfc.jwk import OctKey
from sqlalchemy import text

from carteira import ledger
from carteira.benefits import accounts
from carteira.benefits.schemas import AccountIn
from carteira.kit.db.engine import Database
from carteira.kit.db.session import Tx
from carteira.kit.security.approvals import Act
from carteira.settings.production import DEVELOPMENT_JWT_SECRET
from tests.support.ledger import TESTER
from tests.support.people import Person

AUTHORIZER = "/transactions/authorizer"
FOOD, MEAL, OTHER = "5411", "5811", "5999"


def processor_token(key: OctKey, *, algorithm: str = "HS256", **claims: object) -> str:
    content = {"exp": int(time.time()) + 600} | claims
    return jwt.encode({"alg": algorithm}, content, key, algorithms=[algorithm])


def purchase(account: str, reais: str = "10.00", mcc: str = OTHER, **more: object) -> bytes:
    """Return a request's text, so that the amount stands exactly as a test writes it."""
    fields = {"account": account, "mcc": mcc, "merchant": "LOJA DA MARIA   SAO PAULO BR"} | more
    return (json.dumps(fields)[:-1] + f', "totalAmount": {reais}}}').encode()


def processor_headers() -> dict[str, str]:
    """Return the headers of the card processor in development."""
    return {"Authorization": f"Bearer {processor_token(OctKey.import_key(DEVELOPMENT_JWT_SECRET))}"}


async def open_benefit_account(operator: Person, *, user_id: UUID | None = None, **balances: int) -> str:
    """Open an account over HTTP; return its reference."""
    reference = f"t-{uuid4()}"
    body = {"account": reference, "user_id": str(user_id or uuid4()), "balances": balances}
    response = await operator.post("/benefits/accounts", body)
    assert response.status_code == 201, response.text
    return reference


async def benefit_balances(operator: Person, account: str) -> dict[str, int]:
    """Return an account's balances, read over HTTP."""
    response = await operator.get(f"/benefits/accounts/{account}")
    assert response.status_code == 200, response.text
    balances: dict[str, int] = response.json()["balances"]
    return balances


async def open_account(books: Database, **balances: int) -> str:
    reference = f"c-{uuid4()}"
    async with books.transaction() as tx:
        await accounts.open_account(tx, AccountIn(account=reference, user_id=uuid4(), balances=balances), Act(TESTER))
    return reference


async def insert_accounts(tx: Tx, references: Sequence[str], categories: Sequence[str]) -> None:
    """Open many accounts in two statements; the ids of their ledger accounts are in random order."""
    ids = [uuid4() for _ in references]
    await tx.execute(
        text(
            "INSERT INTO benefits_accounts (id, reference)"
            " SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:names AS text[]))"
        ),
        {"ids": ids, "names": list(references)},
    )
    await tx.execute(
        text(
            "INSERT INTO ledger_accounts (id, kind, holder_id) SELECT gen_random_uuid(), 'benefits.' || kind, holder"
            " FROM unnest(CAST(:ids AS uuid[])) AS holder, unnest(CAST(:kinds AS text[])) AS kind"
        ),
        {"ids": ids, "kinds": list(categories)},
    )


async def balances(books: Database, account: str) -> dict[str, int]:
    async with books.transaction() as tx:
        return await accounts.balances(tx, (await accounts.find(tx, account)).id)


async def assert_reconciled(books: Database) -> None:
    async with books.transaction() as tx:
        assert (await ledger.reconcile(tx)).differences == []
