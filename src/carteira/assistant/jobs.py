"""The assistant's work in the background."""

from procrastinate import Blueprint, JobContext

from carteira.assistant import unanswered
from carteira.assistant.conversation import Assistant
from carteira.kit.db.engine import Database


def blueprint(assistant: Assistant, *, question_days_kept: int) -> Blueprint:
    """Make the jobs."""
    jobs = Blueprint()

    @jobs.periodic(cron="*/10 * * * *")
    @jobs.task(name="forget_stale", queueing_lock="assistant.forget_stale", pass_context=True)
    async def forget_stale(context: JobContext, timestamp: int) -> None:
        """Forget conversations that stopped in the middle, in short transactions."""
        database: Database = context.additional_context["database"]
        while True:
            async with database.transaction() as tx:
                if await assistant.forget_stale(tx) == 0:
                    return

    @jobs.periodic(cron="23 4 * * *")
    @jobs.task(name="forget_questions", queueing_lock="assistant.forget_questions", pass_context=True)
    async def forget_questions(context: JobContext, timestamp: int) -> None:
        """Delete old unanswered questions, every night."""
        database: Database = context.additional_context["database"]
        async with database.transaction() as tx:
            await unanswered.forget_old(tx, days=question_days_kept)

    return jobs
