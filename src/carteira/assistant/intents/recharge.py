"""Recharge a card: the card, the amount, the confirmation."""

from collections.abc import Sequence
from uuid import UUID

from carteira import payments, transit
from carteira.assistant.amounts import amount
from carteira.assistant.flow import UNSURE, Again, Done, Go, Intent, Outcome, Say, Stay, Step, Turn, numbered
from carteira.assistant.intents.cards import CardChoice, grouped
from carteira.kit.values.money import format_brl

_YES_NO = ("Sim, recarregar", "Não recarregar")
MOST = 1_000_000
"""The largest recharge by conversation, R$ 10.000,00: a limit against typing errors."""


async def _chosen(turn: Turn, card: transit.Card, _cards: Sequence[transit.Card]) -> Outcome:
    """Ask for the amount, unless it is known."""
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


_SEE = ("Ver o código",)
_ASKED = "Estou pedindo o código Pix ao banco. Em alguns segundos, responda “ver o código”."


async def _begin(turn: Turn) -> Outcome:
    return await _CHOICE.begin(turn) if turn.free_recharges or turn.paid_by else Done(_PAID)


async def _ask_amount(_turn: Turn) -> Say:
    return Say("De quanto é a recarga? Por exemplo: 20,00.")


async def _handle_amount(turn: Turn) -> Outcome:
    centavos = amount(turn.text)
    if centavos is None or centavos > MOST:
        return Again(f"Digite um valor em reais, até {format_brl(MOST)}, como 20 ou 20,50.")
    return Go("confirm", {"card": turn.data["card"], "amount": centavos})


async def _ask_confirmation(turn: Turn) -> Say:
    written, card = format_brl(turn.data["amount"]), grouped(turn.data["card"])
    return Say(f"Recarregar {written} no cartão {card}?", numbered(_YES_NO))


async def _handle_confirmation(turn: Turn) -> Outcome:
    if not (turn.free_recharges or turn.paid_by):  # it may have begun before payments were required
        return Done(_PAID)
    sure = turn.agreed(_YES_NO)
    if sure is None:
        return Again(UNSURE)
    if not sure:
        return Done("Certo, nada foi recarregado.")
    card, centavos, person = turn.data["card"], turn.data["amount"], turn.person
    if not turn.free_recharges:
        return await _begin_charge(turn, card, centavos)
    try:
        balance = await transit.recharge(turn.tx, person.user_id, card, centavos, actor=person.actor)
    except (transit.CardNotActive, transit.CardNotFound, transit.CardOfAnother):
        return Done("Este cartão já não recebe recarga. Nada foi recarregado.")
    return Done(f"Recarga de {format_brl(centavos)} feita. O saldo agora é {format_brl(balance)}.")


async def _begin_charge(turn: Turn, card: str, centavos: int) -> Outcome:
    """Store a charge; the provider creates it after the commit, and the next message shows its code."""
    assert turn.paid_by is not None, "it was looked at"
    order = payments.Order(payments.TRANSPORT_RECHARGE, centavos, card)
    try:
        charge_id = await payments.begin_charge(turn.tx, turn.paid_by, turn.person, order)
    except (transit.CardNotActive, transit.CardNotFound, transit.CardOfAnother):
        return Done("Este cartão já não recebe recarga. Nada foi cobrado.")
    except payments.TooManyCharges as error:
        return Done(error.detail)
    return Go("code", {"charge": str(charge_id)})


async def _ask_code(turn: Turn) -> Say:
    charge = await _charge(turn)
    if charge is not None and charge.code is not None:
        return Say(_code(charge), ["Já paguei"])
    return Say(_ASKED, numbered(_SEE))


def _code(charge: payments.ChargeView) -> str:
    about = "É uma simulação: nenhum dinheiro de verdade se move. " if charge.simulated else ""
    return (
        f"{about}Copie este código e cole em Pix Copia e Cola no aplicativo do seu banco. "
        f"O saldo entra sozinho quando {format_brl(charge.amount)} forem pagos.\n\n{charge.code}"
    )


async def _charge(turn: Turn) -> payments.ChargeView | None:
    if turn.paid_by is None:
        return None
    try:
        return await payments.charge_of(turn.tx, turn.paid_by, turn.person, UUID(turn.data["charge"]))
    except payments.ChargeNotFound:
        return None


async def _handle_code(turn: Turn) -> Outcome:
    charge = await _charge(turn)
    if charge is None or charge.state in {"expired", "refused"}:
        return Done("Esta cobrança já não pode ser paga. Nada foi cobrado; peça a recarga de novo.")
    if charge.state == "paid":
        return Done(f"Pago: {format_brl(charge.amount)} já estão no cartão.")
    return Stay(_code(charge) if charge.code else _ASKED, numbered(_SEE), turn.data)


INTENT = Intent(
    "recharge",
    "Recarregar um cartão",
    _begin,
    {
        "choose": _CHOICE.step,
        "amount": Step(_ask_amount, _handle_amount),
        "confirm": Step(_ask_confirmation, _handle_confirmation),
        "code": Step(_ask_code, _handle_code),
    },
    module="transit",
)
