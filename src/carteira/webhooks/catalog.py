"""The catalog of events: each one's name, claim and content. Plain data."""

from collections.abc import Mapping
from dataclasses import dataclass

TEST = "webhook.test"
"""The type of a test call; it is no event, and nobody subscribes to it."""


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """A kind of event."""

    name: str
    claim: str
    """The claim that its receiver needs."""
    data: tuple[str, ...]
    """Its fields: ids, amounts in centavos, states; nothing that identifies people."""
    about: str
    """The occasion on which it is sent, for `docs/reference/webhooks.md`."""
    topic: str = ""
    """Its topic in the outbox; empty: it comes from rows of a module's table."""


_TRANSACTION = ("transaction_id", "reference", "account", "employer_id", "amount")
_MOVED = ("card_id", "amount", "entry_id")
_FUND = ("employer_id", "amount", "entry_id")
_CHARGE = ("charge_id", "purpose", "target_id", "amount")
_ADJUSTMENT = ("adjustment_id", "reseller_id", "month", "amount")
_PAYMENT = ("e2eid", "charge_id", "amount")


def _of_outbox(name: str, claim: str, data: tuple[str, ...], about: str) -> WebhookEvent:
    return WebhookEvent(name, claim, data, about, topic=name)


CATALOG: Mapping[str, WebhookEvent] = {
    kind.name: kind
    for kind in (
        WebhookEvent(
            "benefits.transaction_decided",
            "benefits:read",
            (*_TRANSACTION, "code", "category"),
            "the authorizer answered a purchase, whatever it answered",
        ),
        WebhookEvent(
            "benefits.transaction_returned",
            "benefits:read",
            ("return_id", "kind", *_TRANSACTION),
            "a purchase was reversed, or a part of it refunded",
        ),
        _of_outbox(
            "benefits.credited",
            "benefits:read",
            ("account_id", "employer_id", "category", "amount", "entry_id"),
            "an account was topped up: alone, in bulk or as scheduled",
        ),
        _of_outbox(
            "benefits.account_opened",
            "benefits:read",
            ("account_id", "account", "employer_id"),
            "an account was opened, alone or from a file",
        ),
        _of_outbox(
            "benefits.account_claimed",
            "benefits:read",
            ("account_id", "account", "employer_id"),
            "a person made an account theirs",
        ),
        _of_outbox("benefits.funded", "benefits:read", _FUND, "what a pre-funded employer paid in is in its fund"),
        _of_outbox(
            "benefits.fund_returned",
            "benefits:read",
            _FUND,
            "what a pre-funded employer had paid in was taken out again",
        ),
        _of_outbox(
            "payments.charge_paid",
            "payments:read",
            (*_CHARGE, "e2eid"),
            "a charge was paid, and credited to its target",
        ),
        _of_outbox("payments.charge_expired", "payments:read", _CHARGE, "a charge was not paid in time"),
        _of_outbox("payments.charge_refused", "payments:read", _CHARGE, "the provider does not take a charge"),
        _of_outbox(
            "payments.not_credited",
            "payments:read",
            (*_PAYMENT, "reason"),
            "a payment came in that belongs nowhere, and is to be returned",
        ),
        _of_outbox(
            "payments.returned", "payments:read", ("return_id", *_PAYMENT), "a payment was returned, or a part of it"
        ),
        _of_outbox(
            "payments.return_failed",
            "payments:read",
            ("return_id", *_PAYMENT),
            "the provider did not make a return, which waits for an operator",
        ),
        _of_outbox("transit.card_blocked", "transit:validate", ("card_id",), "a transport card was blocked"),
        _of_outbox("transit.card_unblocked", "transit:validate", ("card_id",), "a transport card was unblocked"),
        _of_outbox("transit.card_cancelled", "transit:validate", ("card_id",), "a transport card was cancelled"),
        _of_outbox("transit.recharged", "ledger:read", _MOVED, "a transport card was recharged"),
        _of_outbox("transit.debited", "ledger:read", _MOVED, "a transport card paid a fare online"),
        _of_outbox("transit.ride_paid", "ledger:read", _MOVED, "a transport card paid for a tap"),
        _of_outbox("transit.reversed", "ledger:read", _MOVED, "a movement of a transport card was reversed"),
        _of_outbox(
            "resellers.purchase_approved",
            "purchases:read",
            ("purchase_id", "reseller_id"),
            "a reseller's purchase was approved",
        ),
        _of_outbox(
            "resellers.purchase_rejected",
            "purchases:read",
            ("purchase_id", "reseller_id"),
            "a reseller's purchase was rejected",
        ),
        _of_outbox(
            "resellers.cashback_credited",
            "purchases:read",
            ("reseller_id", "month"),
            "a month was closed and a reseller's cashback credited",
        ),
        _of_outbox(
            "resellers.adjustment_booked",
            "purchases:read",
            _ADJUSTMENT,
            "a correction of a reseller's closed month was booked; `amount` is negative where too much was credited",
        ),
        _of_outbox(
            "resellers.adjustment_undone",
            "purchases:read",
            _ADJUSTMENT,
            "a correction of a reseller's closed month was undone",
        ),
        _of_outbox(
            "documents.reviewed", "documents:follow", ("document_id", "user_id"), "a person's document was reviewed"
        ),
        _of_outbox(
            "documents.refused", "documents:follow", ("document_id", "user_id"), "a person's document was refused"
        ),
        _of_outbox(
            "documents.expiring",
            "documents:follow",
            ("document_id", "user_id", "document_type", "expires_on"),
            "a person's document is about to expire",
        ),
        _of_outbox("identity.person_registered", "users:read", ("user_id",), "a person was registered"),
        _of_outbox("identity.person_erased", "users:read", ("user_id",), "a person was erased"),
    )
}
"""Every event, by its name."""
OF_TOPIC: Mapping[str, WebhookEvent] = {kind.topic: kind for kind in CATALOG.values() if kind.topic}
