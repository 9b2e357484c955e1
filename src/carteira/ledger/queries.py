"""The ledger's reads: balances now and at an instant, statements, and owners."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple, cast
from uuid import UUID

from sqlalchemy import ColumnElement, func, select, text

from carteira.kit.db.reads import Query, Reads, rows
from carteira.kit.db.session import Tx
from carteira.kit.values.actor import Actor, ActorKind
from carteira.kit.values.days import Instant
from carteira.kit.values.ids import made_at
from carteira.kit.web.access import Principal
from carteira.kit.web.pagination import BigInt, CursorOf, Page, PageRequest, SmallInt
from carteira.ledger.errors import AccountNotFound, EntryNotFound
from carteira.ledger.models import LedgerAccount, LedgerEntry, LedgerPosting, LedgerReversal


@dataclass(frozen=True, slots=True)
class LedgerAccountView:
    """An account as others see it; amounts in centavos."""

    id: UUID
    kind: str
    holder_id: UUID | None
    owner_id: UUID | None
    balance: int
    held: int
    created_at: datetime

    @property
    def available(self) -> int:
        """The available balance."""
        return self.balance - self.held


class LineKey(NamedTuple):
    """The sort key of statements; `seq` is the account's version."""

    posted_at: Instant
    seq: BigInt
    entry_id: UUID
    line: SmallInt


_LATEST = LineKey(datetime.max.replace(tzinfo=UTC), 2**63 - 1, UUID(int=2**128 - 1), 2**15 - 1)
STATEMENT = CursorOf(LineKey, at=lambda instant: LineKey(instant, -(2**63), UUID(int=0), -(2**15)))
BALANCES = select(
    LedgerAccount.id, LedgerAccount.balance, LedgerAccount.held, LedgerAccount.holder_id, LedgerAccount.kind
).subquery("ledger_balances")
"""Accounts' balances in centavos, for other modules' queries to join by the accounts' ids, or holders and kinds."""


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One posting of an account, with the balance after it (None for a system account)."""

    account_id: UUID
    entry_id: UUID
    line: int
    kind: str
    description: str | None
    amount: int
    balance_after: int | None
    posted_at: datetime
    seq: int | None
    actor_kind: str | None
    actor_id: str | None
    approved_by: UUID | None

    @property
    def actor(self) -> Actor | None:
        """The actor; None in entries from before actors, or by a server of that release."""
        return _actor(self.actor_kind, self.actor_id)

    @property
    def key(self) -> LineKey:
        """The line's sort key."""
        return LineKey(self.posted_at, self.seq or 0, self.entry_id, self.line)

    def seen_by(self, who: Principal, *, claim: str) -> "StatementLine":
        """Return the line as shown; the actor only to holders of the claim and to the actor themself."""
        if who.may(claim):
            return self
        if self.actor == who.actor:
            return replace(self, approved_by=None)
        return replace(self, actor_kind=None, actor_id=None, approved_by=None)


_EARLIEST, _LATEST_INSTANT = 946_684_800, 4_102_444_800
"""2000 and 2100, in Unix seconds."""
_SYSTEM_TAIL = """
    SELECT coalesce(sum(posting.amount), 0)
    FROM ledger_entries entry
    JOIN ledger_postings posting ON posting.entry_id = entry.id AND posting.account_id = :id
    WHERE entry.xid >= :rolled_up_to
"""


async def account(tx: Tx, account_id: UUID) -> LedgerAccountView:
    """Return an account with its balance now.

    Raises:
        AccountNotFound: there is none.
    """
    row = await tx.get(LedgerAccount, account_id, populate_existing=True)
    if row is None:
        raise AccountNotFound
    balance = row.balance
    if row.is_system:
        balance += await tx.scalar(text(_SYSTEM_TAIL), {"id": row.id, "rolled_up_to": row.rolled_up_to}) or 0
    return _view(row, balance)


def _view(row: LedgerAccount, balance: int | None = None) -> LedgerAccountView:
    return LedgerAccountView(
        row.id,
        row.kind,
        row.holder_id,
        row.owner_id,
        row.balance if balance is None else balance,
        row.held,
        row.created_at,
    )


