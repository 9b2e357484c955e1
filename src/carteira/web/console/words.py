"""The API's codes in words, for the console's screens."""

from collections.abc import Iterable
from typing import Any

from carteira import payments
from carteira.kit.web.approvals import OrderChange
from carteira.web.formats import capital, plain_money

OPERATIONS = {
    "benefits.open_account": "Abrir conta de benefícios",
    "benefits.credit": "Crédito em uma conta",
    "benefits.credit_many": "Créditos em lote",
    "benefits.reversal": "Estorno de compra",
    "benefits.refund": "Devolução de compra",
    "benefits.schedule_credits": "Créditos agendados",
    "benefits.import_accounts": "Abertura de contas em lote",
    "credit.model_choice": "Modelo de crédito",
    "identity.person_change": "Mudança de contato ou CPF",
    "identity.factor_reset": "Segundo fator perdido",
    "identity.cpf_proof": "Comprovação de CPF",
    "ledger.reversal": "Estorno no livro-razão",
    "payments.return": "Devolução de Pix",
    "resellers.adjustment": "Ajuste de um mês fechado",
    "resellers.adjustment_undo": "Desfazer um ajuste",
    "resellers.purchase_approval": "Aprovação de compra",
    "resellers.auto_approval": "Aprovação automática",
    "resellers.tiers": "Faixas de cashback",
    "resellers.tiers_removal": "Retirada de faixas",
    "transit.cash_recharge": "Recarga em dinheiro",
}
FIELDS = {
    "account": "Conta",
    "adjustment_id": "Ajuste",
    "amount": "Valor (centavos)",
    "balance": "Saldo",
    "balances": "Saldos",
    "birth_date": "Nascimento",
    "category": "Saldo",
    "changes": "Mudança",
    "cpf": "CPF",
    "cpf_state": "Comprovação",
    "card_number": "Cartão",
    "day": "Dia",
    "description": "Descrição",
    "e2eid": "Id de ponta a ponta",
    "email": "E-mail",
    "employer_id": "Empresa",
    "entry_id": "Lançamento",
    "full_name": "Nome",
    "instead_of": "No lugar de",
    "items": "Linha",
    "lines": "Linha",
    "month": "Mês",
    "paper": "Documento visto",
    "percentage": "Percentual",
    "phone": "Telefone",
    "purchase_id": "Compra",
    "reason": "Motivo",
    "reseller_id": "Revendedor",
    "status": "Situação",
    "tiers": "Faixa",
    "transaction_id": "Transação",
    "user_id": "Pessoa",
    "valid_from": "Vale a partir de",
    "valid_until": "Vale até",
    "version": "Modelo",
}
_CPF_STATES = {"proven": "comprovado", "declared": "só digitado", "none": "sem CPF", "moved": "passou a outra conta"}
STATES = {
    "pending": ("Espera", "warn", "clock"),
    "approved": ("Aprovada", "ok", "check"),
    "refused": ("Recusada", "bad", "x"),
    "expired": ("Venceu", "", "clock"),
    "failed": ("Não deu certo", "bad", "alert"),
}
SUSPENSIONS = (
    ("person_asked", "A pessoa pediu"),
    ("suspected_fraud", "Suspeita de fraude"),
    ("misuse", "Mau uso"),
    ("left_company", "Saiu da empresa"),
    ("court_order", "Ordem judicial"),
    ("other", "Outro motivo"),
)
PAYMENT_PURPOSES = {
    "transport_recharge": "Recarga de cartão de transporte",
    "benefit_funding": "Depósito de empresa para benefícios",
}
PAYMENT_FOUND_BY = {
    "webhook": "pelo aviso do provedor",
    "polling": "pela lista do provedor",
    "reconciliation": "ao conferir o dia",
}


def payment_reason(reason: str) -> str:
    """Return why a payment was not credited or is returned; an operator's own words unchanged."""
    return capital(payments.why(reason) or "") or reason


def operation_name(kind: str) -> str:
    """Return the name of a kind of operation."""
    return OPERATIONS.get(kind, kind)


def facts_of(order: object, *, most: int = 40) -> list[tuple[str, str]]:
    """Return an order's fields, one per line, as many as a screen has room for."""
    found: list[tuple[str, str]] = []
    _flatten("", order, found)
    more = len(found) - most
    return found[:most] + ([("…", f"e mais {more} campos")] if more > 0 else [])


def changes_of(changes: Iterable[OrderChange]) -> list[tuple[str, str, str]]:
    """Return the changes by an operation: each field with its value before and after, in words."""
    return [
        (FIELDS.get(one.field, one.field), _value(one.field, one.now), _value(one.field, one.then)) for one in changes
    ]


def _value(name: str, value: Any) -> str:  # noqa: ANN401 - a field of any kind of operation
    if value in (None, "", []):
        return "nada"
    if name == "balance":
        return plain_money(value)
    if name == "tiers":
        return "; ".join(f"acima de {plain_money(tier['above'])}: {tier['percentage']}%" for tier in value)
    return _CPF_STATES.get(value, value) if name == "cpf_state" else str(value)


def _flatten(name: str, value: object, found: list[tuple[str, str]]) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            label = FIELDS.get(str(key), str(key))
            _flatten(f"{name} · {label}" if name else label, inner, found)
    elif isinstance(value, list):
        for place, inner in enumerate(value, 1):
            _flatten(f"{name} {place}", inner, found)
    elif isinstance(value, bool):
        found.append((name, "sim" if value else "não"))
    elif value not in {None, ""}:
        found.append((name, str(value)))
