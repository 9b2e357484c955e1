"""Payments' background work: webhooks' payments, polling, returns, and the daily comparison."""

from uuid import UUID

import structlog
from procrastinate import Blueprint, JobContext, RetryStrategy

from carteira.kit.db.engine import Database
from carteira.payments import charges, receiving, reconciliation, returns
from carteira.payments.config import Payments
from carteira.payments.provider import PaymentProviderDown

log = structlog.get_logger(__name__)


def make_blueprint(payments: Payments) -> Blueprint:
    """Make the jobs. While the provider is down they end without failing, and the next round continues."""
    blueprint = Blueprint()

    @blueprint.task(name="look", retry=RetryStrategy(max_attempts=3, wait=2), pass_context=True)
    async def look(context: JobContext, e2eid: str) -> None:
        """Look up a payment that a webhook named; while the provider is down, polling finds it later."""
        try:
            await receiving.look_up(context.additional_context["database"], payments, e2eid)
        except PaymentProviderDown:
            log.info("payment left to the next poll", e2eid=e2eid)

    @blueprint.task(name="make_charge", retry=RetryStrategy(max_attempts=3, wait=2), pass_context=True)
    async def make_charge(context: JobContext, charge_id: str) -> None:
        """Create a charge for which no request waits; while the provider is down, it is left to the next round."""
        await charges.make_written(context.additional_context["database"], payments, UUID(charge_id))

    @blueprint.task(name="send_return", retry=RetryStrategy(max_attempts=3, wait=2), pass_context=True)
    async def send_return(context: JobContext, return_id: str) -> None:
        """Request a return from the provider; while it is down, the return is left to the next round."""
        try:
            await returns.send(context.additional_context["database"], payments, UUID(return_id))
        except PaymentProviderDown:
            log.info("return left to the next poll", return_id=return_id)

    @blueprint.periodic(cron="* * * * * */30")
    @blueprint.task(name="poll", queueing_lock="payments.poll", lock="payments.poll", pass_context=True)
    async def poll(context: JobContext, timestamp: int) -> None:
        """Read the provider's list, create missing charges, emit events of expired ones, request returns."""
        try:
            await run_round(context.additional_context["database"], payments)
        except PaymentProviderDown:
            log.warning("payment provider unavailable, poll left out")

    _add_daily(blueprint, payments)
    return blueprint


def _add_daily(blueprint: Blueprint, payments: Payments) -> None:
    @blueprint.periodic(cron="30 7 * * *")
    @blueprint.task(name="reconcile", queueing_lock="payments.reconcile", lock="payments.poll", pass_context=True)
    async def reconcile(context: JobContext, timestamp: int) -> None:
        """Compare the last days with the provider's list, daily; a failure is repeated the next day."""
        if payments.config.provider is not None:
            await reconciliation.compare_last_days(context.additional_context["database"], payments)

    @blueprint.periodic(cron="0 8 * * *")
    @blueprint.task(name="sweep_returns", queueing_lock="payments.sweep", lock="payments.poll", pass_context=True)
    async def sweep_returns(context: JobContext, timestamp: int) -> None:
        """Find returns by banks of older payments, daily."""
        if payments.config.provider is not None:
            await receiving.sweep_returns(context.additional_context["database"], payments)


async def run_round(database: Database, payments: Payments) -> None:
    """Do one round of the half-minute work.

    Raises:
        PaymentProviderDown, ProviderRefused.
    """
    if payments.config.provider is None:
        return
    await charges.make_missing(database, payments)
    await receiving.poll(database, payments)
    await charges.emit_expired(database)
    await returns.send_waiting(database, payments)
