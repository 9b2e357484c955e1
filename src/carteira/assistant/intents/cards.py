"""What the intents about transport cards share."""

from collections.abc import Sequence

from carteira import transit
from carteira.assistant.flow import Turn
from carteira.kit.values.money import format_brl

STATUS = {"blocked": " (bloqueado)", "cancelled": " (cancelado)"}


def grouped(card_number: str) -> str:
    """Write a card's number as it stands on the card."""
    return " ".join(card_number[start : start + 4] for start in range(0, len(card_number), 4))


def described(card: transit.Card) -> str:
    """Write a card with its state and balance."""
    return f"Cartão {grouped(card.card_number)}{STATUS.get(card.status, '')}: {format_brl(card.balance)}"


async def cards_of(turn: Turn, *statuses: str) -> Sequence[transit.Card]:
    """Give the person's cards in these states."""
    return [card for card in await transit.cards(turn.tx, turn.person.user_id) if card.status in statuses]
