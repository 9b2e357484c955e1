"""Benefits: a benefit card's accounts, categories and merchants, and the authorizer of its purchases.

It owns employers and their bound operators and clients, benefit accounts (a processor's reference, the employer, the
person), the codes by which a person claims one, categories with their MCCs and regime, merchants whose name overrides
the MCC, the authorizer's decisions, and refunds. Money is the ledger's: each category of an account is a ledger
account. Invariants:

- every authorization is answered `00`, `51` or `07`, and decided exactly once per transaction id;
- an approved decision and its ledger entry share their id and their transaction;
- one category pays the whole amount;
- people and clients that are bound to employers see only these employers' accounts, and hold only claims about them;
- a person claims an account by the code sent to the contact that the employer recorded;
- a pre-funded employer never tops up more than it has paid in;
- FOOD and MEAL follow the PAT: money leaves them by purchases only (Decreto 10.854/2021, art. 174).

Sources: rules.md, benefits; ADR 0003.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from fastapi import FastAPI

from carteira import ledger
from carteira.benefits import bulk_desk, desk, employers
from carteira.benefits.accounts import BenefitAccountView, balances, cpfs_of
from carteira.benefits.authorizer import strategies
from carteira.benefits.authorizer.explain import name_category
from carteira.benefits.authorizer.reversals import REVERSALS, Reversals
from carteira.benefits.authorizer.strategies import STRATEGY, StrategyName
from carteira.benefits.authorizer.writer import AUTHORIZER, Authorizer
from carteira.benefits.claims import WaitingAccount
from carteira.benefits.claims import ask as ask_claim
from carteira.benefits.claims import confirm as confirm_claim
from carteira.benefits.claims import waiting as waiting_accounts
from carteira.benefits.desk import (
    DecisionFilter,
    DecisionTotals,
    DecisionView,
    WholeDecisionView,
    decision,
    decision_totals,
    decisions,
)
from carteira.benefits.errors import AlreadyClaimed
from carteira.benefits.funding import (
    FUND_RETURNED,
    FUNDED,
    fund_to_pay_into,
    pay_in,
    pay_out,
    returnable_fund,
)
from carteira.benefits.funding import refuse_reversal as refuse_fund_reversal
from carteira.benefits.invitations import accept as accept_invitation
from carteira.benefits.invitations import note_opened as note_invitation_opened
from carteira.benefits.ledger_kinds import PURCHASE
from carteira.benefits.merchant_names import merchant_name
from carteira.benefits.own import (
    AcceptedWhere,
    OwnBenefit,
    OwnDecision,
    accepted_where,
    benefits_of_person,
    decisions_of_person,
    own_decisions,
    pocket_name,
    refusals_of_person,
)
from carteira.benefits.queries import (
    TransactionFilter,
    accounts_of_person,
    decision_events,
    purchase_events,
    return_events,
    statement,
    transactions,
)
from carteira.benefits.returns import RETURNS, record_reversed, refuse_return_reversed
from carteira.benefits.seed import seed, seed_operator
from carteira.kit.module import LANE, ConnectionLane, Module
from carteira.kit.outbound.mail import Mailer
from carteira.kit.outbound.sms import Sms
from carteira.kit.web.state import DATABASE

__all__ = [
    "AcceptedWhere",
    "AlreadyClaimed",
    "BenefitAccountView",
    "DecisionFilter",
    "DecisionTotals",
    "DecisionView",
    "OwnBenefit",
    "OwnDecision",
    "ProcessorSecrets",
    "StrategyName",
    "TransactionFilter",
    "WaitingAccount",
    "WholeDecisionView",
    "accept_invitation",
    "accepted_where",
    "accounts_of_person",
    "ask_claim",
    "balances",
    "benefits_of_person",
    "bulk_desk",
    "confirm_claim",
    "decision",
    "decision_events",
    "decision_totals",
    "decisions",
    "decisions_of_person",
    "desk",
    "fund_to_pay_into",
    "merchant_name",
    "module",
    "name_category",
    "note_invitation_opened",
    "own_decisions",
    "pay_in",
    "pay_out",
    "pocket_name",
    "purchase_events",
    "refusals_of_person",
    "return_events",
    "returnable_fund",
    "seed",
    "seed_operator",
    "statement",
    "transactions",
    "waiting_accounts",
]

_BULK_BODY_BYTES = 8 * 1024 * 1024
_BULK_BODIES = ("/benefits/credits", "/benefits/accounts/bulk", "/benefits/scheduled-credits")


@dataclass(frozen=True, slots=True)
class ProcessorSecrets:
    """The secrets that verify the card processor's tokens, and their longest validity in seconds; 0: unlimited."""

    secrets: tuple[str, ...] = field(repr=False)
    most_seconds: int = 0


def module(  # noqa: PLR0913 - one argument per choice of the composition root
    *,
    strategy: StrategyName,
    processor: ProcessorSecrets,
    mailer: Mailer,
    sms: Sms,
    link_base: str,
    decision_years_kept: int = 10,
) -> Module:
    """Hand benefits to the composition root; codes are sent by `mailer` and `sms`, with links under `link_base`.

    Declined decisions are kept for `decision_years_kept`.
    """
    from carteira.benefits import bulk_metrics
    from carteira.benefits.authorizer import fast_lane
    from carteira.benefits.authorizer.asgi import PATH, AuthorizerEndpoint, ProcessorTokens
    from carteira.benefits.jobs import make_blueprint
    from carteira.benefits.operations import OPERATIONS
    from carteira.benefits.people import (
        erase_person,
        erase_traces,
        export_person,
        ids_of_person,
        traces_of_person,
    )
    from carteira.benefits.routes import router, transactions
    from carteira.benefits.routes_bulk import router as bulk_router
    from carteira.benefits.routes_employers import router as employer_router

    tokens = ProcessorTokens(processor.secrets, most_seconds=processor.most_seconds)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        authorizer = Authorizer(DATABASE.of(app))
        AUTHORIZER.set(app, authorizer)
        REVERSALS.set(app, Reversals(authorizer.database))
        async with strategies.running(authorizer, strategy) as running:
            STRATEGY.set(app, running)
            if isinstance(running, ledger.Queue):
                LANE.set(app, ConnectionLane(fast_lane.START, fast_lane.FastLane(running, tokens)))
            yield

    ledger.register_narrow(ledger.Narrow("benefits_references", "external_id", "decision_id", "benefits_decisions", 5))
    ledger.name_holders("benefits", cpfs_of)
    ledger.guard_reversal(PURCHASE, record_reversed)
    for kind in RETURNS:
        ledger.guard_reversal(kind, refuse_return_reversed)
    for kind in (FUNDED, FUND_RETURNED):
        ledger.guard_reversal(kind, refuse_fund_reversal)
    return Module(
        name="benefits",
        routers=(transactions, employer_router, bulk_router, router),
        gates={PATH: lambda api: AuthorizerEndpoint(api, tokens)},
        body_limits=dict.fromkeys(_BULK_BODIES, _BULK_BODY_BYTES),
        lifespan=lifespan,
        jobs=make_blueprint(mailer, sms, link_base, decision_years_kept=decision_years_kept),
        operations=OPERATIONS,
        observe=bulk_metrics.observe,
        ids_of_person=ids_of_person,
        bindings=employers.BINDINGS,
        export_person=export_person,
        erase_person=erase_person,
        traces_of_person=traces_of_person,
        erase_traces=erase_traces,
    )
