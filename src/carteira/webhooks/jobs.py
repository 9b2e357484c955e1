"""Webhooks' background work: deliveries, and the recovery of stuck ones."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from uuid import UUID

from procrastinate import Blueprint, JobContext

from carteira.kit.db import jobs
from carteira.kit.db.batches import run_batches
from carteira.kit.db.engine import Database
from carteira.webhooks import maintenance
from carteira.webhooks.delivering import Sender, deliver

SenderOf = Callable[[Database], Sender]


def make_blueprint(sender_of: SenderOf, *, kept: timedelta) -> Blueprint:
    """Make the jobs."""
    blueprint = Blueprint()

    @blueprint.task(name="deliver", queue=jobs.CALLS, pass_context=True)
    async def deliver_due(context: JobContext, endpoint_id: str) -> None:
        """Send an endpoint's due deliveries."""
        await deliver(sender_of(context.additional_context["database"]), UUID(endpoint_id))

    @blueprint.periodic(cron="* * * * *")
    @blueprint.task(name="look_after", queueing_lock="webhooks.look_after", pass_context=True)
    async def look_after(context: JobContext, timestamp: int) -> None:
        """Queue stuck deliveries again, and disable endpoints with too many waiting ones."""
        database: Database = context.additional_context["database"]
        async with database.transaction() as tx:
            await maintenance.disable_overrun(tx)
            await maintenance.recover_stuck(tx)

    @blueprint.periodic(cron="50 6 * * *")
    @blueprint.task(name="forget_old", queueing_lock="webhooks.forget_old", pass_context=True)
    async def forget_old(context: JobContext, timestamp: int) -> None:
        """Delete deliveries past their retention, in short transactions."""
        await run_batches(context.additional_context["database"], partial(maintenance.forget_old, kept=kept))

    return blueprint
