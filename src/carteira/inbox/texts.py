"""The text of each notice, in Portuguese: a title, its meaning or advice, and the wallet's page about it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from babel.dates import format_date

from carteira import payments
from carteira.benefits import merchant_name
from carteira.kit.values.money import format_brl

_ACCESS, _DATA = "/app/acesso", "/app/dados"
_NOT_YOU = "Se não foi você, crie outra senha agora e saia de todos os aparelhos."
_PROVIDERS = {"google": "Google", "meta": "Meta (Facebook)", "govbr": "gov.br"}


@dataclass(frozen=True, slots=True)
class Wording:
    """A notice's text; `page` is the wallet's page about it, and `module` the module that must be on for that page."""

    title: str
    text: str = ""
    page: str | None = None
    module: str = ""


def _day(iso: str) -> str:
    return format_date(date.fromisoformat(iso), "long", locale="pt_BR")


def _expiring(payload: Mapping[str, Any]) -> Wording:
    kind = payload["document_type"]
    name = "Um documento seu" if kind == "outro" else f"Seu documento ({kind})"
    return Wording(
        f"{name} vence em {_day(payload['expires_on'])}",
        "Quando tiver o novo, troque os dados e o arquivo.",
        f"/app/documentos/{payload['document_id']}",
        "documents",
    )


def _document(title: str, text: str) -> Callable[[Mapping[str, Any]], Wording]:
    return lambda payload: Wording(title, text, f"/app/documentos/{payload['document_id']}", "documents")


def _purchase(title: str, text: str) -> Callable[[Mapping[str, Any]], Wording]:
    return lambda payload: Wording(title, text, f"/app/vendas/{payload['purchase_id']}", "resellers")


def _card(title: str, text: str) -> Callable[[Mapping[str, Any]], Wording]:
    return lambda payload: Wording(title, text, f"/app/transporte?cartao={payload['card_id']}", "transit")


def _month(payload: Mapping[str, Any]) -> str:
    return format_date(date.fromisoformat(f"{payload['month']}-01"), "MMMM 'de' y", locale="pt_BR")


def _adjusted(payload: Mapping[str, Any]) -> Wording:
    amount = int(payload["amount"])
    effect = "entram no" if amount > 0 else "saem do"
    text = f"{format_brl(abs(amount))} {effect} cashback do próximo mês que for fechado."
    page = f"/app/vendas?mes={payload['month']}"
    return Wording(f"Seu cashback de {_month(payload)} foi corrigido", text, page, "resellers")


def _not_adjusted(payload: Mapping[str, Any]) -> Wording:
    amount = format_brl(abs(int(payload["amount"])))
    page = f"/app/vendas?mes={payload['month']}"
    return Wording(
        f"Uma correção do seu cashback de {_month(payload)} foi desfeita", f"Era de {amount}.", page, "resellers"
    )


def _cashback(payload: Mapping[str, Any]) -> Wording:
    return Wording(
        f"Seu cashback de {_month(payload)} foi creditado", "", f"/app/vendas?mes={payload['month']}", "resellers"
    )


def _recharged(payload: Mapping[str, Any]) -> Wording:
    title = f"Recarga de {format_brl(int(payload['amount']))} no seu cartão de transporte"
    return Wording(title, "", f"/app/extrato/{payload['entry_id']}")


def _reversed(payload: Mapping[str, Any]) -> Wording:
    amount = int(payload["amount"])
    what = "voltaram para" if amount > 0 else "saíram de"
    title = f"Estorno: {format_brl(abs(amount))} {what} seu cartão de transporte"
    return Wording(title, "Um lançamento anterior foi desfeito.", f"/app/extrato/{payload['entry_id']}")


def _returned(payload: Mapping[str, Any]) -> Wording:
    because = payments.why(str(payload["reason"]))
    text = f"{because[:1].upper()}{because[1:]}. " if because else ""
    return Wording(
        f"{format_brl(int(payload['amount']))} de um Pix seu foram devolvidos",
        f"{text}O valor volta à conta de onde o Pix saiu.",
        f"/app/pagamentos/{payload['charge_id']}",
        "payments",
    )


EVENTS: Mapping[str, Callable[[Mapping[str, Any]], Wording]] = {
    "documents.expiring": _expiring,
    "documents.refused": _document("Um documento seu foi recusado", "Abra para ver o motivo e mandar outro arquivo."),
    "documents.reviewed": _document("Um documento seu foi conferido", "Quem ler a prova dele vê que foi conferido."),
    "payments.returned": _returned,
    "resellers.adjustment_booked": _adjusted,
    "resellers.adjustment_undone": _not_adjusted,
    "resellers.cashback_credited": _cashback,
    "resellers.purchase_approved": _purchase("Sua compra foi aprovada", "Ela conta para o cashback do mês."),
    "resellers.purchase_rejected": _purchase("Sua compra foi reprovada", "Abra para ver o motivo."),
    "transit.card_blocked": _card("Seu cartão de transporte foi bloqueado", "Seu saldo está guardado."),
    "transit.card_cancelled": _card("Seu cartão de transporte foi cancelado", "Ele não volta a funcionar."),
    "transit.card_unblocked": _card("Seu cartão de transporte foi desbloqueado", "Já pode ser usado de novo."),
    "transit.recharged": _recharged,
    "transit.reversed": _reversed,
}
"""The texts by the topic of an event whose payload names its person (`user_id`)."""


def _provider(title: str) -> Callable[[Mapping[str, Any]], Wording]:
    return lambda details: Wording(
        title.format(_PROVIDERS.get(str(details.get("provider")), "outra conta")), _NOT_YOU, _ACCESS
    )


def _always(title: str, text: str, page: str | None = None, module: str = "") -> Callable[[Mapping[str, Any]], Wording]:
    wording = Wording(title, text, page, module)
    return lambda _details: wording


ACTS: Mapping[str, Callable[[Mapping[str, Any]], Wording]] = {
    "assistant_ticket_answered": _always(
        "O atendimento respondeu à sua pergunta",
        "No assistente, escreva “meu atendimento”.",
        "/app/assistente",
        "assistant",
    ),
    "benefit_claimed": _always("Uma conta de benefícios agora é sua", "", "/app/beneficios", "benefits"),
    "claims_given": _always("Você ganhou permissões", "Elas já valem."),
    "claims_taken": _always("Permissões suas foram retiradas", "Já não valem."),
    "contact_change_undone": _always("A troca de um contato foi desfeita", _NOT_YOU, f"{_DATA}/cadastro"),
    "cpf_disputed": _always(
        "Outra pessoa comprovou o mesmo CPF que está na sua conta",
        "O atendimento está vendo o caso. Nada muda na sua conta enquanto isso.",
        f"{_DATA}/cpf",
    ),
    "cpf_moved": _always(
        "O CPF saiu da sua conta", "Outra pessoa comprovou que ele é dela. Comprove o seu, se for seu.", f"{_DATA}/cpf"
    ),
    "cpf_proof_withdrawn": _always(
        "A comprovação do seu CPF foi retirada", "Você pode comprovar de novo.", f"{_DATA}/cpf"
    ),
    "cpf_proven": _always("Seu CPF foi comprovado", "O que é do seu CPF já aparece na sua conta.", f"{_DATA}/cpf"),
    "data_downloaded": _always("Seus dados foram baixados", _NOT_YOU, _ACCESS),
    "data_request_answered": _always(
        "Respondemos o seu pedido sobre os seus dados", "A resposta está em “Pedidos”.", f"{_DATA}/pedidos"
    ),
    "passkey_added": _always("Uma chave de acesso foi guardada na sua conta", _NOT_YOU, _ACCESS),
    "passkey_count_went_back": _always(
        "Uma chave de acesso sua pode ter sido copiada", "Apague a chave e guarde outra.", _ACCESS
    ),
    "passkey_removed": _always("Uma chave de acesso foi apagada", _NOT_YOU, _ACCESS),
    "password_changed": _always("Sua senha foi trocada", _NOT_YOU, _ACCESS),
    "refresh_token_reused": _always(
        "Um aparelho foi desconectado por segurança",
        "Uma entrada sua foi usada em dois lugares. Entre de novo.",
        _ACCESS,
    ),
    "role_given": _always("Seu papel mudou", "As permissões dele já valem."),
    "second_factor_reset": _always(
        "A verificação em duas etapas foi desligada pelo atendimento", "Ligue de novo assim que puder.", _ACCESS
    ),
    "session_ended": _always("Um aparelho seu foi desconectado pelo atendimento", "", _ACCESS),
    "signed_out_everywhere": _always("Todos os seus aparelhos foram desconectados", "", _ACCESS),
    "social_account_linked": _provider("{} foi ligado à sua conta"),
    "social_account_unlinked": _provider("{} foi desligado da sua conta"),
    "totp_off": _always("A verificação em duas etapas foi desligada", _NOT_YOU, _ACCESS),
    "totp_on": _always("A verificação em duas etapas foi ligada", "", _ACCESS),
    "user_changed": _always("Seu cadastro mudou", _NOT_YOU, f"{_DATA}/cadastro"),
    "user_suspended": _always("Sua conta foi suspensa", "Fale com o atendimento."),
    "user_unsuspended": _always("Sua conta voltou a funcionar", ""),
    "ways_removed": _always(
        "Formas de entrar na sua conta foram retiradas",
        "Quem recuperou a conta mostrou que lê o seu e-mail ou celular; o que não tinha sido confirmado saiu.",
        _ACCESS,
    ),
}
"""The texts by an action of the audit that concerns the person's account."""