async def accounts_of_holder(tx: Tx, holder_id: UUID) -> list[LedgerAccountView]:
    """Return the customer accounts of a holder, by kind."""
    return await _accounts(tx, LedgerAccount.holder_id == holder_id)


async def accounts_of_holders(tx: Tx, holder_ids: Sequence[UUID]) -> dict[UUID, list[LedgerAccountView]]:
    """Return the customer accounts of several holders, by holder."""
    views: dict[UUID, list[LedgerAccountView]] = {}
    for view in await _accounts(tx, LedgerAccount.holder_id.in_(holder_ids)):
        assert view.holder_id is not None, "a customer account has a holder"
        views.setdefault(view.holder_id, []).append(view)
    return views


async def accounts_of_owner(tx: Tx, owner_id: UUID) -> list[LedgerAccountView]:
    """Return the customer accounts whose money is a person's, by kind."""
    return await _accounts(tx, LedgerAccount.owner_id == owner_id)


async def _accounts(tx: Tx, condition: ColumnElement[bool]) -> list[LedgerAccountView]:
    query = select(LedgerAccount).where(condition).order_by(LedgerAccount.kind, LedgerAccount.id)
    return [_view(row) for row in await tx.scalars(query)]


_LAST_BALANCE = text("SELECT balance_after FROM ledger_lines(:id, :posted_at, :seq, :entry_id, :line, 1)")


async def balance_at(tx: Tx, account_id: UUID, at: datetime) -> int:
    """Return an account's balance in centavos at an instant, including postings at the instant itself.

    A customer account's last posting by then holds it; a system account's postings are summed.

    Raises:
        AccountNotFound: there is none.
    """
    row = await tx.get(LedgerAccount, account_id)
    if row is None:
        raise AccountNotFound
    if row.is_system:
        total = await tx.scalar(
            text("SELECT coalesce(sum(amount), 0) FROM ledger_postings WHERE account_id = :id AND posted_at <= :at"),
            {"id": account_id, "at": at},
        )
        return int(total or 0)
    found = await tx.scalar(_LAST_BALANCE, {"id": account_id, **_LATEST._replace(posted_at=at)._asdict()})
    return found or 0


_LINES = """
    SELECT page.account_id, page.entry_id, page.line, entry.kind, entry.description, page.amount, page.balance_after,
           page.posted_at, page.seq, entry.actor_kind, entry.actor_id, entry.approved_by
    FROM (
        SELECT posting.*
        FROM wanted
        CROSS JOIN LATERAL ledger_lines(
            wanted.account_id, CAST(:at AS timestamptz), CAST(:seq AS bigint), CAST(:entry_id AS uuid),
            CAST(:line AS bigint), CAST(:limit AS bigint)
        ) posting
        ORDER BY posting.posted_at DESC, coalesce(posting.seq, 0) DESC, posting.entry_id DESC, posting.line DESC
        LIMIT CAST(:limit AS bigint)
    ) page
    CROSS JOIN LATERAL (
        -- The order leaves the planner the primary key alone (`ledger_check_postings.sql` says why).
        SELECT * FROM ledger_entries WHERE id BETWEEN page.entry_id AND page.entry_id ORDER BY id LIMIT 1
    ) entry
    ORDER BY page.posted_at DESC, coalesce(page.seq, 0) DESC, page.entry_id DESC, page.line DESC
"""
_BESIDE = """
    SELECT wanted.beside, lines.* FROM wanted LEFT JOIN lines ON true
    ORDER BY lines.posted_at DESC, coalesce(lines.seq, 0) DESC, lines.entry_id DESC, lines.line DESC
"""
_STATEMENT = Query(text("WITH wanted AS (SELECT unnest(CAST(:account_ids AS uuid[])) AS account_id)" + _LINES))


