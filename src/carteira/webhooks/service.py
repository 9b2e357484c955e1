"""The administration of endpoints, by their clients and by the operators who manage these.

A client manages its own. A person with the claim manages those of every client; a bound person (employers) those of
clients that are bound to no others. To subscribe an endpoint to an event, or to read its secret, a person needs the
event's claim: nobody reads through a client what they may not read.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Select, case, func, select, update
from sqlalchemy.orm import InstrumentedAttribute

from carteira import identity
from carteira.kit.db.keyset import keyset
from carteira.kit.db.session import Tx, locked
from carteira.kit.outbound.targets import TargetRefused, Targets
from carteira.kit.security import audit
from carteira.kit.security.sealing import Sealer
from carteira.kit.values.clock import clock
from carteira.kit.values.ids import first_uuid7, made_at, uuid7
from carteira.kit.web.access import Principal
from carteira.kit.web.pagination import Page, PageRequest
from carteira.kit.web.preconditions import UNCONDITIONAL, Precondition
from carteira.kit.web.problems import InvalidInput, TooManyRequests
from carteira.kit.web.state import StateKey
from carteira.webhooks.catalog import CATALOG, TEST
from carteira.webhooks.errors import (
    AddressNotCalled,
    DeliveryNotFound,
    EventNotReadable,
    TooManyWebhooks,
    WebhookDisabled,
    WebhookNotFound,
)
from carteira.webhooks.fanning import EventMessage, body_of, deliver_soon
from carteira.webhooks.models import WebhookDelivery, WebhookEndpoint
from carteira.webhooks.schemas import (
    DeliveryOut,
    MessageOut,
    NewWebhookOut,
    ReplayOut,
    WebhookIn,
    WebhookOut,
    WebhookSecretOut,
)
from carteira.webhooks.secrets import add_secret

ENABLED = 10
"""Most enabled endpoints of a client."""
REPLAYED = 10_000
"""Most deliveries of one replay."""
TESTS = 10
"""Most test calls of a client in a minute, over all its endpoints."""
REPLAYS = 10
"""Most replays of a client in a minute, of one message or of many, over all its endpoints."""
_MINUTE = 60
_TESTED_ENOUGH = "Muitos testes em pouco tempo. Espere um pouco e tente de novo."
_REPLAYED_ENOUGH = (
    "Muitas repetições em pouco tempo. Espere um pouco; `POST /webhooks/{id}/replay` pede muitas de uma vez."
)
_WHY = {
    "malformed": "Endereço inválido.",
    "not_https": "O endereço deve ser https.",
    "credentials": "O endereço não pode ter usuário nem senha.",
    "fragment": "O endereço não pode ter fragmento (#).",
    "network": "O endereço não pode ser de uma rede interna.",
}


@dataclass(frozen=True, slots=True)
class Keeping:
    """The parts that the administration of endpoints needs."""

    targets: Targets
    sealer: Sealer
    standing: identity.ClientStanding
    retry: timedelta


KEEPING = StateKey[Keeping]("webhooks")


async def add(tx: Tx, keeping: Keeping, who: Principal, body: WebhookIn) -> NewWebhookOut:
    """Add an endpoint to a client; its secret is shown this once.

    Raises:
        ClientNotFound: there is no such client, it has ended, or it is not theirs. AddressNotCalled, EventNotReadable,
            ClaimsBeyondYours, TooManyWebhooks.
    """
    client = await _client(tx, keeping, who, body.client_id)
    _check_url(keeping, body.url)
    _check_events(who, client, body.events)
    await _lock_client(tx, client.id)
    await _refuse_too_many(tx, client.id)
    row = WebhookEndpoint(
        id=uuid7(),
        client_id=client.id,
        url=body.url,
        description=body.description,
        events=list(body.events),
        state="enabled",
        actor_kind=who.actor.kind,
        actor_id=who.actor.id,
        created_at=clock.now(),
    )
    tx.add(row)
    await tx.flush()
    secret = await add_secret(tx, keeping.sealer, row.id, overlap=timedelta())
    await audit.record(tx, "webhook_added", subject=client.id, webhook=str(row.id), events=list(body.events))
    return NewWebhookOut(**WebhookOut.model_validate(row).model_dump(), secret=secret)


async def _client(tx: Tx, keeping: Keeping, who: Principal, client_id: UUID | None) -> Principal:
    if client_id is None:
        if who.kind != "client":
            raise InvalidInput(errors=[{"field": "client_id", "message": "Informe de que cliente é."}])
        client_id = who.id
    if await identity.kind_of(tx, client_id) != "client" or not await _reaches(tx, keeping, who, client_id):
        raise identity.ClientNotFound
    return await keeping.standing(tx, client_id)


async def _reaches(tx: Tx, keeping: Keeping, who: Principal, client_id: UUID) -> bool:
    """Return whether a caller may manage a client's endpoints."""
    if who.kind == "client":
        return client_id == who.id
    if who.scopes is None:
        return True
    bound_to = (await keeping.standing(tx, client_id)).scopes
    return bound_to is not None and bound_to <= who.scopes


