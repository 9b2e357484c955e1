"""Lists of accounts: a person's own, and an employer's for readers of its benefits."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import ARRAY, Text, func, select

from carteira import ledger
from carteira.benefits import invitations
from carteira.benefits.employers import reach_of
from carteira.benefits.ledger_kinds import LEDGER_KIND
from carteira.benefits.models import BenefitAccount, BenefitCategory, BenefitInvitation, Employer
from carteira.benefits.schemas import AccountSearchIn, ListedAccountOut, OwnAccountOut
from carteira.kit.db.keyset import keyset
from carteira.kit.db.session import Tx
from carteira.kit.security import audit
from carteira.kit.values.cpf import mask_cpf
from carteira.kit.web.access import Principal

_CATEGORIES = func.array(
    select(BenefitCategory.name).order_by(BenefitCategory.name).scalar_subquery(), type_=ARRAY(Text)
)
"""The configured categories, beside each row, which saves a trip."""


async def own(tx: Tx, user_id: UUID, *, limit: int, after: UUID | None) -> list[tuple[UUID, OwnAccountOut]]:
    """Return a person's accounts with their balances, oldest first, each with its id."""
    query = (
        select(BenefitAccount, Employer.name, _CATEGORIES)
        .join(Employer, Employer.id == BenefitAccount.employer_id)
        .where(BenefitAccount.user_id == user_id)
        .order_by(BenefitAccount.id)
        .limit(limit)
    )
    if after is not None:
        query = query.where(BenefitAccount.id > after)
    rows = [(account, employer, names) for account, employer, names in await tx.execute(query)]
    held = await _balances(tx, [account for account, _, _ in rows], rows[0][2] if rows else ())
    return [
        (
            account.id,
            OwnAccountOut(account=account.reference, employer=employer, state=account.state, balances=held[account.id]),
        )
        for account, employer, _ in rows
    ]


async def search(  # noqa: PLR0913 - a list's filters and bounds
    tx: Tx, who: Principal, wanted: AccountSearchIn, *, limit: int, after: UUID | None, turned: bool = False
) -> list[tuple[UUID, ListedAccountOut]]:
    """Return the accounts of one or all of the caller's employers, oldest first, each with its id.

    The look at each person is recorded. CPFs are masked; a caller who searches by one knows it.
    """
    reach = await reach_of(tx, who.actor)
    query = select(BenefitAccount, BenefitInvitation, _CATEGORIES).outerjoin(
        BenefitInvitation, BenefitInvitation.account_id == BenefitAccount.id
    )
    if reach.employers is not None:
        query = query.where(BenefitAccount.employer_id.in_(reach.employers))
    given = wanted.model_dump(exclude_none=True)
    given["reference"] = given.pop("account", None)
    for name, value in given.items():
        if value is not None:
            query = query.where(getattr(BenefitAccount, name) == value)
    query = keyset(query, BenefitAccount.id, after=after, limit=limit, turned=turned)
    rows = [(account, invitation, names) for account, invitation, names in await tx.execute(query)]
    await audit.record_looks(tx, "benefit_accounts_listed", [row.user_id or row.id for row, _, _ in rows])
    held = await _balances(tx, [row for row, _, _ in rows], rows[0][2] if rows else ())
    return [(row.id, _listed(row, invitation, held[row.id])) for row, invitation, _ in rows]


def _listed(row: BenefitAccount, invitation: BenefitInvitation | None, held: dict[str, int]) -> ListedAccountOut:
    return ListedAccountOut(
        account=row.reference,
        employer_id=row.employer_id,
        user_id=row.user_id,
        cpf=row.cpf and mask_cpf(row.cpf),
        name=row.name,
        state=row.state,
        balances=held,
        created_at=row.created_at,
        invitation=None if row.user_id is not None else invitations.state_of(invitation),
    )


async def _balances(tx: Tx, rows: Sequence[BenefitAccount], names: Sequence[str]) -> dict[UUID, dict[str, int]]:
    """Return the balances of accounts in centavos by category; configured categories without money are zero."""
    held = await ledger.accounts_of_holders(tx, [row.id for row in rows])
    known = {(row.id, view.kind): view.balance for row in rows for view in held.get(row.id, ())}
    return {row.id: {name: known.get((row.id, LEDGER_KIND + name), 0) for name in names} for row in rows}
