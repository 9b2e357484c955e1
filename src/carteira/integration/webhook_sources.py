"""The sources of webhooks: the modules' events, decisions and returns as webhook events, with their people."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import RowMapping

from carteira import benefits, webhooks
from carteira.kit.db.outbox import Event


def webhook_sources(modules: Collection[str]) -> list[webhooks.MessageSource]:
    """Return the sources of the modules that are on."""
    sources = [webhooks.MessageSource("events", Event.__table__, _event)]
    if "benefits" in modules:
        sources += [
            webhooks.MessageSource("decisions", benefits.decision_events, _decision),
            webhooks.MessageSource("returns", benefits.return_events, _returned),
        ]
    return sources


def _event(row: RowMapping) -> webhooks.EventMessage | None:
    kind = webhooks.OF_TOPIC.get(row["topic"])
    if kind is None:
        return None
    payload = row["payload"]
    employer_id = payload.get("employer_id")
    subject = payload.get("user_id") or payload.get("account_id")
    return webhooks.EventMessage(
        row["id"],
        kind.name,
        {key: payload.get(key) for key in kind.data},
        row["occurred_at"],
        scope=None if employer_id is None else UUID(employer_id),
        subject=None if subject is None else UUID(subject),
    )


def _decision(row: RowMapping) -> webhooks.EventMessage:
    return webhooks.EventMessage(
        row["id"],
        "benefits.transaction_decided",
        _transaction(row, row["id"]) | {"code": row["code"], "category": row["category_used"]},
        row["created_at"],
        scope=row["employer_id"],
        subject=row["user_id"] or row["holder_id"],
    )


def _returned(row: RowMapping) -> webhooks.EventMessage:
    return webhooks.EventMessage(
        row["id"],
        "benefits.transaction_returned",
        _transaction(row, row["decision_id"]) | {"return_id": str(row["id"]), "kind": row["kind"]},
        row["created_at"],
        scope=row["employer_id"],
        subject=row["user_id"] or row["holder_id"],
    )


def _transaction(row: RowMapping, transaction_id: UUID) -> dict[str, object]:
    return {
        "transaction_id": str(transaction_id),
        "reference": row["external_id"],
        "account": row["account"],
        "employer_id": row["employer_id"] and str(row["employer_id"]),
        "amount": row["amount"],
    }
