"""Benefits' background work: codes and links for claiming accounts, bulk work, and deletions."""

from functools import partial
from uuid import UUID

from procrastinate import Blueprint, JobContext, RetryStrategy

from carteira.benefits import accounts, claims, imports, invitations, scheduled
from carteira.benefits.authorizer import decisions
from carteira.kit.db.batches import run_batches
from carteira.kit.db.engine import Database
from carteira.kit.outbound.email_templates import EmailTemplates
from carteira.kit.outbound.mail import Mailer
from carteira.kit.outbound.sms import Sms
from carteira.kit.security.codes import MINUTES

letters = EmailTemplates(
    "carteira.benefits",
    {
        "claim_code": "Seu código para ligar a conta de benefícios",
        "invitation": "Convite para a sua conta de benefícios",
    },
)


def claim_sms(code: str, link: str | None) -> str:
    """Return a claim's SMS: a code to type, or a link while typed codes are disabled."""
    what = f"está em {link}" if link else f"é {code}"
    return (
        f"Carteira: o código da sua conta de benefícios {what}. Vale por {MINUTES} minutos. "
        "Não passe este código a ninguém."
    )


def invitation_link(base: str, token: str) -> str:
    """Return the address of the page that accepts an invitation."""
    return f"{base}/app/beneficios/convite?convite={token}"


def invitation_sms(link: str) -> str:
    """Return an invitation's SMS."""
    return f"Carteira: convite para a sua conta de benefícios: {link} Não passe a ninguém."


def _add_bulk(blueprint: Blueprint) -> None:
    """Add the jobs of employers' bulk work."""

    @blueprint.task(name="import_accounts", retry=RetryStrategy(max_attempts=5, exponential_wait=3), pass_context=True)
    async def import_accounts(context: JobContext, import_id: str) -> None:
        """Open the accounts of a file, some lines per transaction."""
        database: Database = context.additional_context["database"]
        while await imports.open_next(database, UUID(import_id)):
            pass

    @blueprint.periodic(cron="*/10 * * * *")
    @blueprint.task(name="credit_scheduled", queueing_lock="benefits.credit_scheduled", pass_context=True)
    async def credit_scheduled(context: JobContext, timestamp: int) -> None:
        """Carry out due top-ups, each once."""
        await scheduled.carry_out_due(context.additional_context["database"])

    @blueprint.periodic(cron="5-59/10 * * * *")
    @blueprint.task(name="take_up_imports", queueing_lock="benefits.take_up_imports", pass_context=True)
    async def take_up_imports(context: JobContext, timestamp: int) -> None:
        """Queue unfinished files again."""
        database: Database = context.additional_context["database"]
        async with database.transaction() as tx:
            await imports.requeue_unfinished(tx)


def make_blueprint(mailer: Mailer, sms: Sms, link_base: str, *, decision_years_kept: int) -> Blueprint:
    """Make the jobs. Messages go out after the transaction, which no network call may hold open."""
    blueprint = Blueprint()

    @blueprint.task(name="send_claim_code", retry=RetryStrategy(max_attempts=5, exponential_wait=3), pass_context=True)
    async def send_claim_code(context: JobContext, account_id: str, user_id: str) -> None:
        """Make the code and send it to the recorded contact: an e-mail address, or else a phone."""
        database: Database = context.additional_context["database"]
        async with database.transaction() as tx:
            message = await claims.make_code(tx, UUID(account_id), UUID(user_id))
        if message is None:
            return
        if message.is_email:
            await mailer.send(message.to, letters.compose("claim_code", **message.values(link_base)))
        else:
            await sms.send(message.to, claim_sms(message.code, message.link(link_base)))

    @blueprint.task(name="send_invitation", retry=RetryStrategy(max_attempts=5, exponential_wait=3), pass_context=True)
    async def send_invitation(context: JobContext, account_id: str) -> None:
        """Make the token and send it to the recorded contact."""
        database: Database = context.additional_context["database"]
        async with database.transaction() as tx:
            message = await invitations.make_invitation(tx, UUID(account_id))
        if message is None:
            return
        link = invitation_link(link_base, message.token)
        if message.is_email:
            about = {"name": "", "account": message.account, "link": link, "days": accounts.INVITATION_DAYS}
            await mailer.send(message.to, letters.compose("invitation", **about))
        else:
            await sms.send(message.to, invitation_sms(link))
        async with database.transaction() as tx:
            await invitations.note_sent(tx, message.token)

    @blueprint.periodic(cron="25 6 * * *")
    @blueprint.task(name="forget_declined", queueing_lock="benefits.forget_declined", pass_context=True)
    async def forget_declined(context: JobContext, timestamp: int) -> None:
        """Delete declined decisions past their retention, in short transactions."""
        forget = partial(decisions.forget_declined, years=decision_years_kept)
        await run_batches(context.additional_context["database"], forget)

    _add_bulk(blueprint)
    return blueprint
