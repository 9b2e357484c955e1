"""The e-mail of each event and its address, from the state at the time of sending; None: nothing is sent."""

from datetime import date
from uuid import UUID

from babel.dates import format_date

from carteira import documents, identity, payments, resellers, transit
from carteira.kit.db.session import Tx
from carteira.kit.outbound.email_templates import EmailTemplates
from carteira.kit.outbound.mail import Message
from carteira.kit.values.clock import clock
from carteira.kit.values.money import format_brl

Payload = dict[str, str]
"""The payload of an event."""
Addressed = tuple[str, Message]
"""An e-mail address and the message to it."""

_letters = EmailTemplates(
    "carteira.notices",
    {
        "card_blocked": "Seu cartão de transporte foi bloqueado",
        "card_cancelled": "Seu cartão de transporte foi cancelado",
        "card_unblocked": "Seu cartão de transporte foi desbloqueado",
        "cashback_credited": "Seu cashback do mês foi creditado",
        "document_expiring": "Um documento seu está para vencer",
        "document_refused": "Um documento seu foi recusado",
        "document_reviewed": "Um documento seu foi conferido",
        "payment_returned": "Um Pix seu foi devolvido",
        "purchase_approved": "Sua compra foi aprovada",
        "purchase_rejected": "Sua compra foi reprovada",
    },
)


async def _person(tx: Tx, event: Payload) -> identity.PersonView | None:
    """Return the person whom an event concerns, unless they were erased."""
    try:
        return await identity.person(tx, UUID(event["user_id"]))
    except identity.UserNotFound:
        return None


def _to(person: identity.PersonView, letter: str, **values: object) -> Addressed:
    return person.email, _letters.compose(letter, name=person.full_name.split()[0], **values)


async def of_document(tx: Tx, event: Payload) -> Addressed | None:
    """Write the reminder of a document, unless it is gone, renewed or past by now."""
    person, expires_on = await _person(tx, event), date.fromisoformat(event["expires_on"])
    if person is None:
        return None
    try:
        document = await documents.read(tx, person.id, UUID(event["document_id"]))
    except documents.DocumentNotFound:
        return None
    days = (expires_on - clock.today()).days
    if document.expires_on != expires_on or days < 0:
        return None
    return _to(
        person,
        "document_expiring",
        document=document.document_type.value,
        when={0: "hoje", 1: "amanhã"}.get(days, f"em {days} dias"),
        expires_on=format_date(expires_on, "long", locale="pt_BR"),
    )


async def of_refused_document(tx: Tx, event: Payload) -> Addressed | None:
    """Write why a document was refused, unless it has changed since."""
    return await _of_decided_document(tx, event, documents.DocumentState.REFUSED)


async def of_reviewed_document(tx: Tx, event: Payload) -> Addressed | None:
    """Write that a document was reviewed, unless it has changed since."""
    return await _of_decided_document(tx, event, documents.DocumentState.REVIEWED)


async def _of_decided_document(tx: Tx, event: Payload, state: documents.DocumentState) -> Addressed | None:
    person = await _person(tx, event)
    if person is None:
        return None
    try:
        document = await documents.read(tx, person.id, UUID(event["document_id"]))
    except documents.DocumentNotFound:
        return None
    if document.state is not state:
        return None
    return _to(person, f"document_{state.value}", document=document.document_type.value, reason=document.refusal_reason)


async def of_cancelled_card(tx: Tx, event: Payload) -> Addressed | None:
    """Write that a card was cancelled."""
    return await _of_card(tx, event, "cancelled", "card_cancelled")


async def of_blocked_card(tx: Tx, event: Payload) -> Addressed | None:
    """Write that a card was blocked, unless it no longer is."""
    return await _of_card(tx, event, "blocked", "card_blocked")


async def of_unblocked_card(tx: Tx, event: Payload) -> Addressed | None:
    """Write that a card was unblocked, unless it no longer is active."""
    return await _of_card(tx, event, "active", "card_unblocked")


async def _of_card(tx: Tx, event: Payload, status: str, letter: str) -> Addressed | None:
    person = await _person(tx, event)
    if person is None:
        return None
    card = next((card for card in await transit.cards(tx, person.id) if str(card.id) == event["card_id"]), None)
    if card is None or card.status != status:
        return None
    return _to(person, letter, last_digits=card.card_number[-4:], has_balance=card.balance > 0)


async def of_returned_payment(tx: Tx, event: Payload) -> Addressed | None:
    """Write that a Pix was returned, whole or in part, and the reason unless it is an operator's own words."""
    person = await _person(tx, event) if event["user_id"] else None  # a client's, or nobody's charge
    if person is None:
        return None
    amount = format_brl(int(event["amount"]))
    return _to(person, "payment_returned", amount=amount, because=payments.why(str(event["reason"])))


async def of_decided_purchase(tx: Tx, event: Payload) -> Addressed | None:
    """Write to a reseller that a purchase was approved or rejected."""
    person = await _person(tx, event)
    purchase = await resellers.decided_purchase(tx, UUID(event["purchase_id"]))
    if person is None or purchase is None:
        return None
    return _to(
        person,
        "purchase_approved" if purchase.approved else "purchase_rejected",
        code=purchase.code,
        amount=format_brl(purchase.amount),
        reason=purchase.rejection_reason,
    )


async def of_cashback(tx: Tx, event: Payload) -> Addressed | None:
    """Write to a reseller what the closed month brought."""
    person, month = await _person(tx, event), date.fromisoformat(f"{event['month']}-01")
    credited = await resellers.credited(tx, UUID(event["reseller_id"]), month)
    if person is None or credited.amount <= 0:
        return None
    return _to(
        person,
        "cashback_credited",
        month=format_date(month, "MMMM 'de' y", locale="pt_BR"),
        amount=format_brl(credited.amount),
        adjusted=format_brl(abs(credited.adjusted)) if credited.adjusted else None,
        kept_back=credited.adjusted < 0,
    )