def statement_of_one(account: str) -> Query:
    """Return the query of a statement whose account comes from another query, so that both are one trip.

    `account` is a constant of the caller's that selects at most one row: `account_id` and one further column `beside`.
    If `account_id` is null there are no lines. `lines_beside` reads its rows.
    """
    return Query(text("WITH wanted AS MATERIALIZED (" + account + "), lines AS (" + _LINES + ")" + _BESIDE))


async def lines_beside(
    via: Tx | Reads, query: Query, *, limit: int, before: LineKey | None = None, **values: object
) -> tuple[object, list[StatementLine]] | None:
    """Run a `statement_of_one`; return `beside` and up to `limit` lines, newest first; None: there is no row."""
    at, seq, entry_id, line = before or _LATEST
    found = await rows(via, query, at=at, seq=seq, entry_id=entry_id, line=line, limit=limit, **values)
    if not found:
        return None
    return found[0][0], [StatementLine(*row[1:]) for row in map(tuple, found) if row[1] is not None]


async def statement(
    via: Tx | Reads, account_ids: Sequence[UUID], *, limit: int, before: LineKey | None = None
) -> list[StatementLine]:
    """Return up to `limit` postings of the accounts, newest first; `before` is the key of the last line seen."""
    at, seq, entry_id, line = before or _LATEST
    found = await rows(
        via, _STATEMENT, account_ids=list(account_ids), at=at, seq=seq, entry_id=entry_id, line=line, limit=limit
    )
    return [StatementLine(*row) for row in found]


@dataclass(frozen=True, slots=True)
class IncomingLine:
    """A credit by an entry to a person's account; the amount in centavos."""

    entry_id: UUID
    kind: str
    account_kind: str
    amount: int
    posted_at: datetime


_INCOMING = text("""
    SELECT entry.id, entry.kind, account.kind, posting.amount, posting.posted_at
    FROM ledger_accounts account
    JOIN ledger_postings posting ON posting.account_id = account.id
    JOIN ledger_entries entry ON entry.id = posting.entry_id
    WHERE account.owner_id = :owner_id AND posting.amount > 0 AND entry.kind = ANY(CAST(:kinds AS text[]))
      AND posting.posted_at BETWEEN CAST(:since AS timestamptz) AND CAST(:until AS timestamptz)
      AND entry.id > :after AND entry.id < :before
    ORDER BY entry.id DESC, posting.line
    LIMIT :limit
""")
_NEAR = timedelta(days=1)
"""The longest time between making an entry's id and posting it."""


async def incoming(  # noqa: PLR0913 - a list's filters and bounds
    tx: Tx, owner_id: UUID, kinds: Collection[str], *, after: UUID, before: UUID, limit: int
) -> list[IncomingLine]:
    """Return credits to a person's accounts by entries of these kinds, newest first, between two entries' ids."""
    bounds = {"since": _instant(after) - _NEAR, "until": _instant(before) + _NEAR, "after": after, "before": before}
    rows = await tx.execute(_INCOMING, {"owner_id": owner_id, "kinds": list(kinds), "limit": limit, **bounds})
    return [IncomingLine(*row) for row in rows]


def _instant(made: UUID) -> datetime:
    """Return the instant of an id, limited to the product's time range."""
    return datetime.fromtimestamp(min(max(made_at(made), _EARLIEST), _LATEST_INSTANT), UTC)


@dataclass(frozen=True, slots=True)
class MonthTotal:
    """Incoming and outgoing totals of a kind of accounts in a month of São Paulo, in centavos."""

    month: date
    kind: str
    came: int
    went: int


_MONTHS = text("""
    SELECT date_trunc('month', posting.posted_at AT TIME ZONE 'America/Sao_Paulo')::date, account.kind,
           coalesce(sum(posting.amount) FILTER (WHERE posting.amount > 0), 0),
           coalesce(-sum(posting.amount) FILTER (WHERE posting.amount < 0), 0)
    FROM ledger_postings posting
    JOIN ledger_accounts account ON account.id = posting.account_id
    JOIN ledger_entries entry ON entry.id = posting.entry_id
    WHERE posting.account_id = ANY(CAST(:account_ids AS uuid[])) AND posting.posted_at >= :since
      AND posting.posted_at < :until AND entry.kind <> ALL(CAST(:inside AS text[]))
    GROUP BY 1, 2
    ORDER BY 1, 2
""")


