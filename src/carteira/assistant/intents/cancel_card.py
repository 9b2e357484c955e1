"""Option 2: cancel a card, with its balance moved where there is another card, after a confirmation."""

from carteira import transit
from carteira.assistant.flow import Again, Done, Go, Intent, Outcome, Say, Step, Turn, numbered
from carteira.assistant.intents.cards import cards_of, described, grouped
from carteira.assistant.text import yes_or_no
from carteira.kit.values.money import format_brl

_YES_NO = ("Sim, cancelar", "Não cancelar")
_LEAVE = "Deixar o saldo no cartão cancelado"
_GONE = "Este cartão já não pode ser cancelado."


async def _begin(turn: Turn) -> Outcome:
    cards = await cards_of(turn, "active", "blocked")
    if not cards:
        return Done("Você não tem cartão de transporte para cancelar.")
    if len(cards) == 1:
        return Go("confirm", {"card": cards[0].card_number})
    return Go("choose", {"cards": [card.card_number for card in cards]})


async def _listed(turn: Turn) -> list[transit.Card]:
    """Give the cards that were offered, in the order in which they were."""
    cards = {card.card_number: card for card in await cards_of(turn, "active", "blocked")}
    return [cards[number] for number in turn.data["cards"] if number in cards]


async def _ask_which(turn: Turn) -> Say:
    return Say("Qual cartão você quer cancelar?", numbered([described(card) for card in await _listed(turn)]))


async def _take_which(turn: Turn) -> Outcome:
    cards = await _listed(turn)
    place = turn.chosen([described(card) for card in cards])
    if place is None:
        digits = turn.plain.replace(" ", "")
        matching = [card for card in cards if len(digits) >= 4 and card.card_number.endswith(digits)]  # noqa: PLR2004
        if len(matching) != 1:
            return Again("Responda com o número de uma das opções.")
        card = matching[0]
    else:
        card = cards[place]
    others = [other.card_number for other in cards if other.status == "active" and other is not card]
    if card.balance and others:
        return Go("move", {"card": card.card_number, "targets": others})
    return Go("confirm", {"card": card.card_number})


def _places(turn: Turn) -> list[str]:
    return [*(f"Mover para o cartão {grouped(number)}" for number in turn.data["targets"]), _LEAVE]


async def _ask_where(turn: Turn) -> Say:
    balance = await transit.balance(turn.tx, turn.person.user_id, turn.data["card"])
    return Say(f"O cartão tem {format_brl(balance)}. Para onde vai o saldo?", numbered(_places(turn)))


async def _take_where(turn: Turn) -> Outcome:
    places = _places(turn)
    place = turn.chosen(places)
    if place is None:
        return Again("Responda com o número de uma das opções.")
    target = None if places[place] == _LEAVE else turn.data["targets"][place]
    return Go("confirm", {"card": turn.data["card"], "target": target})


async def _ask_whether(turn: Turn) -> Say:
    number, target = turn.data["card"], turn.data.get("target")
    balance = await transit.balance(turn.tx, turn.person.user_id, number)
    about = ""
    if target:
        about = f" O saldo de {format_brl(balance)} vai para o cartão {grouped(target)}."
    elif balance:
        about = f" O saldo de {format_brl(balance)} fica nele e pode ser movido depois para outro cartão seu."
    return Say(f"Cancelar o cartão {grouped(number)}? O cancelamento é definitivo.{about}", numbered(_YES_NO))


async def _take_whether(turn: Turn) -> Outcome:
    place = turn.chosen(_YES_NO)
    sure = yes_or_no(turn.text) if place is None else place == 0
    if sure is None:
        return Again("Responda sim ou não.")
    if not sure:
        return Done("Certo, o cartão não foi cancelado.")
    number, target = turn.data["card"], turn.data.get("target")
    try:
        await transit.cancel(turn.tx, turn.person.user_id, number, move_balance_to=target)
    except (transit.CardCancelled, transit.CardNotFound, transit.CardOfAnother):
        return Done(_GONE)
    except transit.CardNotActive:
        return Done("O cartão que receberia o saldo não está ativo. Nada foi cancelado.")
    moved = f" O saldo foi para o cartão {grouped(target)}." if target else ""
    return Done(f"Cartão {grouped(number)} cancelado.{moved} Você recebe a confirmação por e-mail.")


INTENT = Intent(
    "cancel_card",
    "Cancelar um cartão",
    _begin,
    {
        "choose": Step(_ask_which, _take_which),
        "move": Step(_ask_where, _take_where),
        "confirm": Step(_ask_whether, _take_whether),
    },
    number=2,
    module="transit",
)
