"""Documents' background work."""

from uuid import UUID

from procrastinate import Blueprint, JobContext, RetryStrategy

from carteira.documents import maintenance, service
from carteira.documents.vault import Vault
from carteira.kit.db.batches import run_batches
from carteira.kit.db.engine import Database


def blueprint(vault: Vault) -> Blueprint:
    """Make the jobs over a vault."""
    jobs = Blueprint()

    @jobs.task(name="remove_files", retry=RetryStrategy(max_attempts=10, exponential_wait=4))
    async def remove_files(version_ids: list[str]) -> None:
        """Remove the sealed bytes of versions whose keys are deleted; repeating it is harmless."""
        for version_id in version_ids:
            await vault.storage.remove(UUID(version_id))

    @jobs.periodic(cron="17 * * * *")
    @jobs.task(name="remove_orphans", queueing_lock="documents.remove_orphans", pass_context=True)
    async def remove_orphans(context: JobContext, timestamp: int) -> None:
        """Remove orphans of uploads whose server died, every hour."""
        database: Database = context.additional_context["database"]
        await maintenance.remove_orphans(database, vault.storage)

    @jobs.periodic(cron="0 12 * * *")
    @jobs.task(name="remind_expiring", queueing_lock="documents.remind_expiring", pass_context=True)
    async def remind_expiring(context: JobContext, timestamp: int) -> None:
        """Emit reminders of expiring documents, every day at nine in São Paulo, in short transactions."""
        await run_batches(context.additional_context["database"], service.remind)

    return jobs