CREDITS: Mapping[str, str] = {
    "benefits.credit": "Crédito do benefício: {}",
    "benefits.refund": "Reembolso: {} voltaram para o seu benefício",
    "benefits.reversal": "Estorno: {} voltaram para o seu benefício",
    "benefits.purchase.reversal": "Estorno: {} voltaram para o seu benefício",
}
"""The texts by the kind of a ledger entry that credits the person's benefits; `{}` is the amount."""


def of_credit(kind: str, entry_id: str, amount: int, pocket: str) -> Wording:
    """Return the text about a credit: its amount and the account."""
    return Wording(CREDITS[kind].format(format_brl(amount)), f"No saldo de {pocket}.", f"/app/extrato/{entry_id}")


def of_refusal(decision_id: str, amount: int | None, merchant: str | None) -> Wording:
    """Return the text about a declined purchase; its page says why."""
    title = f"Sua compra de {format_brl(amount)} não passou" if amount else "Uma compra sua não passou"
    where = f"{merchant_name(merchant)}: n" if merchant else "N"
    return Wording(title, f"{where}ada foi cobrado. Abra para ver por quê.", f"/app/extrato/{decision_id}")


def of_look(who: str, what: str, purpose: str | None) -> Wording:
    """Return the text of a look: who looked at which data, and the purpose if there is one."""
    return Wording(f"{who} consultou seus dados", what + (f" ({purpose})." if purpose else "."), _DATA)
