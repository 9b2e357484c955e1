"""Identity's messages to people, in Portuguese."""

from carteira.kit.outbound.email_templates import EmailTemplates
from carteira.kit.security.codes import MINUTES

letters = EmailTemplates(
    "carteira.identity",
    {
        "recovery": "Seu código para redefinir a senha",
        "password_changed": "Sua senha foi alterada",
        "contact_changed": "Um contato da sua conta foi alterado",
        "contact_confirm": "Confirme o seu contato",
        "way_added": "Uma nova forma de entrar na sua conta",
        "cpf_proven": "Seu CPF foi comprovado",
        "cpf_moved": "O CPF saiu da sua conta",
        "factor_reset": "O segundo fator da sua conta foi apagado",
        "invitation": "Convite para administrar a Carteira",
        "link_code": "Seu código para ligar uma conta",
    },
)
compose = letters.compose
WAYS = {"passkey": "Chave de acesso (passkey)", "google": "Google", "meta": "Meta (Facebook)", "govbr": "gov.br"}
"""Ways of signing in, in words for people."""


CONTACTS = {"email": "e-mail", "phone": "telefone"}
"""Kinds of contact points, in words for people."""


def contact_changed_sms(kind: str, link: str | None) -> str:
    """Return the SMS about a changed contact point."""
    undo = f"Não foi você? Desfaça: {link}" if link else "Se não foi você, fale com o atendimento."
    return f"Carteira: o {CONTACTS[kind]} da sua conta foi trocado. {undo}"


def contact_confirm_sms(link: str) -> str:
    """Return the SMS that asks to confirm a phone."""
    return f"Carteira: confirme que este telefone é seu: {link}"


def recovery_sms(code: str, link: str | None) -> str:
    """Return a recovery's SMS: a code to type, or a link while typed codes are disabled."""
    what = f"abra {link}" if link else f"seu código é {code}"
    return f"Carteira: {what}. Vale por {MINUTES} minutos. Não passe este código a ninguém."
