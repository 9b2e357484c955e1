"""Notices: the e-mails that events of the modules call for. It stands above the modules, so that none knows of mail.

It owns nothing. A follower of the outbox defers one job for each event that a person is told of, in the transaction
that moves its place, so that an event is told once; the job reads what is true when it sends and tells nobody who is
gone. Events older than `STALE` are passed over: news of last month is none.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from uuid import UUID

from babel.dates import format_date
from procrastinate import Blueprint, JobContext, RetryStrategy
from sqlalchemy import RowMapping

from carteira import documents, identity, transit
from carteira.kit.db import jobs
from carteira.kit.db.engine import Database
from carteira.kit.db.outbox import Event, Follower
from carteira.kit.db.session import Tx
from carteira.kit.module import Module
from carteira.kit.outbound.email_templates import EmailTemplates
from carteira.kit.outbound.mail import Mailer, Message
from carteira.kit.values.clock import clock

__all__ = ["STALE", "module"]

STALE = timedelta(days=3)
_RETRY = RetryStrategy(max_attempts=8, exponential_wait=3)
_TASKS = {
    "documents.expiring": "notices:tell_document_expiring",
    "transit.card_cancelled": "notices:tell_card_cancelled",
}

_letters = EmailTemplates(
    "carteira.notices",
    {
        "card_cancelled": "Seu cartão de transporte foi cancelado",
        "document_expiring": "Um documento seu está para vencer",
    },
)


def module(mailer: Mailer) -> Module:
    """Hand the follower and its jobs to the composition root."""
    return Module(
        name="notices",
        jobs=_make_blueprint(mailer),
        followers=(Follower("notices", Event.__table__, _defer),),
    )


async def _defer(tx: Tx, rows: Sequence[RowMapping]) -> None:
    """Defer a job for each event that somebody is told of."""
    oldest = clock.now() - STALE
    for row in rows:
        task = _TASKS.get(row["topic"])
        if task is not None and row["occurred_at"] >= oldest:
            await jobs.defer(tx, task, event_id=str(row["id"]), event=row["payload"])


def _make_blueprint(mailer: Mailer) -> Blueprint:
    """Make the jobs. Mail goes out after the transaction; a job that runs again sends the same `Message-ID`."""
    blueprint = Blueprint()

    @blueprint.task(name="tell_document_expiring", retry=_RETRY, pass_context=True)
    async def tell_document_expiring(context: JobContext, event_id: str, event: dict[str, str]) -> None:
        database: Database = context.additional_context["database"]
        async with database.transaction() as tx:
            letter = await _of_document(tx, event)
        if letter is not None:
            await mailer.send(*letter, message_id=event_id)

    @blueprint.task(name="tell_card_cancelled", retry=_RETRY, pass_context=True)
    async def tell_card_cancelled(context: JobContext, event_id: str, event: dict[str, str]) -> None:
        database: Database = context.additional_context["database"]
        async with database.transaction() as tx:
            letter = await _of_card(tx, event)
        if letter is not None:
            await mailer.send(*letter, message_id=event_id)

    return blueprint


async def _of_document(tx: Tx, event: dict[str, str]) -> tuple[str, Message] | None:
    """Write the reminder of a document, unless it is gone, renewed or past by now."""
    user_id, expires_on = UUID(event["user_id"]), date.fromisoformat(event["expires_on"])
    try:
        person = await identity.person(tx, user_id)
        document = await documents.read(tx, user_id, UUID(event["document_id"]))
    except (identity.UserNotFound, documents.DocumentNotFound):
        return None
    days = (expires_on - clock.today()).days
    if document.expires_on != expires_on or days < 0:
        return None
    return person.email, _letters.compose(
        "document_expiring",
        name=person.full_name.split()[0],
        document=document.document_type.value,
        when={0: "hoje", 1: "amanhã"}.get(days, f"em {days} dias"),
        expires_on=format_date(expires_on, "long", locale="pt_BR"),
    )


async def _of_card(tx: Tx, event: dict[str, str]) -> tuple[str, Message] | None:
    """Write that a card was cancelled, unless its person is gone."""
    user_id = UUID(event["user_id"])
    try:
        person = await identity.person(tx, user_id)
    except identity.UserNotFound:
        return None
    card = next((card for card in await transit.cards(tx, user_id) if str(card.id) == event["card_id"]), None)
    if card is None:
        return None
    return person.email, _letters.compose(
        "card_cancelled",
        name=person.full_name.split()[0],
        last_digits=card.card_number[-4:],
        has_balance=card.balance > 0,
    )