def _check_url(keeping: Keeping, url: str) -> None:
    try:
        keeping.targets.check(url)
    except TargetRefused as refused:
        raise AddressNotCalled(_WHY[refused.reason]) from refused


def _check_events(who: Principal, client: Principal, events: Collection[str]) -> None:
    lacking = sorted(name for name in events if CATALOG[name].claim not in client.claims)
    if lacking:
        raise EventNotReadable(lacking)
    _require_reading(who, events)


def _require_reading(who: Principal, events: Collection[str]) -> None:
    """Require that the caller may read these events themselves."""
    identity.require_may_grant(who, {CATALOG[name].claim for name in events if name in CATALOG})


async def _lock_client(tx: Tx, client_id: UUID) -> None:
    """Lock a client, so that its endpoints are counted by one transaction at a time."""
    await tx.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"webhooks:{client_id}", 0))))


async def _refuse_too_many(tx: Tx, client_id: UUID) -> None:
    there = await tx.scalar(
        select(func.count())
        .select_from(WebhookEndpoint)
        .where(WebhookEndpoint.client_id == client_id, WebhookEndpoint.state == "enabled")
    )
    if (there or 0) >= ENABLED:
        raise TooManyWebhooks


async def listed(  # noqa: PLR0913, PLR0917 - filters and the place in the list
    tx: Tx,
    keeping: Keeping,
    who: Principal,
    client_id: UUID | None,
    asked: PageRequest[UUID],
    state: str | None = None,
) -> Page[WebhookOut]:
    """List endpoints, newest first: a client's, or all that the caller manages; of a state, or any.

    Raises:
        ClientNotFound: there is no such client, or it is none of theirs.
    """
    query = select(WebhookEndpoint)
    if state is not None:
        query = query.where(WebhookEndpoint.state == state)
    if client_id is not None or who.kind == "client":
        client = await _client(tx, keeping, who, client_id)
        query = query.where(WebhookEndpoint.client_id == client.id)
    elif who.scopes is not None:
        clients = (await tx.scalars(select(WebhookEndpoint.client_id).distinct())).all()
        theirs = [one for one in clients if await _reaches(tx, keeping, who, one)]
        query = query.where(WebhookEndpoint.client_id.in_(theirs))
    query = keyset(
        query, WebhookEndpoint.id, after=asked.after, limit=asked.limit + 1, newest_first=True, turned=asked.turned
    )
    return asked.page((await tx.scalars(query)).all(), lambda row: row.id).map(WebhookOut.model_validate)


async def find(tx: Tx, keeping: Keeping, who: Principal, webhook_id: UUID) -> WebhookOut:
    """Return an endpoint.

    Raises:
        WebhookNotFound: there is none, or it is none of theirs.
    """
    return WebhookOut.model_validate(await _found(tx, keeping, who, await tx.get(WebhookEndpoint, webhook_id)))


async def _found(tx: Tx, keeping: Keeping, who: Principal, row: WebhookEndpoint | None) -> WebhookEndpoint:
    if row is None or not await _reaches(tx, keeping, who, row.client_id):
        raise WebhookNotFound
    return row


async def _locked(tx: Tx, keeping: Keeping, who: Principal, webhook_id: UUID) -> WebhookEndpoint:
    """Lock an endpoint for a caller who may read all its events."""
    row = await _found(tx, keeping, who, await locked(tx, WebhookEndpoint, webhook_id))
    _require_reading(who, row.events)
    return row


