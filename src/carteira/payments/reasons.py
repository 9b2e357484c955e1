"""Reasons why a payment was not credited or was returned, each as the end of a Portuguese sentence."""

from collections.abc import Mapping

_WHY: Mapping[str, str] = {
    "no_charge": "não é de nenhuma cobrança nossa",
    "paid_already": "a cobrança já estava paga",
    "other_amount": "o valor não era o da cobrança",
    "expired": "foi pago depois do prazo",
    "card_not_active": "o cartão estava bloqueado ou cancelado",
    "card_not_found": "o cartão não existe mais",
    "purpose_off": "o que seria pago está desligado",
    "ORIGINAL": "foi devolvido na conta do provedor, e não por aqui",
    "RETIRADA": "foi devolvido na conta do provedor, e não por aqui",
    "MED_FRAUDE": "o banco de quem pagou o contestou, por fraude",
    "MED_OPERACIONAL": "houve uma falha de um dos bancos",
    "MED_PIX_AUTOMATICO": "houve um erro em um Pix Automático",
    "OUTRA": "o provedor o devolveu",
}


def why(reason: str) -> str | None:
    """Return a reason's code, or a provider's kind of return, in words; None: it is an operator's own words."""
    return _WHY.get(reason)
