"""An employer's invitation to a benefit account, for people without a CPF here or whose CPF another account has.

The token goes to the contact that the employer recorded. Its holder gets that account and nothing else, as with a
claim's code; it proves no CPF.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import select, update

from carteira import identity
from carteira.benefits import claims
from carteira.benefits.accounts import find_for, queue_invitation
from carteira.benefits.errors import AlreadyClaimed, BenefitInvitationOver, NoContact
from carteira.benefits.models import BenefitAccount, BenefitInvitation
from carteira.benefits.schemas import (
    BenefitAccountOut,
    InvitationResult,
    InvitationsOut,
    InvitationState,
    InvitationStateOut,
)
from carteira.kit.db.session import Tx, locked
from carteira.kit.security import audit
from carteira.kit.security.opaque_tokens import digest, new_token
from carteira.kit.security.rate_limits import PER_RECOVERY, PER_RECOVERY_DAY, LimitReached, RateLimit
from carteira.kit.values.actor import Actor
from carteira.kit.values.clock import clock
from carteira.kit.web.problems import Problem, TooManyRequests, problem_of


@dataclass(frozen=True, slots=True)
class InvitationMessage:
    """The message of an invitation: the token, its recipient, and the account."""

    to: str
    """An e-mail address, or else a phone."""
    token: str = field(repr=False)
    account: str

    @property
    def is_email(self) -> bool:
        """Whether it goes by e-mail, else by SMS."""
        return "@" in self.to


async def invite(runtime: identity.Runtime, reference: str, actor: Actor) -> None:
    """Queue an invitation to an account's recorded contact; it replaces a former one.

    Raises:
        BenefitAccountNotFound: there is no such account, or it is another employer's.
        AlreadyClaimed: it is claimed.
        NoContact: none is recorded.
        LimitReached, TooManyRequests: too many were sent.
    """
    async with runtime.database.transaction() as tx:
        account = await find_for(tx, reference, actor)
        if account.user_id is not None:
            raise AlreadyClaimed
        if account.contact is None:
            raise NoContact
    limits = [RateLimit.of(item, "benefits.invite", account.id) for item in (PER_RECOVERY, PER_RECOVERY_DAY)]
    await runtime.limiter.check(*limits)
    if not await runtime.limiter.count(*limits):
        raise TooManyRequests(60)
    async with runtime.database.transaction() as tx:
        await queue_invitation(tx, account.id)
        await audit.record(tx, "benefit_invited", subject=account.person, account_id=str(account.id))


async def invite_many(runtime: identity.Runtime, references: Sequence[str], actor: Actor) -> InvitationsOut:
    """Queue invitations to several accounts, each by itself and once; return the result of each."""
    results = []
    for number, reference in enumerate(references, 1):
        if reference in references[: number - 1]:
            continue
        try:
            await invite(runtime, reference, actor)
        except (Problem, LimitReached) as error:
            problem = problem_of(error)
            failed = InvitationResult(
                line=number, account=reference, result="failed", error=problem.code, detail=problem.detail
            )
            results.append(failed)
        else:
            results.append(InvitationResult(line=number, account=reference, result="sent"))
    sent = sum(one.result == "sent" for one in results)
    if sent == 0:
        audit.nothing_done()
    return InvitationsOut(sent=sent, failed=len(results) - sent, results=results)


async def make_invitation(tx: Tx, account_id: UUID) -> InvitationMessage | None:
    """Make an invitation's token, again if sending failed; None if it may be sent to nobody any more.

    A job calls it.
    """
    account = await locked(tx, BenefitAccount, account_id)
    row = await locked(tx, BenefitInvitation, account_id)
    if account is None or row is None or account.user_id is not None or account.contact is None:
        return None
    if row.expires_at <= clock.now():
        return None
    token = new_token()
    row.token_hash = digest(token)
    await tx.flush()
    return InvitationMessage(account.contact, token, account.reference)


async def note_sent(tx: Tx, token: str) -> None:
    """Record that the message with a token was sent; a token that was replaced meanwhile is left alone."""
    sent = update(BenefitInvitation).where(BenefitInvitation.token_hash == digest(token))
    await tx.execute(sent.values(sent_at=clock.now()))


async def note_opened(tx: Tx, token: str) -> None:
    """Record the first time that somebody who is signed in opens an invitation's page; an unknown token is ignored."""
    opened = update(BenefitInvitation).where(
        BenefitInvitation.token_hash == digest(token), BenefitInvitation.opened_at.is_(None)
    )
    await tx.execute(opened.values(opened_at=clock.now()))


def state_of(row: BenefitInvitation | None) -> InvitationStateOut | None:
    """Return the state of an invitation to an unclaimed account."""
    if row is None:
        return None
    state: InvitationState = "sent" if row.sent_at is not None or row.token_hash is not None else "sending"
    if row.opened_at is not None:
        state = "opened"
    if row.expires_at <= clock.now():
        state = "expired"
    return InvitationStateOut(state=state, sent_at=row.sent_at, opened_at=row.opened_at, expires_at=row.expires_at)


async def accept(tx: Tx, user_id: UUID, token: str) -> BenefitAccountOut:
    """Transfer the account of an invitation and its money to the person.

    Raises:
        BenefitInvitationOver: unknown, used, replaced or too old, or the account is claimed.
        CpfDiffers: the person's CPF is another than the one that the employer opened the account for.
    """
    brought = digest(token)
    account_id = await tx.scalar(select(BenefitInvitation.account_id).where(BenefitInvitation.token_hash == brought))
    account = None if account_id is None else await locked(tx, BenefitAccount, account_id)
    row = None if account is None else await locked(tx, BenefitInvitation, account.id)
    if account is None or row is None or row.token_hash != brought or row.expires_at <= clock.now():
        raise BenefitInvitationOver
    if account.user_id is not None:
        raise BenefitInvitationOver
    person = await identity.person(tx, user_id)
    if None not in {person.cpf, account.cpf} and person.cpf != account.cpf:
        raise identity.CpfDiffers("A conta foi aberta para outro CPF. Fale com a empresa que a criou.")
    return await claims.transfer_to(tx, account, user_id, by="invitation")