async def change(  # noqa: PLR0913, PLR0917 - the change, its actor and the version that they saw
    tx: Tx,
    keeping: Keeping,
    who: Principal,
    webhook_id: UUID,
    changes: Mapping[str, Any],
    seen: Precondition = UNCONDITIONAL,
) -> WebhookOut:
    """Change an endpoint; when enabled again, it gets events from now on.

    Raises:
        WebhookNotFound, AddressNotCalled, EventNotReadable, ClaimsBeyondYours, TooManyWebhooks.
        RecordChanged: the endpoint is no longer what was seen.
    """
    row = await _locked(tx, keeping, who, webhook_id)
    seen.hold(WebhookOut.model_validate(row).version)
    if "url" in changes:
        _check_url(keeping, changes["url"])
    if "events" in changes:
        _check_events(who, await keeping.standing(tx, row.client_id), changes["events"])
    if changes.get("state", row.state) == "enabled" and row.state == "disabled":
        await _lock_client(tx, row.client_id)
        await _refuse_too_many(tx, row.client_id)
        row.disabled_by = None
    elif changes.get("state") == "disabled" and row.state == "enabled":
        row.disabled_by = "request"
        await deliver_soon(tx, row.id, clock.now())  # gives up waiting deliveries
    for name, value in changes.items():
        setattr(row, name, value)
    if {"url", "state"} & changes.keys():
        row.failures, row.paused_until = 0, None
        await deliver_soon(tx, row.id, clock.now())
    await tx.flush()
    await audit.record(tx, "webhook_changed", subject=row.client_id, webhook=str(row.id), fields=sorted(changes))
    return WebhookOut.model_validate(row)


async def rotate(tx: Tx, keeping: Keeping, who: Principal, webhook_id: UUID, *, overlap: timedelta) -> WebhookSecretOut:
    """Issue a new secret for an endpoint, shown once; the former one also signs for `overlap`.

    Raises:
        WebhookNotFound, ClaimsBeyondYours.
        TooManyWebhookSecrets: two are valid already.
    """
    row = await _locked(tx, keeping, who, webhook_id)
    secret = await add_secret(tx, keeping.sealer, row.id, overlap=overlap)
    await audit.record(
        tx,
        "webhook_secret_added",
        subject=row.client_id,
        webhook=str(row.id),
        overlap_seconds=int(overlap.total_seconds()),
    )
    return WebhookSecretOut(secret=secret)


async def test(tx: Tx, keeping: Keeping, who: Principal, webhook_id: UUID) -> MessageOut:
    """Send an endpoint a test event.

    Raises:
        WebhookNotFound, ClaimsBeyondYours, WebhookDisabled.
        TooManyRequests: the client had so many lately.
    """
    row = await _locked(tx, keeping, who, webhook_id)
    if row.state == "disabled":
        raise WebhookDisabled
    await _refuse_too_many_tests(tx, row.client_id)
    now = clock.now()
    message = EventMessage(uuid7(), TEST, {"webhook_id": str(row.id)}, now)
    tx.add(
        WebhookDelivery(
            endpoint_id=row.id,
            message_id=message.id,
            event=TEST,
            body=body_of(message),
            created_at=now,
            retry_until=now + keeping.retry,
            next_attempt_at=now,
        )
    )
    await deliver_soon(tx, row.id, now)
    await audit.record(tx, "webhook_tested", subject=row.client_id, webhook=str(row.id))
    return MessageOut(message_id=message.id)


async def _refuse_too_many_tests(tx: Tx, client_id: UUID) -> None:
    await _lock_client(tx, client_id)
    lately = (
        select(WebhookDelivery.message_id)
        .join(WebhookEndpoint, WebhookEndpoint.id == WebhookDelivery.endpoint_id)
        .where(WebhookEndpoint.client_id == client_id, WebhookDelivery.event == TEST)
    )
    await _refuse_beyond(tx, lately, WebhookDelivery.message_id, TESTS, _TESTED_ENOUGH)


async def _refuse_too_many_replays(tx: Tx, client_id: UUID) -> None:
    """Count by the audit, which keeps each replay."""
    await _lock_client(tx, client_id)
    record = audit.AuditRecord
    lately = select(record.id).where(record.subject_id == client_id, record.action == "webhook_replayed")
    await _refuse_beyond(tx, lately, record.id, REPLAYS, _REPLAYED_ENOUGH)


async def _refuse_beyond(
    tx: Tx, lately: Select[UUID], made: InstrumentedAttribute[UUID], most: int, detail: str
) -> None:
    """Refuse an act beyond `most` in a minute, counted by the ids of the earlier ones."""
    now = clock.now().timestamp()
    newest = lately.where(made >= first_uuid7(now - _MINUTE)).order_by(made.desc()).limit(most)
    ids = (await tx.scalars(newest)).all()
    if len(ids) == most:
        raise TooManyRequests(math.ceil(made_at(ids[-1]) + _MINUTE - now), detail)


