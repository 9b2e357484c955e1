"""Recharge a card: which one, how much, sure?"""

from carteira import transit
from carteira.assistant.flow import Again, Done, Go, Intent, Outcome, Say, Step, Turn, numbered
from carteira.assistant.intents.cards import cards_of, described, grouped
from carteira.assistant.text import amount, yes_or_no
from carteira.kit.values.money import format_brl

_YES_NO = ("Sim, recarregar", "Não recarregar")
MOST = 1_000_000
"""The largest recharge by conversation, R$ 10.000,00: a slip of the finger costs more than asking again."""


async def _begin(turn: Turn) -> Outcome:
    cards = await cards_of(turn, "active")
    if not cards:
        return Done("Você não tem cartão de transporte ativo para recarregar.")
    if len(cards) == 1:
        return Go("amount", {"card": cards[0].card_number})
    return Go("choose", {"cards": [card.card_number for card in cards]})


async def _listed(turn: Turn) -> list[transit.Card]:
    cards = {card.card_number: card for card in await cards_of(turn, "active")}
    return [cards[number] for number in turn.data["cards"] if number in cards]


async def _ask_which(turn: Turn) -> Say:
    return Say("Qual cartão você quer recarregar?", numbered([described(card) for card in await _listed(turn)]))


async def _take_which(turn: Turn) -> Outcome:
    cards = await _listed(turn)
    place = turn.chosen([described(card) for card in cards])
    if place is None:
        return Again("Responda com o número de uma das opções.")
    return Go("amount", {"card": cards[place].card_number})


async def _ask_amount(_turn: Turn) -> Say:
    return Say("De quanto é a recarga? Por exemplo: 20,00.")


async def _take_amount(turn: Turn) -> Outcome:
    centavos = amount(turn.text)
    if centavos is None or centavos > MOST:
        return Again(f"Digite um valor em reais, até {format_brl(MOST)}, como 20 ou 20,50.")
    return Go("confirm", {"card": turn.data["card"], "amount": centavos})


async def _ask_whether(turn: Turn) -> Say:
    written, card = format_brl(turn.data["amount"]), grouped(turn.data["card"])
    return Say(f"Recarregar {written} no cartão {card}?", numbered(_YES_NO))


async def _take_whether(turn: Turn) -> Outcome:
    place = turn.chosen(_YES_NO)
    sure = yes_or_no(turn.text) if place is None else place == 0
    if sure is None:
        return Again("Responda sim ou não.")
    if not sure:
        return Done("Certo, nada foi recarregado.")
    try:
        balance = await transit.recharge(turn.tx, turn.person.user_id, turn.data["card"], turn.data["amount"])
    except (transit.CardNotActive, transit.CardNotFound, transit.CardOfAnother):
        return Done("Este cartão já não recebe recarga. Nada foi recarregado.")
    return Done(f"Recarga de {format_brl(turn.data['amount'])} feita. O saldo agora é {format_brl(balance)}.")


INTENT = Intent(
    "recharge",
    "Recarregar um cartão",
    _begin,
    {
        "choose": Step(_ask_which, _take_which),
        "amount": Step(_ask_amount, _take_amount),
        "confirm": Step(_ask_whether, _take_whether),
    },
    module="transit",
)
