"""The ledger's work in the background."""

from procrastinate import Blueprint, JobContext

from carteira.kit.db.engine import Database
from carteira.ledger import service

blueprint = Blueprint()


@blueprint.periodic(cron="*/10 * * * * *")
@blueprint.task(name="expire_holds", queueing_lock="ledger.expire_holds", pass_context=True)
async def expire_holds(context: JobContext, timestamp: int) -> None:  # noqa: ARG001 - procrastinate passes it
    """Release the holds whose time has passed, every ten seconds, in short transactions."""
    database: Database = context.additional_context["database"]
    while True:
        async with database.transaction() as tx:
            if await service.expire_holds(tx) == 0:
                return


@blueprint.periodic(cron="*/10 * * * * *")
@blueprint.task(name="roll_up", queueing_lock="ledger.roll_up", pass_context=True)
async def roll_up(context: JobContext, timestamp: int) -> None:  # noqa: ARG001 - procrastinate passes it
    """Roll the system accounts' balances up, every ten seconds."""
    database: Database = context.additional_context["database"]
    async with database.transaction() as tx:
        await service.roll_up(tx)
