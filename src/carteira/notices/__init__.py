"""Notices: e-mails about the modules' events, and about pending operations.

It depends on the modules, so that they need not depend on e-mail.

It owns nothing. A follower of the outbox defers one job for each event with a notice, in the transaction that stores
its position, so that each notice is sent once; the job reads the present state and sends nothing to erased people.
Events older than `STALE` are skipped. Pending operations are reported to the people who may approve them, those of ten
minutes in one e-mail.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from uuid import UUID

from procrastinate import Blueprint, JobContext, RetryStrategy
from sqlalchemy import RowMapping

from carteira.kit.db import jobs
from carteira.kit.db.engine import Database
from carteira.kit.db.outbox import Event, Follower
from carteira.kit.db.session import Tx
from carteira.kit.module import Module
from carteira.kit.outbound.mail import Mailer
from carteira.kit.values.clock import clock
from carteira.notices import emails
from carteira.notices.emails import Addressed, Payload
from carteira.notices.operations import Approvers, of_decided, of_waiting

__all__ = ["STALE", "TOPICS", "module"]

STALE = timedelta(days=3)
_RETRY = RetryStrategy(max_attempts=8, exponential_wait=3)

Write = Callable[[Tx, Payload], Awaitable[Addressed | None]]
TOPICS: dict[str, tuple[str, Write]] = {
    "documents.expiring": ("tell_document_expiring", emails.of_document),
    "documents.refused": ("tell_document_refused", emails.of_refused_document),
    "documents.reviewed": ("tell_document_reviewed", emails.of_reviewed_document),
    "operations.decided": ("tell_operation_decided", of_decided),
    "payments.returned": ("tell_payment_returned", emails.of_returned_payment),
    "resellers.cashback_credited": ("tell_cashback_credited", emails.of_cashback),
    "resellers.purchase_approved": ("tell_purchase_approved", emails.of_decided_purchase),
    "resellers.purchase_rejected": ("tell_purchase_rejected", emails.of_decided_purchase),
    "transit.card_blocked": ("tell_card_blocked", emails.of_blocked_card),
    "transit.card_cancelled": ("tell_card_cancelled", emails.of_cancelled_card),
    "transit.card_unblocked": ("tell_card_unblocked", emails.of_unblocked_card),
}
"""The topics with notices: each one's job, and the function that writes its e-mail."""


def module(mailer: Mailer, others: Sequence[Module]) -> Module:
    """Hand the follower and its jobs to the composition root; `others` are the modules whose operations may wait."""
    blueprint = Blueprint()
    for task, write in TOPICS.values():
        _add_job(blueprint, mailer, task, write)
    _add_waiting(blueprint, mailer, Approvers.of(others))
    return Module(
        name="notices",
        jobs=blueprint,
        followers=(Follower("notices", Event.__table__, _defer),),
    )


async def _defer(tx: Tx, rows: Sequence[RowMapping]) -> None:
    """Defer a job for each event with a notice."""
    oldest = clock.now() - STALE
    for row in rows:
        if row["topic"] in TOPICS and row["occurred_at"] >= oldest:
            task, _ = TOPICS[row["topic"]]
            await jobs.defer(tx, f"notices:{task}", event_id=str(row["id"]), event=row["payload"])


def _add_job(blueprint: Blueprint, mailer: Mailer, task: str, write: Write) -> None:
    """Add a topic's job. Mail goes out after the transaction; a job that runs again sends the same `Message-ID`."""

    @blueprint.task(name=task, retry=_RETRY, pass_context=True)
    async def tell(context: JobContext, event_id: str, event: Payload) -> None:
        database: Database = context.additional_context["database"]
        async with database.transaction() as tx:
            letter = await write(tx, event)
        if letter is not None:
            await mailer.send(*letter, message_id=event_id)


def _add_waiting(blueprint: Blueprint, mailer: Mailer, approvers: Approvers) -> None:
    """Add the job that notifies approvers of pending operations, each in an e-mail of their own."""

    @blueprint.periodic(cron="*/10 * * * *")
    @blueprint.task(name="tell_approvers", queueing_lock="notices.tell_approvers", pass_context=True)
    async def tell_approvers(context: JobContext, timestamp: int) -> None:  # noqa: ARG001 - procrastinate passes it
        database: Database = context.additional_context["database"]
        async with database.transaction() as tx:
            for user_id, ids in (await approvers.mark_notified(tx)).items():
                pending = [str(operation_id) for operation_id in ids]
                await jobs.defer(tx, "notices:tell_operations_waiting", user_id=str(user_id), operations=pending)

    @blueprint.task(name="tell_operations_waiting", retry=_RETRY, pass_context=True)
    async def tell_operations_waiting(context: JobContext, user_id: str, operations: list[str]) -> None:
        database: Database = context.additional_context["database"]
        async with database.transaction() as tx:
            letter = await of_waiting(tx, UUID(user_id), [UUID(one) for one in operations])
        if letter is not None:
            await mailer.send(*letter)
