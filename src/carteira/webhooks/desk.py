"""Webhooks for the console: endpoints, deliveries and replays, by the verbs of the API."""

from carteira.webhooks.catalog import CATALOG
from carteira.webhooks.maintenance import count_down
from carteira.webhooks.models import DeliveryState
from carteira.webhooks.schemas import About, DeliveryOut, NewWebhookOut, Url, WebhookIn, WebhookOut
from carteira.webhooks.service import (
    KEEPING,
    Keeping,
    add,
    change,
    deliveries,
    find,
    listed,
    replay_one,
    replay_since,
    rotate,
    test,
)

__all__ = [
    "CATALOG",
    "KEEPING",
    "About",
    "DeliveryOut",
    "DeliveryState",
    "Keeping",
    "NewWebhookOut",
    "Url",
    "WebhookIn",
    "WebhookOut",
    "add",
    "change",
    "count_down",
    "deliveries",
    "find",
    "listed",
    "replay_one",
    "replay_since",
    "rotate",
    "test",
]
