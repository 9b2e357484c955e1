"""Block a lost card, and unblock it.

Blocking is easily undone, so it needs no confirmation. Unblocking does, since it would reactivate a stolen card.
"""

from collections.abc import Sequence

from carteira import transit
from carteira.assistant.flow import UNSURE, Again, Done, Go, Intent, Outcome, Say, Step, Turn, numbered
from carteira.assistant.intents.cards import CardChoice, grouped

_UNBLOCK = "Desbloquear um cartão"
_YES_NO = ("Sim, desbloquear", "Não desbloquear")
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


async def _chosen(_turn: Turn, card: transit.Card, _cards: Sequence[transit.Card]) -> Outcome:
    return Go("confirm", {"card": card.card_number})


async def _ask_confirmation(turn: Turn) -> Say:
    return Say(
        f"Desbloquear o cartão {grouped(turn.data['card'])}? Quem estiver com ele volta a pagar.", numbered(_YES_NO)
    )


async def _handle_confirmation(turn: Turn) -> Outcome:
    sure = turn.agreed(_YES_NO)
    if sure is None:
        return Again(UNSURE)
    if not sure:
        return Done("Certo, o cartão continua bloqueado.")
    number = turn.data["card"]
    try:
        await transit.unblock(turn.tx, turn.person.user_id, number)
    except transit.CardCancelled:
        return Done("Este cartão já está cancelado e não volta a valer.")
    return Done(f"Cartão {grouped(number)} desbloqueado.")


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
    then=_chosen,
)

BLOCK = Intent("block_card", "Bloquear um cartão", _TO_BLOCK.begin, {"choose": _TO_BLOCK.step}, module="transit")
UNBLOCK = Intent(
    "unblock_card",
    _UNBLOCK,
    _TO_UNBLOCK.begin,
    {"choose": _TO_UNBLOCK.step, "confirm": Step(_ask_confirmation, _handle_confirmation)},
    module="transit",
)
