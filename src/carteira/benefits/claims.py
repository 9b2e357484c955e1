"""Claiming a benefit account by the code sent to the contact that the employer recorded (rules.md).

A declared CPF proves nothing: it only selects the accounts that a person may claim, and the contact is the proof. A
person with a proven CPF sees the accounts that wait for it, and needs no code. Accounts of another CPF or person are
not found. The code is a one-time code (`kit.security.codes`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert

from carteira import identity, ledger
from carteira.benefits.accounts import balances
from carteira.benefits.errors import AlreadyClaimed, BenefitAccountNotFound, NoContact, WrongClaimCode
from carteira.benefits.models import BenefitAccount, BenefitClaimCode, BenefitInvitation
from carteira.benefits.schemas import BenefitAccountOut
from carteira.kit.db import jobs, outbox
from carteira.kit.db.errors import CommitThenRaise
from carteira.kit.db.session import Tx, locked
from carteira.kit.security import audit, codes
from carteira.kit.security.codes import CodeMessage, KeptCode
from carteira.kit.security.rate_limits import (
    PER_ACCOUNT,
    PER_RECOVERY,
    PER_RECOVERY_DAY,
    WRONG_CODES,
    RateLimit,
    network,
)
from carteira.kit.values.clock import clock
from carteira.kit.web.problems import TooManyRequests

_OLDEST = timedelta(minutes=20)
"""A code that could not be sent is made again until this long after its expiry."""
_NOT_SENT = ""


@dataclass(frozen=True, slots=True)
class WaitingAccount:
    """An unclaimed account that an employer opened for a CPF."""

    id: UUID
    account: str
    created_at: datetime


async def _claimable(tx: Tx, user_id: UUID, reference: str, *, lock: bool = False) -> BenefitAccount:
    """Return an unclaimed account of the person's CPF.

    Raises:
        BenefitAccountNotFound: there is none, or it is another person's.
        AlreadyClaimed: it is theirs already.
    """
    query = select(BenefitAccount).where(BenefitAccount.reference == reference)
    account = await tx.scalar(query.with_for_update() if lock else query)
    if account is not None and account.user_id == user_id:
        raise AlreadyClaimed("Esta conta já é sua.")
    if account is None or account.user_id is not None or account.cpf is None:
        raise BenefitAccountNotFound
    try:
        person = await identity.person(tx, user_id)
    except identity.UserNotFound as error:
        raise BenefitAccountNotFound from error
    if person.cpf != account.cpf:
        raise BenefitAccountNotFound
    return account


async def ask(runtime: identity.Runtime, user_id: UUID, reference: str) -> None:
    """Queue a code to the account's recorded contact.

    Raises:
        BenefitAccountNotFound, AlreadyClaimed: as `_claimable`.
        NoContact: the employer recorded none.
        LimitReached, TooManyRequests: too many codes were requested.
    """
    async with runtime.database.transaction() as tx:
        account = await _claimable(tx, user_id, reference)
        if account.contact is None:
            raise NoContact
        account_id = account.id
    limits = [RateLimit.of(item, "benefits.claim", account_id) for item in (PER_RECOVERY, PER_RECOVERY_DAY)]
    await runtime.limiter.check(*limits)
    if not await runtime.limiter.count(*limits):
        raise TooManyRequests(60)
    async with runtime.database.transaction() as tx:
        await _claimable(tx, user_id, reference, lock=True)
        fresh = {"user_id": user_id, "code_hash": _NOT_SENT, "tries": 0, "expires_at": clock.now() + codes.TTL}
        await tx.execute(
            insert(BenefitClaimCode)
            .values(account_id=account_id, **fresh)
            .on_conflict_do_update(index_elements=["account_id"], set_=fresh)
        )
        await audit.record(tx, "benefit_claim_asked", actor=user_id, account_id=str(account_id))
        await jobs.defer(tx, "benefits:send_claim_code", account_id=str(account_id), user_id=str(user_id))


async def make_code(tx: Tx, account_id: UUID, user_id: UUID) -> CodeMessage | None:
    """Make a claim's code, again if sending failed; None if there is nothing left to send. A job calls it."""
    account = await locked(tx, BenefitAccount, account_id)
    row = await locked(tx, BenefitClaimCode, account_id)
    if account is None or row is None or row.user_id != user_id or row.expires_at < clock.now() - _OLDEST:
        return None
    if account.user_id is not None or account.contact is None:
        return None
    fresh = await codes.draw(tx, account_id, person=user_id)
    row.code_hash, row.expires_at = fresh.code_hash.hex(), fresh.expires_at
    await tx.flush()
    return CodeMessage(account.contact, fresh.code, {"name": "", "account": account.reference})


