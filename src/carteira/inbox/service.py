"""The list of a person's notices, gathered from their sources, and the last one that they have read."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert

from carteira import benefits, identity, ledger
from carteira.inbox import texts
from carteira.inbox.models import InboxMark
from carteira.inbox.texts import Wording
from carteira.kit.db import outbox
from carteira.kit.db.session import Tx
from carteira.kit.values.clock import clock
from carteira.kit.values.ids import first_uuid7, uuid7

MOST_COUNTED = 100
UNREAD_DAYS = 30
"""Notices older than this count as read."""
_BENEFITS = "benefits."
_FIRST, _LAST = UUID(int=0), UUID(int=2**128 - 1)


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice."""

    id: UUID
    topic: str
    created_at: datetime
    wording: Wording
    unread: bool = False

    @property
    def title(self) -> str:
        """The fact in a few words."""
        return self.wording.title

    @property
    def text(self) -> str:
        """The consequence, or advice; may be empty."""
        return self.wording.text

    @property
    def page(self) -> str | None:
        """The wallet's page about it."""
        return self.wording.page


@dataclass(frozen=True, slots=True)
class Span:
    """A range of notices: up to `limit` with an id between the two."""

    limit: int
    after: UUID = _FIRST
    before: UUID = _LAST


@dataclass(frozen=True, slots=True)
class Inbox:
    """A person's list, as one transaction sees it.

    Attributes:
        runtime: Identity's, which has the ids under which modules record looks at a person, and the names of looks.
        user_id: The person.
        modules: The optional modules that are on; pages of other modules are left out.
    """

    runtime: identity.Runtime
    user_id: UUID
    modules: frozenset[str]

    async def listed(self, tx: Tx, *, limit: int, before: UUID | None = None) -> list[Notice]:
        """Return up to `limit` notices, newest first; `before` is the id of the last one already seen."""
        read_until = await self._read_until(tx)
        found = await self._gather(tx, Span(limit, before=before or _LAST))
        return [replace(notice, unread=notice.id > read_until) for notice in found]

    async def unread(self, tx: Tx) -> int:
        """Count the notices that were not read, up to `MOST_COUNTED`."""
        return len(await self._gather(tx, Span(MOST_COUNTED, after=await self._read_until(tx))))

    async def mark_read(self, tx: Tx, until: UUID) -> None:
        """Mark notices up to one of them as read. Notices that were read stay read; later ones are not affected."""
        until = min(until, uuid7())
        marked = insert(InboxMark).values(user_id=self.user_id, read_until=until, marked_at=clock.now())
        await tx.execute(
            marked.on_conflict_do_update(
                index_elements=["user_id"],
                set_={"read_until": marked.excluded.read_until, "marked_at": marked.excluded.marked_at},
                where=InboxMark.read_until < marked.excluded.read_until,
            )
        )

    async def _read_until(self, tx: Tx) -> UUID:
        old = first_uuid7((clock.now() - timedelta(days=UNREAD_DAYS)).timestamp())
        mark = await tx.get(InboxMark, self.user_id, populate_existing=True)
        return max(old, mark.read_until) if mark else old

    async def _gather(self, tx: Tx, span: Span) -> list[Notice]:
        found = [
            *await self._events(tx, span),
            *await self._acts(tx, span),
            *await self._looks(tx, span),
            *await self._refusals(tx, span),
            *await self._credits(tx, span),
        ]
        return sorted(found, key=lambda notice: notice.id, reverse=True)[: span.limit]

    def _notice(self, notice_id: UUID, topic: str, at: datetime, wording: Wording) -> Notice:
        if wording.module and wording.module not in self.modules:
            wording = replace(wording, page=None)
        return Notice(notice_id, topic, at, wording)

    async def _events(self, tx: Tx, span: Span) -> list[Notice]:
        rows = await outbox.events_of_person(
            tx, self.user_id, texts.EVENTS, after=span.after, before=span.before, limit=span.limit
        )
        return [self._notice(row.id, row.topic, row.occurred_at, texts.EVENTS[row.topic](row.payload)) for row in rows]

    async def _acts(self, tx: Tx, span: Span) -> list[Notice]:
        rows = await identity.acts_about(
            tx, self.user_id, texts.ACTS, after=span.after, before=span.before, limit=span.limit
        )
        return [
            self._notice(row.id, f"account.{row.action}", row.created_at, texts.ACTS[row.action](row.details))
            for row in rows
        ]

    async def _looks(self, tx: Tx, span: Span) -> list[Notice]:
        """Return looks by people and by machines; looks by the product itself are only on the page of all looks."""
        rows = await identity.accesses_to(
            tx,
            self.user_id,
            self.runtime.ids_of,
            limit=span.limit,
            before=span.before,
            after=span.after,
            by=("person", "client"),
        )
        return [
            self._notice(
                row.id,
                f"look.{row.action}",
                row.created_at,
                texts.of_look(
                    row.actor_name or "Alguém que já não está aqui",
                    self.runtime.looks.get(row.action, "Seus dados"),
                    row.purpose,
                ),
            )
            for row in rows
        ]

    async def _refusals(self, tx: Tx, span: Span) -> list[Notice]:
        rows = await benefits.refusals_of_person(
            tx, self.user_id, after=span.after, before=span.before, limit=span.limit
        )
        return [
            self._notice(
                row.id, "benefits.declined", row.created_at, texts.of_refusal(str(row.id), row.amount, row.merchant)
            )
            for row in rows
        ]

    async def _credits(self, tx: Tx, span: Span) -> list[Notice]:
        """Return credits to the person's benefits; each entry credits one account."""
        rows = await ledger.incoming(
            tx, self.user_id, texts.CREDITS, after=span.after, before=span.before, limit=span.limit
        )
        return [
            self._notice(
                row.entry_id,
                row.kind,
                row.posted_at,
                texts.of_credit(
                    row.kind,
                    str(row.entry_id),
                    row.amount,
                    benefits.pocket_name(row.account_kind.removeprefix(_BENEFITS)),
                ),
            )
            for row in rows
        ]
