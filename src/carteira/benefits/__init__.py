"""Benefits: a benefit card's accounts, categories and merchants, and the authorizer of its purchases.

It owns benefit accounts (a processor's reference and the person behind it), categories with their MCCs and regime,
merchants whose name overrides the MCC, the authorizer's decisions, and what was given back for them. Money is the
ledger's: each category of an account is a ledger account. Invariants:

- every authorization is answered `00`, `51` or `07`, and decided exactly once per transaction id;
- an approved decision and its ledger entry share their id and their transaction;
- an amount is paid by one category, whole;
- FOOD and MEAL follow the PAT: money leaves them by purchases only (Decreto 10.854/2021, art. 174).

Sources: SPEC, benefits; ADR 0003.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from carteira import ledger
from carteira.benefits import authorizer
from carteira.benefits.authorization import name_category
from carteira.benefits.authorizer import PURCHASE, StrategyName
from carteira.benefits.queries import accounts_of_person, statement, transactions
from carteira.benefits.seed import seed
from carteira.benefits.service import AccountView, balances, refuse_if_returned
from carteira.kit.module import Lane, Module

__all__ = [
    "AccountView",
    "StrategyName",
    "accounts_of_person",
    "balances",
    "module",
    "name_category",
    "seed",
    "statement",
    "transactions",
]

_BULK_BODY_BYTES = 8 * 1024 * 1024


def module(*, strategy: StrategyName, jwt_secret: str) -> Module:
    """Hand benefits to the composition root."""
    from carteira.benefits import lane  # noqa: PLC0415 - web only
    from carteira.benefits.endpoint import PATH, AuthorizerEndpoint, ProcessorTokens  # noqa: PLC0415 - the same
    from carteira.benefits.routes import router, transactions  # noqa: PLC0415 - the same

    tokens = ProcessorTokens(jwt_secret)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.authorizer = authorizer.Authorizer(app.state.database)
        async with authorizer.running(app.state.authorizer, strategy) as running:
            app.state.authorizer_strategy = running
            if isinstance(running, authorizer.Queue):
                app.state.lane = Lane(lane.START, lane.Lane(running, tokens))
            yield

    ledger.guard_reversal(PURCHASE, refuse_if_returned)
    return Module(
        name="benefits",
        routers=(transactions, router),
        gates={PATH: lambda api: AuthorizerEndpoint(api, tokens)},
        body_limits={"/benefits/credits": _BULK_BODY_BYTES},
        lifespan=lifespan,
    )