async def deliveries(  # noqa: PLR0913, PLR0917 - a list's filters and bounds
    tx: Tx, keeping: Keeping, who: Principal, webhook_id: UUID, state: str | None, asked: PageRequest[UUID]
) -> Page[DeliveryOut]:
    """List an endpoint's deliveries, newest first.

    Raises:
        WebhookNotFound: there is none, or it is none of theirs.
    """
    await _found(tx, keeping, who, await tx.get(WebhookEndpoint, webhook_id))
    query = select(WebhookDelivery).where(WebhookDelivery.endpoint_id == webhook_id)
    if state is not None:
        query = query.where(WebhookDelivery.state == state)
    key = WebhookDelivery.message_id
    query = keyset(query, key, after=asked.after, limit=asked.limit + 1, newest_first=True, turned=asked.turned)
    return asked.page((await tx.scalars(query)).all(), lambda row: row.message_id).map(DeliveryOut.model_validate)


async def replay_one(tx: Tx, keeping: Keeping, who: Principal, webhook_id: UUID, message_id: UUID) -> MessageOut:
    """Replay a delivery under the same `webhook-id`.

    Raises:
        WebhookNotFound, ClaimsBeyondYours, WebhookDisabled, DeliveryNotFound.
        TooManyRequests: the client had so many lately.
    """
    row = await _replayable(tx, keeping, who, webhook_id)
    if not await _queue_again(tx, keeping, row, [message_id]):
        raise DeliveryNotFound
    await _record_replay(tx, row, 1)
    return MessageOut(message_id=message_id)


async def replay_since(  # noqa: PLR0913 - the filters of a replay, and its caller
    tx: Tx, keeping: Keeping, who: Principal, webhook_id: UUID, *, since: datetime, state: str | None
) -> ReplayOut:
    """Replay an endpoint's events since an instant, the oldest first; waiting ones keep waiting.

    Raises:
        WebhookNotFound, ClaimsBeyondYours, WebhookDisabled.
        TooManyRequests: the client had so many lately.
    """
    row = await _replayable(tx, keeping, who, webhook_id)
    query = (
        select(WebhookDelivery.message_id)
        .where(
            WebhookDelivery.endpoint_id == row.id,
            WebhookDelivery.message_id >= first_uuid7(since.timestamp()),
            WebhookDelivery.state.in_(["dead", "delivered"] if state is None else [state]),
            WebhookDelivery.event.in_(_subscribed(row)),
        )
        .order_by(WebhookDelivery.message_id)
        .limit(REPLAYED + 1)
    )
    ids = (await tx.scalars(query)).all()
    replayed = await _queue_again(tx, keeping, row, ids[:REPLAYED])
    await _record_replay(tx, row, replayed)
    rest = ids[REPLAYED:]
    next_since = datetime.fromtimestamp(made_at(rest[0]), UTC) if rest else None
    return ReplayOut(replayed=replayed, more=bool(rest), next_since=next_since)


async def _replayable(tx: Tx, keeping: Keeping, who: Principal, webhook_id: UUID) -> WebhookEndpoint:
    row = await _locked(tx, keeping, who, webhook_id)
    if row.state == "disabled":
        raise WebhookDisabled
    await _refuse_too_many_replays(tx, row.client_id)
    return row


async def _queue_again(tx: Tx, keeping: Keeping, row: WebhookEndpoint, ids: Sequence[UUID]) -> int:
    """Queue deliveries again as if they were new, and return how many there were."""
    now = clock.now()
    changed = await tx.scalars(
        update(WebhookDelivery)
        .where(
            WebhookDelivery.endpoint_id == row.id,
            WebhookDelivery.message_id.in_(ids),
            WebhookDelivery.event.in_(_subscribed(row)),
        )
        .values(
            attempts=case((WebhookDelivery.state == "waiting", WebhookDelivery.attempts), else_=0),
            state="waiting",
            next_attempt_at=now,
            retry_until=now + keeping.retry,
        )
        .returning(WebhookDelivery.message_id)
        .execution_options(synchronize_session=False)
    )
    found = len(changed.all())
    if found:
        await deliver_soon(tx, row.id, now)
    return found


def _subscribed(row: WebhookEndpoint) -> list[str]:
    """Return an endpoint's present events: the caller's claims were checked for these only."""
    return [*row.events, TEST]


async def _record_replay(tx: Tx, row: WebhookEndpoint, number: int) -> None:
    await audit.record(tx, "webhook_replayed", subject=row.client_id, webhook=str(row.id), deliveries=number)
