"""Identity's background work: messages, the daily export, and the deletion of old rows."""

from functools import partial
from uuid import UUID

import structlog
from procrastinate import Blueprint, JobContext, RetryStrategy

from carteira.identity import emails
from carteira.identity.clients import service as clients
from carteira.identity.config import IdentityConfig
from carteira.identity.contacts import links
from carteira.identity.contacts import service as contacts
from carteira.identity.contacts.points import Kind
from carteira.identity.data_requests import service as data_requests
from carteira.identity.errors import UserNotFound
from carteira.identity.invitations import service as invitations
from carteira.identity.passkeys import service as passkeys
from carteira.identity.recovery import service as recovery
from carteira.identity.sessions import service as sessions
from carteira.identity.signin import service
from carteira.identity.social import service as social
from carteira.identity.users import service as people
from carteira.identity.users.export import export_daily
from carteira.identity.users.queries import PersonView, person
from carteira.kit.db import jobs
from carteira.kit.db.batches import DoBatch, run_batches
from carteira.kit.db.engine import Database
from carteira.kit.security import audit, audit_checks, codes
from carteira.kit.values.actor import Actor
from carteira.kit.web import idempotency

_RETRY = RetryStrategy(max_attempts=8, exponential_wait=3)

_HOURS_BEHIND = 3
"""São Paulo's offset to UTC; job schedules are in UTC."""
log = structlog.get_logger(__name__)


async def _find(database: Database, user_id: str) -> PersonView | None:
    async with database.transaction() as tx:
        try:
            return await person(tx, UUID(user_id))
        except UserNotFound:
            return None


def _addresses(found: PersonView) -> list[str]:
    """Return the addresses for security messages: a changed address is not certain to be the person's yet."""
    return [point.value for point in found.contacts if point.kind == "email"]


def make_blueprint(config: IdentityConfig) -> Blueprint:
    """Make the jobs."""
    blueprint = Blueprint()
    _add_codes(blueprint, config)
    _add_news(blueprint, config)
    _add_news_of_cpf(blueprint, config)
    _add_contacts(blueprint, config)
    _add_upkeep(blueprint, config)
    _add_audit(blueprint, config)
    _add_answers(blueprint, config)
    _add_erasures(blueprint, config)
    return blueprint


def _add_codes(blueprint: Blueprint, config: IdentityConfig) -> None:
    """Add the messages that carry codes. They go out after the transaction, which no network call may hold open."""
    mailer = config.mailer
    sms = config.sms

    @blueprint.task(name="send_recovery_code", retry=_RETRY, pass_context=True)
    async def send_recovery_code(context: JobContext, recovery_id: str) -> None:
        database: Database = context.additional_context["database"]
        async with database.transaction() as tx:
            message = await recovery.make_code(tx, UUID(recovery_id))
        if message is None:
            return
        if message.is_email:
            await mailer.send(message.to, emails.compose("recovery", **message.values(config.link_base)))
        else:
            await sms.send(message.to, emails.recovery_sms(message.code, message.link(config.link_base)))

    @blueprint.task(name="send_link_code", retry=_RETRY, pass_context=True)
    async def send_link_code(context: JobContext, registration_id: str) -> None:
        database: Database = context.additional_context["database"]
        async with database.transaction() as tx:
            message = await social.make_code(tx, UUID(registration_id))
        if message is not None:
            await mailer.send(message.to, emails.compose("link_code", **message.values(config.link_base)))


def _add_news(blueprint: Blueprint, config: IdentityConfig) -> None:
    """Add the messages to a person about their account."""
    mailer = config.mailer

    @blueprint.task(name="tell_password_changed", retry=_RETRY, pass_context=True)
    async def tell_password_changed(context: JobContext, user_id: str) -> None:
        found = await _find(context.additional_context["database"], user_id)
        if found is not None:
            message = emails.compose("password_changed", name=found.full_name.split()[0])
            for address in _addresses(found):
                await mailer.send(address, message, message_id=jobs.message_id_of(context, address))

    @blueprint.task(name="tell_way_added", retry=_RETRY, pass_context=True)
    async def tell_way_added(context: JobContext, user_id: str, way: str) -> None:
        found = await _find(context.additional_context["database"], user_id)
        if found is not None:
            message = emails.compose("way_added", name=found.full_name.split()[0], way=emails.WAYS[way])
            for address in _addresses(found):
                await mailer.send(address, message, message_id=jobs.message_id_of(context, address))

    @blueprint.task(name="tell_factor_reset", retry=_RETRY, pass_context=True)
    async def tell_factor_reset(context: JobContext, user_id: str) -> None:
        found = await _find(context.additional_context["database"], user_id)
        if found is not None:
            message = emails.compose("factor_reset", name=found.full_name.split()[0])
            for address in _addresses(found):
                await mailer.send(address, message, message_id=jobs.message_id_of(context, address))


