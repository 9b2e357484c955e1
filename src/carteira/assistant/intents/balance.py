"""Option 1: the balance of my card."""

from carteira import transit
from carteira.assistant.flow import Done, Intent, Turn
from carteira.assistant.intents.cards import cards_of, described
from carteira.assistant.pages import PAGES
from carteira.kit.values.money import format_brl

_PAGE = PAGES["/app/transporte"]


async def _begin(turn: Turn) -> Done:
    cards = await cards_of(turn, "active", "blocked")
    cards = [*cards, *(card for card in await cards_of(turn, "cancelled") if card.balance)]
    if not cards:
        return Done('Você não tem cartão de transporte ativo. Peça um em "Transporte".', page=_PAGE)
    message = "\n".join(described(card) for card in cards)
    if owed := await transit.debt_total(turn.tx, turn.person.user_id):
        message += f"\nHá {format_brl(owed)} em viagens a pagar: a próxima recarga as paga primeiro."
    return Done(message, page=_PAGE)


INTENT = Intent("balance", "Consultar o saldo do meu cartão", _begin, number=1, module="transit")
