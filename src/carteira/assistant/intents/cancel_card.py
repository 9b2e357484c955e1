"""Option 2: cancel a card after a confirmation.

If the person has another card, the balance can be moved to it.
"""

from collections.abc import Sequence

from carteira import transit
from carteira.assistant.flow import UNSURE, Again, Done, Go, Intent, Outcome, Say, Step, Turn, numbered
from carteira.assistant.intents.cards import CardChoice, grouped
from carteira.kit.values.money import format_brl

_YES_NO = ("Sim, cancelar", "Não cancelar")
_LEAVE = "Deixar o saldo no cartão cancelado"
_GONE = "Este cartão já não pode ser cancelado."


async def _chosen(_turn: Turn, card: transit.Card, cards: Sequence[transit.Card]) -> Outcome:
    others = [other.card_number for other in cards if other.status == "active" and other is not card]
    if card.balance and others:
        return Go("move", {"card": card.card_number, "targets": others})
    return Go("confirm", {"card": card.card_number})


_CHOICE = CardChoice(
    statuses=("active", "blocked"),
    question="Qual cartão você quer cancelar?",
    without="Você não tem cartão de transporte para cancelar.",
    then=_chosen,
)


def _targets(turn: Turn) -> list[str]:
    return [*(f"Mover para o cartão {grouped(number)}" for number in turn.data["targets"]), _LEAVE]


async def _ask_target(turn: Turn) -> Say:
    balance = await transit.balance(turn.tx, turn.person.user_id, turn.data["card"])
    return Say(f"O cartão tem {format_brl(balance)}. Para onde vai o saldo?", numbered(_targets(turn)))


async def _handle_target(turn: Turn) -> Outcome:
    places = _targets(turn)
    place = turn.chosen(places)
    if place is None:
        return Again("Responda com o número de uma das opções.")
    target = None if places[place] == _LEAVE else turn.data["targets"][place]
    return Go("confirm", {"card": turn.data["card"], "target": target})


async def _ask_confirmation(turn: Turn) -> Say:
    number, target = turn.data["card"], turn.data.get("target")
    balance = await transit.balance(turn.tx, turn.person.user_id, number)
    about = ""
    if target:
        about = f" O saldo de {format_brl(balance)} vai para o cartão {grouped(target)}."
    elif balance:
        about = f" O saldo de {format_brl(balance)} fica nele e pode ser movido depois para outro cartão seu."
    return Say(f"Cancelar o cartão {grouped(number)}? O cancelamento é definitivo.{about}", numbered(_YES_NO))


async def _handle_confirmation(turn: Turn) -> Outcome:
    sure = turn.agreed(_YES_NO)
    if sure is None:
        return Again(UNSURE)
    if not sure:
        return Done("Certo, o cartão não foi cancelado.")
    number, target = turn.data["card"], turn.data.get("target")
    try:
        person = turn.person
        await transit.cancel(turn.tx, person.user_id, number, actor=person.actor, move_balance_to=target)
    except (transit.CardCancelled, transit.CardNotFound, transit.CardOfAnother):
        return Done(_GONE)
    except transit.CardNotActive:
        return Done("O cartão que receberia o saldo não está ativo. Nada foi cancelado.")
    moved = f" O saldo foi para o cartão {grouped(target)}." if target else ""
    return Done(f"Cartão {grouped(number)} cancelado.{moved} Você recebe a confirmação por e-mail.")


INTENT = Intent(
    "cancel_card",
    "Cancelar um cartão",
    _CHOICE.begin,
    {
        "choose": _CHOICE.step,
        "move": Step(_ask_target, _handle_target),
        "confirm": Step(_ask_confirmation, _handle_confirmation),
    },
    number=2,
    module="transit",
)