def _add_contacts(blueprint: Blueprint, config: IdentityConfig) -> None:
    """Add the messages about contact points. Links are made in the job, so that only the message holds them."""
    mailer = config.mailer
    sms = config.sms
    link = f"{config.link_base}/auth/contacts"

    @blueprint.task(name="tell_contact_changed", retry=_RETRY, pass_context=True)
    async def tell_contact_changed(
        context: JobContext, user_id: str, kind: str, to: str, change_id: str | None = None
    ) -> None:
        found = await _find(context.additional_context["database"], user_id)
        if found is None:
            return
        sealer = config.sealing_ring()
        address = sealer.open(UUID(user_id), bytes.fromhex(to)).decode()
        undo = None if change_id is None else f"{link}/undo?token={links.undo_token(sealer, UUID(change_id))}"
        if "@" in address:
            letter = emails.compose(
                "contact_changed",
                name=found.full_name.split()[0],
                what=emails.CONTACTS[kind],
                hours=config.contact_change_hours,
                link=undo,
            )
            await mailer.send(address, letter, message_id=jobs.message_id_of(context, address))
        else:
            await sms.send(address, emails.contact_changed_sms(kind, undo))

    @blueprint.task(name="send_contact_confirmation", retry=_RETRY, pass_context=True)
    async def send_contact_confirmation(context: JobContext, user_id: str, kind: Kind) -> None:
        found = await _find(context.additional_context["database"], user_id)
        value = None if found is None else getattr(found, kind)
        if found is None or value is None:
            return
        token = links.confirm_token(config.sealing_ring(), found.id, kind, value)
        confirm = f"{link}/confirm?token={token}"
        if kind == "email":
            letter = emails.compose(
                "contact_confirm", name=found.full_name.split()[0], link=confirm, days=links.CONFIRM_DAYS
            )
            await mailer.send(value, letter, message_id=jobs.message_id_of(context, value))
        else:
            await sms.send(value, emails.contact_confirm_sms(confirm))

    @blueprint.task(name="tell_email_changed", retry=_RETRY, pass_context=True)
    async def tell_email_changed(context: JobContext, user_id: str, former: str) -> None:
        await tell_contact_changed(context, user_id, "email", former)  # queued by the previous release


def _add_news_of_cpf(blueprint: Blueprint, config: IdentityConfig) -> None:
    """Add the messages to a person about the proof of their CPF."""
    mailer = config.mailer

    @blueprint.task(name="tell_cpf_proven", retry=_RETRY, pass_context=True)
    async def tell_cpf_proven(context: JobContext, user_id: str) -> None:
        found = await _find(context.additional_context["database"], user_id)
        if found is not None:
            message = emails.compose("cpf_proven", name=found.full_name.split()[0])
            await mailer.send(found.email, message, message_id=jobs.message_id_of(context, found.email))

    @blueprint.task(name="tell_cpf_moved", retry=_RETRY, pass_context=True)
    async def tell_cpf_moved(context: JobContext, user_id: str) -> None:
        found = await _find(context.additional_context["database"], user_id)
        if found is not None:
            message = emails.compose("cpf_moved", name=found.full_name.split()[0], email=found.email)
            await mailer.send(found.email, message, message_id=jobs.message_id_of(context, found.email))


def _add_upkeep(blueprint: Blueprint, config: IdentityConfig) -> None:
    """Add the daily export, and the deletion of old rows."""

    @blueprint.periodic(cron=f"30 {(config.export.hour + _HOURS_BEHIND) % 24} * * *")
    @blueprint.task(name="export_users", queueing_lock="identity.export_users", pass_context=True)
    async def export_users(context: JobContext, timestamp: int) -> None:
        if config.export.days_kept:
            database: Database = context.additional_context["database"]
            name = await export_daily(database, config.home / "exports", config.export)
            async with database.transaction() as tx:
                job = Actor("job", "identity.export_users")
                await audit.record_look_at_everybody(tx, "users_exported", actor=job, format=config.export.form)
            log.info("users exported", file=name)

    @blueprint.periodic(cron="15 6 * * *")
    @blueprint.task(name="forget_old", queueing_lock="identity.forget_old", pass_context=True)
    async def forget_old(context: JobContext, timestamp: int) -> None:
        """Delete what is not needed any more, in short transactions."""
        database: Database = context.additional_context["database"]
        forgets: tuple[DoBatch, ...] = (
            invitations.forget_old,
            partial(sessions.forget_old, days=config.session_days_kept),
            service.forget_old,
            recovery.forget_old,
            contacts.settle,
            codes.forget_old,
            passkeys.forget_old,
            social.forget_old,
            clients.forget_old,
            data_requests.forget_erased,
        )
        for forget in forgets:
            await run_batches(database, forget)


def _add_erasures(blueprint: Blueprint, config: IdentityConfig) -> None:
    """Add the job that confirms erasures whose journal was away after the commit."""

    @blueprint.periodic(cron="23 * * * *")
    @blueprint.task(name="confirm_erasures", queueing_lock="identity.confirm_erasures", pass_context=True)
    async def confirm_erasures(context: JobContext, timestamp: int) -> None:
        if config.erasure_journal is not None:
            await people.confirm_erasures(context.additional_context["database"], config.erasure_journal())


def _add_answers(blueprint: Blueprint, config: IdentityConfig) -> None:
    """Add the job that reduces and deletes old answers under idempotency keys."""

    @blueprint.periodic(cron="20 6 * * *")
    @blueprint.task(name="forget_answers", queueing_lock="identity.forget_answers", pass_context=True)
    async def forget_answers(context: JobContext, timestamp: int) -> None:
        database: Database = context.additional_context["database"]
        await idempotency.forget_answers(database, days=config.answer_days_kept)


def _add_audit(blueprint: Blueprint, config: IdentityConfig) -> None:
    """Add the care of the audit: verification of its chain, and deletion of rows past their retention."""

    @blueprint.periodic(cron="0 6 * * *")
    @blueprint.task(name="verify_audit", queueing_lock="identity.verify_audit", pass_context=True)
    async def verify_audit(context: JobContext, timestamp: int) -> None:
        database: Database = context.additional_context["database"]
        await audit_checks.verify(database, whole=await audit_checks.is_due(database))

    @blueprint.periodic(cron="10 6 * * *")
    @blueprint.task(name="forget_audit", queueing_lock="identity.forget_audit", pass_context=True)
    async def forget_audit(context: JobContext, timestamp: int) -> None:
        await audit_checks.forget_old(context.additional_context["database"], years=config.audit_years_kept)