async def totals_by_month(
    tx: Tx, account_ids: Sequence[UUID], *, since: datetime, until: datetime, inside: Sequence[str] = ()
) -> list[MonthTotal]:
    """Return totals by month and kind of account; entries of kinds `inside` only move between them and are left out."""
    bounds = {"since": since, "until": until}
    rows = await tx.execute(_MONTHS, {"account_ids": list(account_ids), "inside": list(inside), **bounds})
    return [MonthTotal(month, kind, int(came), int(went)) for month, kind, came, went in rows]


async def lines_of_entry(tx: Tx, owner_id: UUID, entry_id: UUID) -> list[StatementLine]:
    """Return an entry's postings on a person's accounts; empty if it moved none of their money."""
    query = (
        select(
            LedgerPosting.account_id,
            LedgerPosting.entry_id,
            LedgerPosting.line,
            LedgerEntry.kind,
            LedgerEntry.description,
            LedgerPosting.amount,
            LedgerPosting.balance_after,
            LedgerPosting.posted_at,
            LedgerPosting.seq,
            LedgerEntry.actor_kind,
            LedgerEntry.actor_id,
            LedgerEntry.approved_by,
        )
        .join(LedgerEntry, LedgerEntry.id == LedgerPosting.entry_id)
        .join(LedgerAccount, LedgerAccount.id == LedgerPosting.account_id)
        .where(LedgerPosting.entry_id == entry_id, LedgerAccount.owner_id == owner_id)
        .order_by(LedgerPosting.line)
    )
    return [StatementLine(*tuple(row)) for row in await tx.execute(query)]


def _actor(kind: str | None, name: str | None) -> Actor | None:
    """Return the actor of an entry, if it is known."""
    if kind is None or kind == "unknown" or name is None:
        return None
    return Actor(cast("ActorKind", kind), name)


async def statement_page(tx: Tx, account_ids: Sequence[UUID], asked: PageRequest[LineKey]) -> Page[StatementLine]:
    """Return a page of the accounts' postings, newest first."""
    lines = await statement(tx, account_ids, limit=asked.limit + 1, before=asked.after)
    return asked.page(lines, lambda line: line.key)


@dataclass(frozen=True, slots=True)
class EntryView:
    """A whole entry as others see it."""

    id: UUID
    kind: str
    description: str | None
    posted_at: datetime
    reverses_id: UUID | None
    reversed_by_id: UUID | None
    actor: Actor | None
    approved_by: UUID | None
    postings: Sequence[LedgerPosting]


async def entry(tx: Tx, entry_id: UUID) -> EntryView:
    """Return an entry with its postings.

    Raises:
        EntryNotFound: there is none.
    """
    row = await tx.get(LedgerEntry, entry_id)
    if row is None:
        raise EntryNotFound
    lines = await tx.scalars(
        select(LedgerPosting).where(LedgerPosting.entry_id == entry_id).order_by(LedgerPosting.line)
    )
    return EntryView(
        row.id,
        row.kind,
        row.description,
        row.posted_at,
        row.reverses_id,
        await tx.scalar(select(LedgerReversal.entry_id).where(LedgerReversal.reverses_id == entry_id)),
        _actor(row.actor_kind, row.actor_id),
        row.approved_by,
        lines.all(),
    )


async def people_of(tx: Tx, entry_id: UUID) -> list[UUID]:
    """Return the audit's subjects of an entry: owners of its accounts, or holders of accounts without an owner."""
    person = func.coalesce(LedgerAccount.owner_id, LedgerAccount.holder_id)
    query = select(person).join(LedgerPosting, LedgerPosting.account_id == LedgerAccount.id).distinct()
    return list(await tx.scalars(query.where(LedgerPosting.entry_id == entry_id, person.is_not(None))))
