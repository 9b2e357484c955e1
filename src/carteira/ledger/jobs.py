"""The ledger's background work."""

from procrastinate import Blueprint, JobContext

from carteira.kit.db.batches import run_batches
from carteira.kit.db.engine import Database
from carteira.ledger import checks, service

blueprint = Blueprint()


@blueprint.periodic(cron="* * * * * */30")
@blueprint.task(name="expire_holds", queueing_lock="ledger.expire_holds", pass_context=True)
async def expire_holds(context: JobContext, timestamp: int) -> None:
    """Release expired holds, every half minute, in short transactions."""
    await run_batches(context.additional_context["database"], service.expire_holds)


@blueprint.periodic(cron="* * * * * */30")
@blueprint.task(name="roll_up", queueing_lock="ledger.roll_up", pass_context=True)
async def roll_up(context: JobContext, timestamp: int) -> None:
    """Roll the system accounts' balances up, every half minute, in short transactions."""
    await run_batches(context.additional_context["database"], service.roll_up)


@blueprint.periodic(cron="40 5 * * *")  # 2:40 in São Paulo
@blueprint.task(name="reconcile", queueing_lock="ledger.reconcile", lock="ledger.checks", pass_context=True)
async def reconcile(context: JobContext, timestamp: int) -> None:
    """Compare balances with postings: the new ones each day, all of them each week."""
    database: Database = context.additional_context["database"]
    await checks.reconcile(database, whole=await checks.is_due(database, "reconcile"))


@blueprint.periodic(cron="50 5 * * *")
@blueprint.task(name="verify", queueing_lock="ledger.verify", lock="ledger.checks", pass_context=True)
async def verify(context: JobContext, timestamp: int) -> None:
    """Verify the hash chain: the new blocks each day, all of them each week."""
    database: Database = context.additional_context["database"]
    await checks.verify(database, whole=await checks.is_due(database, "verify"))