async def confirm(
    runtime: identity.Runtime, user_id: UUID, address: str, reference: str, code: str | None
) -> BenefitAccountOut:
    """Transfer an account and its money to the person: by the code, or without one if their CPF is proven.

    Raises:
        CpfNotProven: there is no code, and the CPF is not proven.
        BenefitAccountNotFound, AlreadyClaimed: as `_claimable`.
        WrongClaimCode: wrong, used, too late, or tried too often.
        LimitReached: the person, or their network address, tried too many wrong codes.
    """
    limits = [RateLimit.of(PER_ACCOUNT, "benefits.claim", user_id), RateLimit.of(WRONG_CODES, network(address))]
    if code is not None and codes.is_typed(codes.read_code(code)):
        await runtime.limiter.check(*limits)
    try:
        async with runtime.database.transaction() as tx:
            return await _confirm(tx, user_id, reference, code)
    except WrongClaimCode:
        await runtime.limiter.count(*limits)
        raise


async def waiting(tx: Tx, user_id: UUID, *, limit: int, after: UUID | None) -> Sequence[WaitingAccount]:
    """List the accounts that wait for a person whose CPF is proven, oldest first.

    Raises:
        CpfNotProven: it is not; other people name the account and use the code.
    """
    cpf = await identity.proven_cpf(tx, user_id)
    if cpf is None:
        raise identity.CpfNotProven
    query = select(BenefitAccount).where(BenefitAccount.cpf == cpf, BenefitAccount.user_id.is_(None))
    if after is not None:
        query = query.where(BenefitAccount.id > after)
    rows = await tx.scalars(query.order_by(BenefitAccount.id).limit(limit))
    return [WaitingAccount(row.id, row.reference, row.created_at) for row in rows]


async def _confirm(tx: Tx, user_id: UUID, reference: str, code: str | None) -> BenefitAccountOut:
    """Lock the account, so that one of several concurrent claims is first."""
    account = await _claimable(tx, user_id, reference, lock=True)
    if code is None:
        if await identity.proven_cpf(tx, user_id) != account.cpf:
            raise identity.CpfNotProven
        return await transfer_to(tx, account, user_id, by="proof")
    row = await locked(tx, BenefitClaimCode, account.id)
    if row is None or row.user_id != user_id:
        raise WrongClaimCode
    kept = KeptCode(account.id, bytes.fromhex(row.code_hash), row.expires_at, row.tries)
    attempt = await codes.check_code(tx, kept, code, person=user_id, purpose="claim")
    row.tries = attempt.tries
    if not attempt.is_right:
        raise CommitThenRaise(WrongClaimCode())
    return await transfer_to(tx, account, user_id, by="code")


async def transfer_to(tx: Tx, account: BenefitAccount, user_id: UUID, *, by: str) -> BenefitAccountOut:
    """Transfer a locked, unclaimed account and its money to a person; its codes and invitations end."""
    account.user_id = user_id
    await tx.flush()
    for table in (BenefitClaimCode, BenefitInvitation):
        await tx.execute(delete(table).where(table.account_id == account.id))
    accounts_in_ledger = await ledger.accounts_of_holder(tx, account.id)
    await ledger.lock(
        tx, [account_in_ledger.id for account_in_ledger in accounts_in_ledger]
    )  # in id order, as the authorizer does
    await ledger.assign_owner(tx, holder_id=account.id, owner_id=user_id)
    await audit.record(tx, "benefit_claimed", actor=user_id, subject=user_id, account_id=str(account.id), by=by)
    payload = {"account_id": str(account.id), "account": account.reference, "employer_id": str(account.employer_id)}
    await outbox.emit(tx, "benefits.account_claimed", payload | {"user_id": str(user_id)})
    return BenefitAccountOut(
        account=account.reference, employer_id=account.employer_id, balances=await balances(tx, account.id)
    )
