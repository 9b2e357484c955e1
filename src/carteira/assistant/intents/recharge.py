"""Recharge a card: which one, how much, sure?"""

from collections.abc import Sequence

from carteira import transit
from carteira.assistant.amounts import amount
from carteira.assistant.flow import UNSURE, Again, Done, Go, Intent, Outcome, Say, Step, Turn, numbered
from carteira.assistant.intents.cards import CardChoice, grouped
from carteira.kit.values.money import format_brl

_YES_NO = ("Sim, recarregar", "Não recarregar")
MOST = 1_000_000
"""The largest recharge by conversation, R$ 10.000,00: a slip of the finger costs more than asking again."""


async def _chosen(turn: Turn, card: transit.Card, _cards: Sequence[transit.Card]) -> Outcome:
    """Ask how much, unless that was said already."""
    said = turn.data.get("amount")
    if said is None or said > MOST:
        return Go("amount", {"card": card.card_number})
    return Go("confirm", {"card": card.card_number, "amount": said})


_CHOICE = CardChoice(
    statuses=("active",),
    question="Qual cartão você quer recarregar?",
    without="Você não tem cartão de transporte ativo para recarregar.",
    then=_chosen,
)


_PAID = (
    "Para recarregar o cartão é preciso pagar, e isso ainda não se faz por aqui. Leve o cartão a um posto de "
    "atendimento e pague em dinheiro."
)


async def _begin(turn: Turn) -> Outcome:
    return await _CHOICE.begin(turn) if turn.free_recharges else Done(_PAID)


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
    if not turn.free_recharges:  # it may have begun before a payment was needed
        return Done(_PAID)
    sure = turn.agreed(_YES_NO)
    if sure is None:
        return Again(UNSURE)
    if not sure:
        return Done("Certo, nada foi recarregado.")
    card, centavos, person = turn.data["card"], turn.data["amount"], turn.person
    try:
        balance = await transit.recharge(turn.tx, person.user_id, card, centavos, actor=person.actor)
    except (transit.CardNotActive, transit.CardNotFound, transit.CardOfAnother):
        return Done("Este cartão já não recebe recarga. Nada foi recarregado.")
    return Done(f"Recarga de {format_brl(centavos)} feita. O saldo agora é {format_brl(balance)}.")


INTENT = Intent(
    "recharge",
    "Recarregar um cartão",
    _begin,
    {
        "choose": _CHOICE.step,
        "amount": Step(_ask_amount, _take_amount),
        "confirm": Step(_ask_whether, _take_whether),
    },
    module="transit",
)
