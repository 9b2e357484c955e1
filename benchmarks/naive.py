"""The usual way, for comparison: FastAPI, one ORM session a request, `SELECT … FOR UPDATE`, one commit each.

It keeps the same books in the same tables and obeys the same rules (category, fallback, decision with its reason), so
that only the technique differs. Not part of the product.
"""

import os
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, FastAPI, Request
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from carteira.benefits.authorizer.request import parse_authorization
from carteira.benefits.authorizer.rules import Catalog, decide
from carteira.benefits.ledger_kinds import SETTLEMENT
from carteira.benefits.models import BenefitAccount, BenefitDecision
from carteira.kit.values.clock import clock
from carteira.kit.values.ids import uuid7
from carteira.ledger.models import LedgerAccount, LedgerEntry, LedgerPosting

engine = create_async_engine(
    "postgresql+asyncpg://" + os.environ["DATABASE_URL"].partition("://")[2], pool_size=32, max_overflow=0
)
sessions = async_sessionmaker(engine, expire_on_commit=False)
catalog = Catalog(1, {}, {"5411": "FOOD", "5412": "FOOD", "5811": "MEAL", "5812": "MEAL"}, {})
app = FastAPI()


async def session() -> AsyncIterator[AsyncSession]:
    """Open a transaction for the request."""
    async with sessions.begin() as opened:
        yield opened


Session = Annotated[AsyncSession, Depends(session, scope="function")]


@app.get("/health/ready")
async def ready() -> dict[str, str]:
    """Answer that the server is up."""
    return {"status": "ready"}


@app.post("/transactions/authorizer")
async def authorize(request: Request, opened: Session) -> dict[str, str]:
    """Decide one purchase."""
    purchase = parse_authorization(await request.body(), b"", uuid7())
    account = await opened.scalar(select(BenefitAccount).where(BenefitAccount.reference == purchase.account))
    if account is None:
        return {"code": "07"}
    rows = await opened.scalars(
        select(LedgerAccount)
        .where(LedgerAccount.holder_id == account.id)
        .order_by(LedgerAccount.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    accounts = {row.kind.removeprefix("benefits."): row for row in rows}
    available = {name: row.balance - row.held for name, row in accounts.items()}
    category = catalog.categorise(purchase.mcc, purchase.merchant)
    decision = decide(purchase, account.id, category, available=available[category[0]], cash=available["CASH"])
    opened.add(BenefitDecision(**decision._asdict()))
    if decision.category_used is not None:
        payer, now = accounts[decision.category_used], clock.now()
        payer.balance -= purchase.amount
        payer.version += 1
        await opened.flush()
        entry = insert(LedgerEntry).values(
            id=purchase.id, kind="benefits.purchase", posted_at=now, actor_kind="processor", actor_id="authorizer"
        )
        lines = [(payer.id, -purchase.amount, payer.version, payer.balance), (SETTLEMENT, purchase.amount, None, None)]
        await opened.execute(  # one statement: the ledger's triggers require an entry and its postings together
            insert(LedgerPosting)
            .add_cte(entry.cte("entry"))
            .values(
                [
                    {
                        "entry_id": purchase.id,
                        "line": line,
                        "account_id": account_id,
                        "amount": amount,
                        "seq": seq,
                        "balance_after": balance,
                        "posted_at": now,
                    }
                    for line, (account_id, amount, seq, balance) in enumerate(lines)
                ]
            )
        )
    return {"code": decision.code}
