"""The messages that people get from identity, in Portuguese."""

from carteira.kit.letters import Letters

letters = Letters(
    "carteira.identity",
    {
        "recovery": "Seu código para redefinir a senha",
        "password_changed": "Sua senha foi alterada",
        "email_changed": "O e-mail da sua conta foi alterado",
    },
)
compose = letters.compose


def recovery_sms(code: str, minutes: int) -> str:
    """Give the text of a recovery's SMS."""
    return f"Carteira: seu código é {code}. Vale por {minutes} minutos. Não passe este código a ninguém."
