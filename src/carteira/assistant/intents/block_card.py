"""Block a card that was lost, and take that back. Blocking is undone by a word, so neither asks whether one is sure."""

from collections.abc import Sequence

from carteira import transit
from carteira.assistant.flow import Done, Intent, Outcome, Turn
from carteira.assistant.intents.cards import CardChoice, grouped

_UNBLOCK = "Desbloquear um cartão"
_GONE = "Este cartão já está cancelado, e um cartão cancelado não passa."


async def _block(turn: Turn, card: transit.Card, _cards: Sequence[transit.Card]) -> Outcome:
    try:
        await transit.block(turn.tx, turn.person.user_id, card.card_number)
    except transit.CardCancelled:
        return Done(_GONE)
    return Done(
        f"Cartão {grouped(card.card_number)} bloqueado: ninguém paga com ele, e o saldo continua seu. "
        f'Se o achar, escreva "{_UNBLOCK.lower()}".'
    )


async def _unblock(turn: Turn, card: transit.Card, _cards: Sequence[transit.Card]) -> Outcome:
    try:
        await transit.unblock(turn.tx, turn.person.user_id, card.card_number)
    except transit.CardCancelled:
        return Done("Este cartão já está cancelado e não volta a valer.")
    return Done(f"Cartão {grouped(card.card_number)} desbloqueado.")


_TO_BLOCK = CardChoice(
    statuses=("active",),
    question="Qual cartão você quer bloquear?",
    without="Você não tem cartão de transporte ativo para bloquear.",
    then=_block,
)
_TO_UNBLOCK = CardChoice(
    statuses=("blocked",),
    question="Qual cartão você quer desbloquear?",
    without="Você não tem cartão de transporte bloqueado.",
    then=_unblock,
)

BLOCK = Intent("block_card", "Bloquear um cartão", _TO_BLOCK.begin, {"choose": _TO_BLOCK.step}, module="transit")
UNBLOCK = Intent("unblock_card", _UNBLOCK, _TO_UNBLOCK.begin, {"choose": _TO_UNBLOCK.step}, module="transit")
