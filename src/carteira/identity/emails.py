"""The messages that people get from identity, in Portuguese."""

from carteira.kit.outbound.email_templates import EmailTemplates
from carteira.kit.security.codes import MINUTES

letters = EmailTemplates(
    "carteira.identity",
    {
        "recovery": "Seu código para redefinir a senha",
        "password_changed": "Sua senha foi alterada",
        "email_changed": "O e-mail da sua conta foi alterado",
        "way_added": "Uma nova forma de entrar na sua conta",
        "cpf_proven": "Seu CPF foi comprovado",
        "cpf_moved": "O CPF saiu da sua conta",
        "link_code": "Seu código para ligar uma conta",
    },
)
compose = letters.compose
WAYS = {"passkey": "Chave de acesso (passkey)", "google": "Google", "meta": "Meta (Facebook)", "govbr": "gov.br"}
"""Ways of signing in as people read them."""


def recovery_sms(code: str) -> str:
    """Give the text of a recovery's SMS."""
    return f"Carteira: seu código é {code}. Vale por {MINUTES} minutos. Não passe este código a ninguém."
