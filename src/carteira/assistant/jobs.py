"""The assistant's work in the background."""

from functools import partial

from procrastinate import Blueprint, JobContext

from carteira.assistant import unanswered
from carteira.assistant.conversation import Assistant
from carteira.kit.db.batches import run_batches


def blueprint(assistant: Assistant, *, question_days_kept: int) -> Blueprint:
    """Make the jobs."""
    jobs = Blueprint()

    @jobs.periodic(cron="*/10 * * * *")
    @jobs.task(name="forget_stale", queueing_lock="assistant.forget_stale", pass_context=True)
    async def forget_stale(context: JobContext, timestamp: int) -> None:
        """Drop conversations that stopped in the middle, in short transactions."""
        await run_batches(context.additional_context["database"], assistant.forget_stale)

    @jobs.periodic(cron="23 4 * * *")
    @jobs.task(name="forget_questions", queueing_lock="assistant.forget_questions", pass_context=True)
    async def forget_questions(context: JobContext, timestamp: int) -> None:
        """Delete old unanswered questions, every night, in short transactions."""
        forget = partial(unanswered.forget_old, days=question_days_kept)
        await run_batches(context.additional_context["database"], forget)

    return jobs
