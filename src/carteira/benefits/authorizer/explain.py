"""Decisions explained to a person, in Portuguese."""

import unicodedata

from carteira.benefits.authorizer.answers import Code, Reason
from carteira.benefits.authorizer.rules import CASH, Decision, Rule
from carteira.kit.values.money import format_brl

_CATEGORIES = {"FOOD": "Alimentação", "MEAL": "Refeição", CASH: "saldo livre (CASH)"}
_REFUSALS = {
    Reason.UNKNOWN_ACCOUNT: "a conta informada não existe.",
    Reason.ACCOUNT_BLOCKED: "a conta está bloqueada. Fale com a empresa que a mantém.",
    Reason.TRANSACTION_ID_REUSED: "o identificador da transação já foi usado em outra compra.",
    Reason.REVERSED_BEFORE: "ela já tinha sido estornada quando chegou.",
    Reason.INVALID_ACCOUNT: "a conta informada não é válida.",
    Reason.INVALID_AMOUNT: "o valor não é positivo ou tem mais de duas casas decimais.",
    Reason.INVALID_MCC: "o código do estabelecimento (MCC) não tem quatro dígitos.",
    Reason.INVALID_MERCHANT: "o nome do estabelecimento está em branco ou não é válido.",
    Reason.INVALID_ID: "o identificador da transação não é válido.",
    Reason.INVALID_FALLBACK: "o parâmetro fallback deve ser true ou false.",
    Reason.MALFORMED: "o pedido não pôde ser lido.",
}


def name_category(category: str) -> str:
    """Return a category's name for people."""
    return _CATEGORIES.get(category, category)


def category_named(text: str) -> str:
    """Return the category with a Portuguese name, or with its own name in any case."""
    named = {_folded(name): category for category, name in _CATEGORIES.items()} | {"livre": CASH}
    return named.get(_folded(text), text.upper())


def _folded(text: str) -> str:
    bare = "".join(sign for sign in unicodedata.normalize("NFKD", text) if not unicodedata.combining(sign))
    return bare.casefold()


def explain(decision: Decision) -> str:
    """Return in Portuguese why a purchase was approved or declined, with the rule and the amounts."""
    if decision.code == Code.REFUSED or decision.amount is None or decision.category_tried is None:
        why = _REFUSALS.get(Reason(decision.reason), "o pedido não pôde ser processado.")
        return f"Compra recusada: {why}"
    tried = name_category(decision.category_tried)
    why = {
        Rule.MERCHANT: f"o estabelecimento é da categoria {tried} pelo nome",
        Rule.MCC: f"o tipo de estabelecimento (MCC {decision.mcc}) é da categoria {tried}",
        Rule.DEFAULT: f"o tipo de estabelecimento (MCC {decision.mcc}) não é de alimentação nem de refeição",
    }[Rule(decision.rule or Rule.DEFAULT)]
    amount = format_brl(decision.amount)
    if decision.reason == Reason.APPROVED:
        return f"Compra de {amount} aprovada em {tried}: {why}."
    if decision.reason == Reason.APPROVED_BY_FALLBACK:
        return f"Compra de {amount} aprovada com o saldo livre: {why}, mas faltou saldo em {tried}."
    missing = format_brl(decision.short_by or 0)
    if decision.category_tried == CASH:
        ending = "."
    elif decision.fallback:
        ending = ", e o saldo livre também não cobria o valor."
    else:
        ending = ", e o pedido não permitia usar o saldo livre."
    return f"Compra de {amount} recusada por saldo: {why}; faltaram {missing} em {tried}{ending}"
