"""The API's codes in words, for the console's screens."""

import re
from collections.abc import Iterable
from datetime import date, datetime
from typing import Any

from carteira import benefits, payments
from carteira.kit.web.approvals import LongOrder, OperatorRoom, OrderChange
from carteira.web.formats import capital, moment, plain_money, short_day

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
WAYS = {
    "password": "senha",
    "totp": "autenticador",
    "recovery_code": "código de recuperação",
    "passkey": "chave de acesso",
    "google": "Google",
    "meta": "Meta",
    "govbr": "gov.br",
}
"""The ways to sign in."""
FIELDS = {
    "account": "Conta",
    "adjustment_id": "Ajuste",
    "above": "Acima de",
    "amount": "Valor",
    "atomic": "Tudo ou nada",
    "balance": "Saldo",
    "balances": "Saldos",
    "birth_date": "Nascimento",
    "category": "Saldo",
    "changes": "Mudança",
    "code": "Código",
    "credited": "Creditadas",
    "detail": "O que houve",
    "cpf": "CPF",
    "cpf_state": "Comprovação",
    "card_number": "Cartão",
    "day": "Dia",
    "description": "Descrição",
    "e2eid": "Id de ponta a ponta",
    "email": "E-mail",
    "employer_id": "Empresa",
    "entry_id": "Lançamento",
    "exists": "Já existiam",
    "failed": "Com erro",
    "full_name": "Nome",
    "instead_of": "No lugar de",
    "invite": "Convida cada contato",
    "items": "Linha",
    "lines": "Linha",
    "month": "Mês",
    "opened": "Abertas",
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
    "waiting": "Esperam",
}
_MONEY = {"above", "amount", "balance", "balances", "short_by", "total"}
"""Fields with amounts in centavos, directly or within them."""
_OF_LINES = {"lines", "results", "numbers", "wrong", "titles", "employer_id", "value"}
"""Fields of a long order and of its outcome that are left out: its totals and its list of lines show them."""
_MOST_GROUPS, _MOST_FAULTS = 10, 20
_DAY, _INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}"), re.compile(r"\d{4}-\d{2}-\d{2}T[\d:.]+(Z|[+-]\d{2}:\d{2})")
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


def facts_of(order: object) -> list[tuple[str, str]]:
    """Return an order's fields, one per line; amounts in reais."""
    found: list[tuple[str, str]] = []
    _flatten("", order, found, is_money=False)
    return found


def facts_of_long(order: object) -> list[tuple[str, str]]:
    """Return the fields of a long order, or of its outcome, without its lines."""
    kept = {name: value for name, value in order.items() if name not in _OF_LINES} if isinstance(order, dict) else order
    return facts_of(kept)


def totals_of(order: LongOrder) -> list[tuple[str, str]]:
    """Return a long order in totals: how many lines, their sum, the smallest and largest, by employer and balance."""
    lines = order.lines
    valid = [line for line in lines if line.state != "wrong"]
    amounts = [line.amount for line in valid]
    found = [("Linhas", _many(len(lines))), ("Soma", plain_money(sum(amounts)))]
    if amounts:
        found.append(("Menor e maior", f"{plain_money(min(amounts))} e {plain_money(max(amounts))}"))
    by_employer: dict[str, list[int]] = {}
    by_balance: dict[str, list[int]] = {}
    for line in valid:
        by_employer.setdefault(line.group, []).append(line.amount)
        for category, amount in line.parts.items():
            by_balance.setdefault(category, []).append(amount)
    found += _grouped("Empresa", by_employer)
    found += _grouped("Saldo", {benefits.pocket_name(one): amounts for one, amounts in by_balance.items()})
    same = [line.amount for line in lines if line.state == "unchanged"]
    if same:
        where = "nela" if len(same) == 1 else "nelas"
        found.append(("Já têm conta", f"{_lines(len(same))}, {plain_money(sum(same))}: nada muda {where}"))
    if wrong := len(lines) - len(valid):
        fate = "" if order.refusal else ": não é feita" if wrong == 1 else ": não são feitas"
        found.append(("Com erro", f"{_lines(wrong)}{fate}"))
    return found


def _grouped(what: str, groups: dict[str, list[int]]) -> list[tuple[str, str]]:
    """Return the largest groups, each with its lines and sum."""
    largest = sorted(groups.items(), key=lambda one: -sum(one[1]))
    found = [
        (f"{what} {name}", f"{_lines(len(amounts))}, {plain_money(sum(amounts))}")
        for name, amounts in largest[:_MOST_GROUPS]
    ]
    rest = [amount for _, amounts in largest[_MOST_GROUPS:] for amount in amounts]
    return [*found, *([(f"{what}: as outras", f"{_lines(len(rest))}, {plain_money(sum(rest))}")] if rest else [])]


def _many(number: int) -> str:
    return f"{number:,}".replace(",", ".")


def _lines(number: int) -> str:
    return f"{_many(number)} linha{'' if number == 1 else 's'}"


def faults_of(outcome: object) -> list[tuple[str, str]]:
    """Return the first lines of a long operation that failed, with their reasons."""
    results = outcome.get("results") if isinstance(outcome, dict) else None
    failed = [one for one in results or () if one.get("status") == "failed"]
    told = [(f"Linha {one['line']}, conta {one['account']}", one["detail"] or "") for one in failed[:_MOST_FAULTS]]
    more = len(failed) - len(told)
    return [*told, *([("Outras com erro", _lines(more))] if more else [])]


def room_facts(room: OperatorRoom) -> tuple[tuple[str, str], ...]:
    """Return an operator's own limits in figures, for a confirmation."""
    alone = "qualquer valor" if room.alone is None else f"até {plain_money(room.alone)}"
    today = (
        ()
        if room.daily is None or room.left is None
        else (("Ainda pode hoje", f"{plain_money(room.left)} de {plain_money(room.daily)}"),)
    )
    return (("Você faz sem outra pessoa", alone), *today)


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


def _flatten(name: str, value: object, found: list[tuple[str, str]], *, is_money: bool) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            label = FIELDS.get(str(key), str(key))
            whole = f"{name} · {label}" if name else label
            _flatten(whole, inner, found, is_money=is_money or key in _MONEY)
    elif isinstance(value, list):
        for place, inner in enumerate(value, 1):
            _flatten(f"{name} {place}", inner, found, is_money=is_money)
    elif isinstance(value, bool):
        found.append((name, "sim" if value else "não"))
    elif is_money and isinstance(value, int):
        found.append((name, plain_money(value)))
    elif value not in {None, ""}:
        found.append((name, _said(str(value))))


def _said(text: str) -> str:
    """Return a text of JSON for people: days and instants in words."""
    try:
        if _DAY.fullmatch(text):
            return short_day(date.fromisoformat(text))
        return moment(datetime.fromisoformat(text)) if _INSTANT.fullmatch(text) else text
    except (ValueError, OverflowError):  # a text that only looks like one
        return text
