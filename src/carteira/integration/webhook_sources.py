"""The sources of webhooks: the modules' events, decisions and returns as webhook events, with their people."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import RowMapping

from carteira import benefits, webhooks
from carteira.kit.db.outbox import Event


def webhook_sources(modules: Collection[str]) -> list[webhooks.HappeningSource]:
    """Name what is followed while these modules are on."""
    sources = [webhooks.HappeningSource("events", Event.__table__, _event)]
    if "benefits" in modules:
        sources += [
            webhooks.HappeningSource("decisions", benefits.decision_events, _decision),
            webhooks.HappeningSource("returns", benefits.return_events, _given_back),
        ]
    return sources


def _event(row: RowMapping) -> webhooks.Happening | None:
    kind = webhooks.OF_TOPIC.get(row["topic"])
    if kind is None:
        return None
    told = row["payload"]
    employer_id = told.get("employer_id")
    subject = told.get("user_id") or told.get("account_id")
    return webhooks.Happening(
        row["id"],
        kind.name,
        {key: told.get(key) for key in kind.data},
        row["occurred_at"],
        scope=None if employer_id is None else UUID(employer_id),
        subject=None if subject is None else UUID(subject),
    )


def _decision(row: RowMapping) -> webhooks.Happening:
    return webhooks.Happening(
        row["id"],
        "benefits.transaction_decided",
        _transaction(row, row["id"]) | {"code": row["code"], "category": row["category_used"]},
        row["created_at"],
        scope=row["employer_id"],
        subject=row["user_id"] or row["holder_id"],
    )


def _given_back(row: RowMapping) -> webhooks.Happening:
    return webhooks.Happening(
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
