"""The assistant's intents, one file each, and the order of the menu (rules.md, assistant)."""

from carteira.assistant.flow import Intent
from carteira.assistant.intents import (
    ask,
    balance,
    benefits,
    block_card,
    cancel_card,
    cashback,
    human,
    my_documents,
    recharge,
    save_document,
)

ALL: dict[str, Intent] = {
    intent.name: intent
    for intent in (
        balance.INTENT,
        cancel_card.INTENT,
        save_document.INTENT,
        my_documents.INTENT,
        ask.INTENT,
        benefits.BALANCE,
        benefits.STATEMENT,
        benefits.DECLINED,
        recharge.INTENT,
        block_card.BLOCK,
        block_card.UNBLOCK,
        cashback.INTENT,
        human.INTENT,
    )
}
MENU = sorted((intent for intent in ALL.values() if intent.number is not None), key=lambda intent: intent.number or 0)
