"""The details of the audit's rows in words; `tests/house/test_reference.py` finds details without words."""

from collections.abc import Callable, Mapping
from typing import Any

from carteira import benefits, payments
from carteira.web.console.accounts import BLOCKINGS
from carteira.web.console.credit import PURPOSES
from carteira.web.console.credit_models import ORIGINS
from carteira.web.console.people import PAPERS
from carteira.web.console.people_seen import PARTS
from carteira.web.console.words import PAYMENT_PURPOSES, STATES, SUSPENSIONS, WAYS, operation_name
from carteira.web.formats import REQUESTS, plain_money

DETAILS = {
    "account": "conta",
    "account_id": "conta",
    "active": "ativo",
    "adjusted": "ajustadas",
    "adjustment_id": "ajuste",
    "again": "de novo",
    "amount": "valor",
    "approval_id": "aprovação automática",
    "by": "por",
    "card": "cartão",
    "card_id": "cartão",
    "case": "disputa",
    "category": "saldo",
    "channel": "por",
    "charge_id": "cobrança",
    "claim_id": "permissão",
    "claim_ids": "permissões",
    "claims_added": "permissões dadas",
    "claims_removed": "permissões tiradas",
    "clock": "relógio",
    "cpf": "com CPF",
    "credential": "segredo ou chave",
    "credited": "creditadas",
    "day": "dia",
    "defaulted": "não pagou",
    "deliveries": "entregas",
    "document_id": "documento",
    "e2eid": "id de ponta a ponta",
    "employer": "empresa",
    "entry": "lançamento",
    "events": "eventos",
    "failed": "com erro",
    "fields": "campos",
    "filters": "filtros",
    "format": "formato",
    "former_role_id": "papel anterior",
    "granted": "dado",
    "instead_of": "no lugar de",
    "job": "trabalho",
    "kind": "tipo",
    "lines": "linhas",
    "list": "lista",
    "lost": "perdeu",
    "mcc": "MCC",
    "mccs": "MCCs",
    "merchant": "estabelecimento",
    "method": "por",
    "methods": "por",
    "model": "modelo",
    "month": "mês",
    "moved_from": "veio de",
    "moved_to": "passou a",
    "nature": "natureza",
    "operation": "operação",
    "origin": "origem",
    "outcome": "resposta",
    "overlap_seconds": "segundos em que os dois valem",
    "paper": "documento visto",
    "parts": "partes",
    "passkey": "chave de acesso",
    "pending_id": "pendência",
    "people": "pessoas",
    "provider": "serviço",
    "purchase_id": "compra",
    "purpose": "para quê",
    "question_id": "pergunta",
    "reason": "motivo",
    "regime": "regime",
    "registered": "cadastradas",
    "released": "liberadas",
    "request": "pedido",
    "reseller": "revendedor",
    "resellers": "revendedores",
    "return_id": "devolução",
    "reverses_id": "estorna",
    "role_id": "papel",
    "rows": "linhas",
    "session": "sessão",
    "sessions": "sessões",
    "slug": "assunto",
    "status": "situação",
    "tap": "viagem",
    "taps": "viagens",
    "ticket_id": "atendimento",
    "tiers": "faixas",
    "transaction_id": "compra",
    "valid_from": "vale a partir de",
    "valid_until": "vale até",
    "version": "versão",
    "ways": "formas de entrar",
    "ways_removed": "formas de entrar retiradas",
    "webhook": "webhook",
    "why": "motivo",
}
_WORDS = WAYS | {
    "code": "código",
    "email": "e-mail",
    "phone": "telefone",
    "full_name": "nome",
    "birth_date": "nascimento",
    "fulfilled": "atendido",
    "refused": "recusado",
    "sms": "SMS",
    "operator": "atendimento",
    "proof": "comprovação do CPF",
    "demo": "demonstração",
    "rejected": "reprovada",
    "cnpj": "CNPJ",
    "name": "nome",
    "prefunded": "depósito antes",
    "description": "descrição",
    "url": "endereço",
    "events": "eventos",
    "state": "situação",
    **{value: name[:1].lower() + name[1:] if name[1:2].islower() else name for value, name in PAPERS},
    **{value: name[:1].lower() + name[1:] for value, name in (*SUSPENSIONS, *PURPOSES, *BLOCKINGS)},
    **{value: name[:1].lower() + name[1:] for value, name in (PAYMENT_PURPOSES | REQUESTS).items()},
    **{value: name[0].lower() for value, name in STATES.items() if value != "refused"},
}
"""The values that are codes, in words."""
_WORDS_OF = {
    "parts": {part.key: part.name[:1].lower() + part.name[1:] for part in PARTS},
    "origin": {value: name[:1].lower() + name[1:] for value, name in ORIGINS.items()},
    "regime": {"pat": "PAT", "free": "livre"},
}
"""The values of one detail that are codes, in words."""
ACTORS = {
    "person": "Uma pessoa",
    "client": "Uma máquina",
    "processor": "A processadora",
    "job": "Um trabalho da casa",
    "command": "Um comando",
}
"""The kinds of actors, where one has no name."""


def details_said(details: Mapping[str, Any]) -> str:
    """Return the details of a row in words."""
    return "; ".join(f"{DETAILS.get(name, name)}: {_said(name, value)}" for name, value in details.items())


def _said(name: str, value: Any) -> str:  # noqa: ANN401 - JSON
    if isinstance(value, bool):
        return "sim" if value else "não"
    if value is None or value in ("", [], {}):
        return "nenhum"
    if isinstance(value, int) and name == "amount":
        return plain_money(value)
    if isinstance(value, Mapping):
        inner = (f"{key} {_said(key, one)}" for key, one in value.items())
        return _tier(value) if name == "tiers" else ", ".join(inner)
    if isinstance(value, list):
        return ", ".join(_said(name, inner) for inner in value)
    text = str(value)
    return _WORDS_OF[name].get(text, text) if name in _WORDS_OF else _NAMED.get(name, _word)(text)


def _tier(tier: Mapping[str, Any]) -> str:
    above = tier.get("above")
    return f"{tier.get('percentage')}%" + (f" acima de {plain_money(above)}" if above else "")


def _word(value: str) -> str:
    return _WORDS.get(value, value)


_NAMED: Mapping[str, Callable[[str], str]] = {
    "category": benefits.pocket_name,
    "nature": lambda value: payments.why(value) or value,
    "operation": operation_name,
}
"""The functions that say the values of a detail in words."""
